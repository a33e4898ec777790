//! The invites that are open.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::code::InviteCode;
use crate::{
    clock::Clock,
    error::{IdentityError, random},
};

/// How long a code is good.
pub const LASTS: Duration = Duration::from_secs(600);
/// Wrong tries after which an invite is gone. A person mistypes once or twice; one who guesses has three of 2^45.
pub const MOST_TRIES: u32 = 3;
/// Invites that are open at a time. One more is refused: somebody should close or use one first.
pub const MOST_OPEN: usize = 8;

/// Why no invite was made.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// As many as there may be are open.
    #[error("{MOST_OPEN} invites are open already; each ends when it is used, or after ten minutes")]
    TooMany,
    /// The system has no random numbers.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl InviteError {
    /// The name of its code: `docs/errors/NAME.md` says more.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "INVITE_REFUSED",
            Self::Identity(error) => error.code(),
        }
    }
}

/// An invite as a person gets to see it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// To be read out, or typed in.
    pub code: InviteCode,
    /// Until when it is good, in milliseconds since 1970.
    pub until_ms: u64,
}

/// The invites of this node that are open: single use, for ten minutes and three wrong tries, [`MOST_OPEN`] at
/// most. They live in memory only: when the node ends, they end.
#[derive(Debug)]
pub struct Invites {
    clock: Arc<dyn Clock>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    open: Vec<Invite>,
    made: u64,
}

#[derive(Debug)]
struct Invite {
    number: u64,
    code: InviteCode,
    until_ms: u64,
    wrong_tries: u32,
    with_authority: bool,
}

/// Which invite a pairing is about. A later one with the same label is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// What the invite that was used up gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) with_authority: bool,
}

impl Invites {
    /// None open.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, book: Mutex::default() }
    }

    /// Opens one. `with_authority`: whoever uses it gets the authority's key too, and can then invite and revoke.
    ///
    /// # Errors
    /// [`InviteError`]
    pub fn open(&self, with_authority: bool) -> Result<Shown, InviteError> {
        let mut book = self.book();
        if book.open.len() >= MOST_OPEN {
            return Err(InviteError::TooMany);
        }
        let code = loop {
            let [label] = random::<1>()?;
            let code = InviteCode::random(label)?;
            // At most 8 of 32 labels are taken, so this ends after a try or two.
            if book.open.iter().all(|invite| invite.code.label() != code.label()) {
                break code;
            }
        };
        let lasts_ms = u64::try_from(LASTS.as_millis()).unwrap_or(u64::MAX);
        let until_ms = self.clock.now_ms().saturating_add(lasts_ms);
        book.made += 1;
        let number = book.made;
        book.open.push(Invite { number, code: code.clone(), until_ms, wrong_tries: 0, with_authority });
        Ok(Shown { code, until_ms })
    }

    /// Whether there is any: else nobody needs to be let as far as the pairing.
    pub fn any_open(&self) -> bool {
        !self.book().open.is_empty()
    }

    /// The invite with that label, for a pairing that begins.
    pub(crate) fn labelled(&self, label: u8) -> Option<(Ticket, InviteCode)> {
        let book = self.book();
        let invite = book.open.iter().find(|invite| invite.code.label() == label)?;
        Some((Ticket(invite.number), invite.code.clone()))
    }

    /// A pairing came to the point where it shows whether the other side knows the code. The right code uses the
    /// invite up; a wrong one counts against it. One after the other: of two who know the code one gets in, and
    /// a thousand guesses at once are three.
    pub(crate) fn redeem(&self, ticket: Ticket, is_right: bool) -> Option<Granted> {
        let mut book = self.book();
        let at = book.open.iter().position(|invite| invite.number == ticket.0)?;
        if is_right {
            return Some(Granted { with_authority: book.open.remove(at).with_authority });
        }
        book.open[at].wrong_tries += 1;
        if book.open[at].wrong_tries >= MOST_TRIES {
            book.open.remove(at);
        }
        None
    }

    /// The book, without what has ended.
    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing under the lock leaves the book half-changed, so a panic elsewhere does not matter.
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = self.clock.now_ms();
        book.open.retain(|invite| now_ms < invite.until_ms);
        book
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn book() -> (Arc<ManualClock>, Invites) {
        let clock = Arc::new(ManualClock::at_ms(1_000));
        (clock.clone(), Invites::new(clock))
    }

    #[test]
    fn eight_are_open_at_a_time_each_with_its_label() {
        let (clock, invites) = book();
        let shown: Vec<Shown> = (0..MOST_OPEN).map(|_| invites.open(false).unwrap()).collect();
        assert!(matches!(invites.open(false), Err(InviteError::TooMany)));
        for one in &shown {
            assert_eq!(invites.labelled(one.code.label()).unwrap().1, one.code);
        }
        clock.advance(LASTS - Duration::from_millis(1));
        assert!(invites.any_open());
        clock.advance(Duration::from_millis(1));
        assert!(!invites.any_open() && invites.open(false).is_ok());
    }

    #[test]
    fn an_invite_is_used_once_and_destroyed_by_three_wrong_tries() {
        let (_, invites) = book();
        let ticket = |shown: &Shown| invites.labelled(shown.code.label()).unwrap().0;

        let first = ticket(&invites.open(true).unwrap());
        assert_eq!(invites.redeem(first, true), Some(Granted { with_authority: true }));
        assert_eq!(invites.redeem(first, true), None);

        let (second, third) = (ticket(&invites.open(false).unwrap()), ticket(&invites.open(false).unwrap()));
        for _ in 0..MOST_TRIES {
            assert_eq!(invites.redeem(second, false), None);
        }
        assert_eq!(invites.redeem(second, true), None, "destroyed");
        assert_eq!(invites.redeem(third, true), Some(Granted { with_authority: false }), "others are not");
    }
}
