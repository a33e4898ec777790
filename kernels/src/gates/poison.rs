//! Memory for results that shows what was not written, and what should not have been.

use super::Flaw;

/// Results between canaries.
pub(super) struct Poisoned {
    memory: Vec<f32>,
}

/// Canaries on each side.
const CANARIES: usize = 16;
/// A NaN like no other.
const CANARY: u32 = 0x7fc5_a5a5;

impl Poisoned {
    /// Room for `len` results, each NaN until it is written.
    pub(super) fn new(len: usize) -> Self {
        Self { memory: vec![f32::from_bits(CANARY); len + 2 * CANARIES] }
    }

    /// Where they go.
    pub(super) fn room(&mut self) -> &mut [f32] {
        let end = self.memory.len() - CANARIES;
        &mut self.memory[CANARIES..end]
    }

    /// What the call at `place` wrote.
    ///
    /// # Errors
    /// [`Flaw::Outside`] when a canary is gone.
    pub(super) fn written(&self, place: &str) -> Result<&[f32], Flaw> {
        let (before, rest) = self.memory.split_at(CANARIES);
        let (results, after) = rest.split_at(rest.len() - CANARIES);
        match before.iter().chain(after).all(|canary| canary.to_bits() == CANARY) {
            true => Ok(results),
            false => Err(Flaw::Outside { place: place.to_owned() }),
        }
    }

    /// Any element, the canaries counted.
    #[cfg(test)]
    pub(super) fn beside(&mut self, index: usize) -> &mut f32 {
        &mut self.memory[index]
    }
}
