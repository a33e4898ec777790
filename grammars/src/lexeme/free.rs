//! States in which nothing plain can go wrong: the inside of a string that may be any text.

use std::collections::HashMap;

use super::automaton::Automaton;

/// Which states are [free](Automaton::is_free): the greatest set whose members lead to members.
pub(super) fn states(automaton: &Automaton) -> Vec<bool> {
    let mut free = vec![true; automaton.states()];
    // One byte of each class suffices, since those of a class lead to the same state.
    let plain: Vec<u8> = first_of_each_class(automaton, crate::plainness::ASCII.into_iter());
    loop {
        let mut changed = false;
        for state in 0..automaton.states() as u32 {
            if free[state as usize] && !leads_to_free(automaton, state, &plain, &free) {
                free[state as usize] = false;
                changed = true;
            }
        }
        if !changed {
            return free;
        }
    }
}

fn leads_to_free(automaton: &Automaton, state: u32, plain: &[u8], free: &[bool]) -> bool {
    let reach = automaton.reach_number(state);
    let lands = |target: u32| free[target as usize] && automaton.reach_number(target) == reach;
    if !plain.iter().all(|byte| automaton.step(state, *byte).is_some_and(lands)) {
        return false;
    }
    let mut known = HashMap::new();
    crate::plainness::LEADS.iter().all(|(leads, low, high, left)| {
        first_of_each_class(automaton, leads.clone()).into_iter().all(|lead| {
            let Some(within) = automaton.step(state, lead) else { return false };
            automaton.reach_number(within) == reach
                && follows(automaton, (within, *low, *high, *left), &lands, &mut known)
        })
    })
}

/// Whether every way to complete a character lands.
fn follows(
    automaton: &Automaton,
    (state, low, high, left): (u32, u8, u8, u8),
    lands: &impl Fn(u32) -> bool,
    known: &mut HashMap<(u32, u8, u8, u8), bool>,
) -> bool {
    if let Some(known) = known.get(&(state, low, high, left)) {
        return *known;
    }
    let answer = first_of_each_class(automaton, low..=high).into_iter().all(|byte| {
        automaton.step(state, byte).is_some_and(|next| match left {
            1 => lands(next),
            _ => follows(automaton, (next, 0x80, 0xBF, left - 1), lands, known),
        })
    });
    known.insert((state, low, high, left), answer);
    answer
}

fn first_of_each_class(automaton: &Automaton, bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut seen = [false; 256];
    bytes.filter(|byte| !std::mem::replace(&mut seen[automaton.class(*byte)], true)).collect()
}
