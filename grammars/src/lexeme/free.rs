//! States in which nothing plain can go wrong: the inside of a string that may be any text.

use super::automaton::Automaton;

/// Which states are [free](Automaton::is_free): those from which every plain character leads to one and the
/// same state, which is one of them. (Others may be as free, but are not worth the search.)
pub(super) fn states(automaton: &Automaton) -> Vec<bool> {
    let plain = Plain::of(automaton);
    let target = |state: u32| {
        let target = automaton.step(state, *plain.ascii.first()?)?;
        lead_to(automaton, state, &plain, target).then_some(target)
    };
    let targets: Vec<Option<u32>> = (0..automaton.states() as u32).map(target).collect();
    let is_free =
        |target: &Option<u32>| target.is_some_and(|target| targets[target as usize] == Some(target));
    targets.iter().map(is_free).collect()
}

/// Plain bytes, one of each class that an automaton knows, since those of a class lead to the same state.
struct Plain {
    ascii: Vec<u8>,
    /// First bytes of longer characters, second bytes, and how many follow.
    leads: Vec<(Vec<u8>, Vec<u8>, u8)>,
    /// Bytes after the second.
    more: Vec<u8>,
}

impl Plain {
    fn of(automaton: &Automaton) -> Self {
        let leads = crate::plainness::LEADS.iter().map(|(leads, low, high, left)| {
            (
                first_of_each_class(automaton, leads.clone()),
                first_of_each_class(automaton, *low..=*high),
                *left,
            )
        });
        Self {
            ascii: first_of_each_class(automaton, crate::plainness::ASCII.into_iter()),
            leads: leads.collect(),
            more: first_of_each_class(automaton, 0x80..=0xBF),
        }
    }
}

/// Whether every plain character leads from a state to `target`, with the same outcomes all the way.
fn lead_to(automaton: &Automaton, state: u32, plain: &Plain, target: u32) -> bool {
    let reach = automaton.reach_number(state);
    automaton.reach_number(target) == reach
        && plain.ascii.iter().all(|byte| automaton.step(state, *byte) == Some(target))
        && plain.leads.iter().all(|(leads, seconds, left)| {
            leads.iter().all(|lead| {
                let within = automaton.step(state, *lead);
                within.is_some_and(|within| {
                    automaton.reach_number(within) == reach
                        && completes(automaton, within, seconds, (*left, &plain.more), target)
                })
            })
        })
}

/// Whether every way to complete a character leads to `target`: its next byte is one of `next`, and of those
/// that are missing then, `left` with it, each is one of `more`.
fn completes(automaton: &Automaton, state: u32, next: &[u8], (left, more): (u8, &[u8]), target: u32) -> bool {
    next.iter().all(|byte| {
        automaton.step(state, *byte).is_some_and(|after| match left {
            1 => after == target,
            _ => completes(automaton, after, more, (left - 1, more), target),
        })
    })
}

fn first_of_each_class(automaton: &Automaton, bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut seen = [false; 256];
    bytes.filter(|byte| !std::mem::replace(&mut seen[automaton.class(*byte)], true)).collect()
}
