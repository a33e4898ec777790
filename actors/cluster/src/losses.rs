//! Whoever waits for a node learns at once that it is dead.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// A token for each start of each node that somebody works with. Cheap to clone; clones share everything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Losses(Arc<Mutex<HashMap<u64, (u64, CancellationToken)>>>);

impl Losses {
    /// Fires when this start of the node is lost.
    pub(crate) fn of(&self, node: u64, generation: u64) -> CancellationToken {
        let mut losses = self.lock();
        let (known, token) = losses.entry(node).or_insert_with(|| (generation, CancellationToken::new()));
        if *known < generation {
            // The start before this one is over, told or not.
            token.cancel();
            (*known, *token) = (generation, CancellationToken::new());
        }
        match *known == generation {
            true => token.clone(),
            false => lost_already(),
        }
    }

    /// This start of the node, and those before it, are lost. The next link begins anew.
    pub(crate) fn lose(&self, node: u64, generation: u64) {
        let mut losses = self.lock();
        if losses.get(&node).is_some_and(|(known, _)| *known <= generation)
            && let Some((_, token)) = losses.remove(&node)
        {
            token.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (u64, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost_already() -> CancellationToken {
    let token = CancellationToken::new();
    token.cancel();
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_start_that_is_meant_is_lost() {
        let losses = Losses::default();
        let (old, other) = (losses.of(1, 5), losses.of(2, 5));
        losses.lose(1, 4);
        assert!(!old.is_cancelled(), "an earlier start says nothing of a later one");
        let new = losses.of(1, 6);
        assert!(old.is_cancelled() && !new.is_cancelled());
        assert!(losses.of(1, 5).is_cancelled(), "nobody comes back to a start that is over");
        losses.lose(1, 6);
        assert!(new.is_cancelled() && !other.is_cancelled());
        assert!(!losses.of(1, 6).is_cancelled(), "a node that was only cut off is worked with again");
    }
}
