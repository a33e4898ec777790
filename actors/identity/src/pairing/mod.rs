//! How a node with a code becomes a member: two machines without IO, an [`Inviter`] and a [`Joiner`].
//!
//! ```text
//!   joiner                                            inviter
//!   ------ TLS: the inviter's certificate, which the joiner cannot judge yet ------
//!   Hello    version, label, own key's digest, X  ->
//!                                                 <-  Answer   own key's digest, Y
//!            both: K from SPAKE2(code); keys from K and a digest of all of this *and of the TLS session*
//!   Confirm  proof(keys)                          ->           right: the invite is used up. wrong: one of three tries
//!                                                 <-  Confirm  proof(keys)      or Refused
//!   Sealed   request for a certificate, name      ->
//!                                                 <-  Sealed   certificate, authority, secrets   or why not
//! ```
//!
//! *What a listener or somebody in the middle can do.* SPAKE2's messages tell nothing about the code, so there
//! is nothing to try codes on later; each guess needs a conversation, and three wrong ones destroy the invite.
//! Somebody who takes the TLS connection of the joiner and makes another to the inviter, passing frames on, has
//! two TLS sessions: the proofs are over what each side's session exports ([`Binding`]), so they do not fit, and
//! the try counts as wrong. What follows is sealed with the keys and does not lean on that TLS.
//!
//! *Who proves first.* The joiner. Whoever sees the other side's proof knows whether the one code that it went in
//! with was right. If the inviter proved first, anybody could try a code, break off, and not be counted.
//!
//! **Frames** are at most [`LONGEST_FRAME`] bytes, behind their length (4 bytes, big endian); [`Frames`] cuts
//! them. Each side takes part in three of each; what comes out of turn ends the pairing. The caller gives each
//! step [`STEP_LIMIT`].
//!
//! ```
//! # use std::sync::Arc;
//! # use understudy_identity::{*, pairing::{Host, Next}};
//! # let clock = Arc::new(ManualClock::at_ms(1_800_000_000_000));
//! # let home = tempfile::tempdir()?;
//! # let member = ClusterFiles::at(home.path()).init("lab", &*clock)?;
//! # let binding = || Binding::from_bytes([7; 32]); // in earnest: Binding::of(&connection)
//! let invites = Arc::new(Invites::new(clock.clone()));
//! let host = Arc::new(Host::of(&member, invites.clone(), vec!["192.168.1.5:7863".into()], clock)?);
//! let code = invites.open(false)?.code;
//!
//! let key = NodeKey::generate()?;
//! let (mut joiner, hello) = Joiner::start(&code, &key, "laptop", binding())?;
//! let mut inviter = Inviter::new(host, binding());
//! let mut to_inviter = Some(hello);
//! let welcome = loop {
//!     let answer = inviter.receive(&to_inviter.take().unwrap());
//!     let reply = joiner.receive(&answer.send.unwrap());
//!     match reply.next {
//!         Next::Wait => to_inviter = reply.send,
//!         Next::Done(welcome) => break welcome,
//!         Next::Failed(error) => return Err(error.into()),
//!     }
//! };
//! assert_eq!(welcome.certificate.fingerprint(), key.fingerprint());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod binding;
mod frames;
mod inviter;
mod joiner;
mod keys;
mod welcome;

use std::time::Duration;

pub use binding::Binding;
pub use frames::{Frames, LONGEST_FRAME, TooLong, framed};
pub use inviter::{Guest, Host, Inviter};
pub use joiner::Joiner;
pub use welcome::Welcome;

use crate::{error::IdentityError, fields::Unreadable};

/// How long the caller should wait for each frame, and for its own to be taken.
pub const STEP_LIMIT: Duration = Duration::from_secs(5);

/// The version of the conversation. Another one is refused in so many words: it is no secret.
const VERSION: u8 = 1;

/// Characters of a node's name as people see it.
const LONGEST_NAME: usize = 64;

/// What to do after a frame: send `send`, if there is one, then look at `next`.
#[derive(Debug)]
#[must_use]
pub struct Turn<T> {
    /// A frame for the other side, without its length: see [`framed`].
    pub send: Option<Vec<u8>>,
    /// What then.
    pub next: Next<T>,
}

/// Where a pairing stands.
#[derive(Debug)]
pub enum Next<T> {
    /// The other side's turn, for [`STEP_LIMIT`].
    Wait,
    /// Over, and well.
    Done(T),
    /// Over. Close the connection once `send` is out.
    Failed(PairingError),
}

/// Why a pairing failed.
#[derive(Debug, thiserror::Error)]
pub enum PairingError {
    /// A wrong code, one that was used, has ended or was destroyed, or somebody in the middle: which one is not
    /// told.
    #[error(
        "the code was refused: it may be mistyped, used, older than ten minutes, or tried wrongly three times; make \
         a new one with `understudy cluster invite`. If that is refused too, somebody may sit between the two nodes"
    )]
    Refused,
    /// The code was right, and yet.
    #[error("the other node does not let this one in: {0}")]
    NotWelcome(String),
    /// Another version of the conversation.
    #[error("the other node pairs by version {theirs}, this one by version {VERSION}: update the older one")]
    Version {
        /// What the other side speaks.
        theirs: u8,
    },
    /// What came is no frame of this conversation, or not the one whose turn it is.
    #[error("the other side does not speak the pairing protocol: {0}")]
    OutOfOrder(&'static str),
    /// What was sealed does not open: it was changed on the way.
    #[error("what the other side sent was changed on the way")]
    Changed,
    /// Something of this node's own.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl PairingError {
    /// The name of its code: `docs/errors/NAME.md` says more.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused => "INVITE_REFUSED",
            Self::NotWelcome(_) | Self::OutOfOrder(_) | Self::Changed => "PEER_REFUSED",
            Self::Version { .. } => "PROTOCOL_TOO_NEW",
            Self::Identity(error) => error.code(),
        }
    }
}

impl From<Unreadable> for PairingError {
    fn from(_: Unreadable) -> Self {
        Self::OutOfOrder("a frame that cannot be read")
    }
}

/// The first byte of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Hello = 1,
    Answer = 2,
    Confirm = 3,
    Sealed = 4,
    Refused = 5,
    Version = 6,
}

impl Kind {
    fn frame(self, body: &[u8]) -> Vec<u8> {
        [&[self as u8], body].concat()
    }

    /// The body of a frame that should be of this kind.
    fn expect(self, frame: &[u8]) -> Result<&[u8], PairingError> {
        match frame.split_first() {
            Some((kind, body)) if *kind == self as u8 => Ok(body),
            Some((kind, [])) if *kind == Self::Refused as u8 => Err(PairingError::Refused),
            Some((kind, [theirs])) if *kind == Self::Version as u8 => {
                Err(PairingError::Version { theirs: *theirs })
            }
            Some(_) => Err(PairingError::OutOfOrder("another frame was due")),
            None => Err(PairingError::OutOfOrder("an empty frame")),
        }
    }
}

/// Names of nodes and clusters: for people, so nothing that moves their cursor.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control)
}
