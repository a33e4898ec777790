//! A storm over 32 nodes, in simulated time: whatever happens, and in whatever order, every invariant
//! holds for a node after everything that it is told, and after the storm all that can talk see each other alive.
//!
//! `SIM_SEED` and `SIM_ROUNDS` choose other storms; a failure prints the seed and the last events.

mod checks;
mod network;
mod process;
mod storm;
mod world;

use std::env;

#[test]
fn every_invariant_holds_in_a_storm_and_all_find_each_other_after_it() {
    let number = |name, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let seed: u64 = number("SIM_SEED", 7);
    for round in 0..number("SIM_ROUNDS", 3) {
        let mut storm = storm::Storm::new(seed + round);
        for _ in 0..10_000 {
            storm.next_event();
        }
        storm.calm_down();
        storm.check_agreement();
    }
}
