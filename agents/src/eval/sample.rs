//! Which items, when not all.

use sha2::{Digest, Sha256};

use crate::eval::suite::Item;

/// At most `limit` items. When that leaves some out, the choice follows from the seed and each
/// item's name alone: the same seed takes the same items, and a higher limit adds to them.
pub fn choose(mut items: Vec<Item>, limit: Option<usize>, seed: u64) -> Vec<Item> {
    match limit {
        Some(limit) if limit < items.len() => {
            items.sort_by_cached_key(|item| rank(seed, &item.id));
            items.truncate(limit);
            items
        }
        _ => items,
    }
}

fn rank(seed: u64, id: &str) -> [u8; 32] {
    Sha256::new().chain_update(seed.to_le_bytes()).chain_update(id).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::suite::{Item, Work};

    fn names(limit: Option<usize>, seed: u64) -> Vec<String> {
        let item = |i: usize| Item {
            id: format!("item-{i}"),
            work: Work::Score { ids: Vec::new() },
            expected: serde_json::Value::Null,
        };
        choose((0..50).map(item).collect(), limit, seed).into_iter().map(|item| item.id).collect()
    }

    #[test]
    fn the_seed_decides_and_a_higher_limit_adds() {
        let ten = names(Some(10), 1);
        assert_eq!(ten, names(Some(10), 1));
        assert_ne!(ten, names(Some(10), 2));
        assert_eq!(ten, names(Some(20), 1)[..10]);
        assert_ne!(ten, names(None, 1)[..10], "the first ones of a file are no sample");
        assert_eq!(names(Some(50), 1), names(None, 3), "all of them stay in their order");
    }
}
