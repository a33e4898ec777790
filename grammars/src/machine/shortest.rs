//! Shortest completions of things that lead to other things: a least fixed point.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt, HashSet};

/// How to complete something: a text, then other things. The *close* of something is its cheapest
/// way, with the cost of everything that it leads to; [`ENDLESS`] where there is none.
#[derive(Debug, Clone)]
pub(crate) struct Way<K> {
    pub(crate) cost: u32,
    pub(crate) text: Vec<u8>,
    pub(crate) then: Vec<K>,
}

pub(crate) const ENDLESS: u32 = u32::MAX;

/// Things looked at for one question. A language whose ways go on for ever is a defect; what lies
/// beyond counts as endless.
const LIMIT: usize = 20_000;

/// Finds closes of `first` and of everything it can lead to that is not `known` yet.
pub(crate) fn solve<K: Clone + Eq + Hash>(
    first: &K,
    known: &HashMap<K, Way<K>>,
    mut ways_of: impl FnMut(&K) -> Vec<Way<K>>,
) -> HashMap<K, Way<K>> {
    let mut order = vec![first.clone()];
    let mut seen: HashSet<K> = order.iter().cloned().collect();
    let mut ways: Vec<Vec<Way<K>>> = Vec::new();
    while let Some(next) = order.get(ways.len()).cloned() {
        let found = ways_of(&next);
        for then in found.iter().flat_map(|way| &way.then) {
            if order.len() < LIMIT && !known.contains_key(then) && seen.insert(then.clone()) {
                order.push(then.clone());
            }
        }
        ways.push(found);
    }
    let mut best: HashMap<K, (u32, usize)> = HashMap::new();
    loop {
        let mut changed = false;
        // What was found last comes first, since others lead to it.
        for (thing, ways) in order.iter().zip(&ways).rev() {
            for (index, way) in ways.iter().enumerate() {
                let cost = |thing: &K| match (known.get(thing), best.get(thing)) {
                    (Some(close), _) => close.cost,
                    (None, Some((cost, _))) => *cost,
                    (None, None) => ENDLESS,
                };
                let cost = way.then.iter().map(cost).fold(way.cost, u32::saturating_add);
                if cost < best.get(thing).map_or(ENDLESS, |(cost, _)| *cost) {
                    best.insert(thing.clone(), (cost, index));
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    let close = |(thing, mut ways): (K, Vec<Way<K>>)| {
        let close = match best.get(&thing) {
            Some((cost, index)) => Way { cost: *cost, ..ways.swap_remove(*index) },
            None => Way { cost: ENDLESS, text: Vec::new(), then: Vec::new() },
        };
        (thing, close)
    };
    order.into_iter().zip(ways).map(close).collect()
}
