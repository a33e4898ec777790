//! Whether a node's port can be reached from here.
//!
//! A node lives by its link, which it may have dialled itself. Calls go over connections of their own, and these may be
//! refused all the same: by a firewall on its side, or because its addresses are no longer its own.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::dial::DialError;

/// Pauses between tries of a port that is shut: doubling, from and to.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is known of one start of a node.
#[derive(Debug, Default)]
pub(crate) struct Reach(Mutex<Option<Failed>>);

#[derive(Debug)]
struct Failed {
    next: Instant,
    pause: Duration,
}

impl Reach {
    /// It could not be reached when it was last tried, so nothing is sent there.
    pub(crate) fn is_shut(&self) -> bool {
        self.lock().is_some()
    }

    /// Whether it is time to try a shut port again. Whoever is told so does it, and [notes](Self::note) what came of it,
    /// which says when the next time is.
    pub(crate) fn is_due(&self) -> bool {
        let mut failed = self.lock();
        let Some(failed) = failed.as_mut().filter(|failed| Instant::now() >= failed.next) else {
            return false;
        };
        // A try ends long before that.
        failed.next = Instant::now() + PAUSES.1;
        true
    }

    /// A connection was tried; with what error it failed, if it did.
    pub(crate) fn note(&self, error: Option<&DialError>) {
        let mut failed = self.lock();
        let Some(error) = error else {
            *failed = None;
            return;
        };
        let (shortest, longest) = PAUSES;
        if failed.is_none() {
            tracing::warn!(%error, "a node cannot be reached from here; until it can, it is not used");
        }
        let pause = failed.as_ref().map_or(shortest, |before| (2 * before.pause).min(longest));
        *failed = Some(Failed { next: Instant::now() + pause, pause });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_shut_port_is_tried_again_ever_more_rarely() {
        let reach = Reach::default();
        assert!(!reach.is_shut() && !reach.is_due());
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            reach.note(Some(&DialError::Slow));
            tokio::time::advance(Duration::from_millis(seconds * 1000 - 1)).await;
            assert!(!reach.is_due(), "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(reach.is_due() && !reach.is_due(), "one tries it: {seconds}");
            assert!(reach.is_shut(), "until a try says otherwise");
        }
        reach.note(None);
        assert!(!reach.is_shut());
        reach.note(Some(&DialError::Slow));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(reach.is_due(), "it begins anew after a success");
    }
}
