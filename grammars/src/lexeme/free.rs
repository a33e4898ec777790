//! States in which nothing plain can go wrong: the inside of a string that may be any text.

use std::rc::Rc;

use foldhash::{HashMap, HashMapExt};

use super::automaton::Automaton;

/// Which states are [free](Automaton::is_free): those from which every plain character leads to one and the
/// same state, which is one of them. (Others may be as free, but are not worth the search.)
pub(super) fn states(automaton: &Automaton) -> Vec<bool> {
    let mut search = Search::new(automaton);
    let targets: Vec<Option<u32>> =
        (0..automaton.states() as u32).map(|state| search.target(state)).collect();
    let is_free =
        |target: &Option<u32>| target.is_some_and(|target| targets[target as usize] == Some(target));
    targets.iter().map(is_free).collect()
}

/// Plain bytes, one of each class that an automaton knows, since those of a class lead to the same state.
struct Search<'a> {
    automaton: &'a Automaton,
    ascii: Vec<u8>,
    longer: Rc<[Longer]>,
    /// Bytes after the second.
    more: Rc<[u8]>,
    /// The state that all ways to complete a character lead to, by the state within it and the bytes that are
    /// missing.
    completed: HashMap<(u32, u8), Option<u32>>,
}

/// First bytes of longer characters, second bytes, and how many follow the first.
type Longer = (Vec<u8>, Vec<u8>, u8);

impl<'a> Search<'a> {
    fn new(automaton: &'a Automaton) -> Self {
        let longer = crate::plainness::LEADS.iter().map(|(leads, low, high, left)| {
            (
                first_of_each_class(automaton, leads.clone()),
                first_of_each_class(automaton, *low..=*high),
                *left,
            )
        });
        Self {
            automaton,
            ascii: first_of_each_class(automaton, crate::plainness::ASCII.into_iter()),
            longer: longer.collect(),
            more: first_of_each_class(automaton, 0x80..=0xBF).into(),
            completed: HashMap::new(),
        }
    }

    /// The state that every plain character leads to, with the same outcomes all the way.
    fn target(&mut self, state: u32) -> Option<u32> {
        let automaton = self.automaton;
        let reach = automaton.reach_number(state);
        let target = automaton.step(state, *self.ascii.first()?)?;
        let all_ascii = self.ascii.iter().all(|byte| automaton.step(state, *byte) == Some(target));
        if automaton.reach_number(target) != reach || !all_ascii {
            return None;
        }
        let all_longer = self.longer.clone().iter().all(|(leads, seconds, left)| {
            leads.iter().all(|lead| {
                let within = automaton.step(state, *lead);
                let within = within.filter(|within| automaton.reach_number(*within) == reach);
                within.is_some_and(|within| self.completion(within, seconds, *left) == Some(target))
            })
        });
        all_longer.then_some(target)
    }

    /// The state that all ways to complete a character lead to, of which the next byte is one of `next` and
    /// `left` bytes are missing.
    fn completion(&mut self, within: u32, next: &[u8], left: u8) -> Option<u32> {
        let mut target = None;
        for byte in next {
            let state = self.automaton.step(within, *byte)?;
            let end = if left == 1 { state } else { self.known_completion(state, left - 1)? };
            if *target.get_or_insert(end) != end {
                return None;
            }
        }
        target
    }

    fn known_completion(&mut self, within: u32, left: u8) -> Option<u32> {
        if let Some(known) = self.completed.get(&(within, left)) {
            return *known;
        }
        let found = self.completion(within, &self.more.clone(), left);
        self.completed.insert((within, left), found);
        found
    }
}

fn first_of_each_class(automaton: &Automaton, bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut seen = [false; 256];
    bytes.filter(|byte| !std::mem::replace(&mut seen[automaton.class(*byte)], true)).collect()
}
