//! The sampler's only view of a constraint.

use crate::verbs::TokenId;

/// Decides which tokens may come next.
///
/// Implemented outside this crate (grammars know nothing of engines); the sampler calls
/// `mask` before a choice and `accept` after it.
pub trait TokenGate: Send {
    /// Writes the allowed set into `allowed`, one bit per token id, bit `id % 32` of
    /// word `id / 32`. Bits past the vocabulary are ignored. The end-of-generation tokens
    /// are set when the text may end here.
    fn mask(&mut self, allowed: &mut [u32]);

    /// Advances over a chosen token. `false` when the token is not allowed, in which
    /// case the state is unchanged.
    fn accept(&mut self, token: TokenId) -> bool;

    /// Forgets the last `count` accepted tokens.
    fn rollback(&mut self, count: usize);

    /// An independent copy in the same state.
    fn fork(&self) -> Box<dyn TokenGate>;

    /// Tokens that must come next, in order; empty when there is a choice.
    fn forced(&mut self) -> Vec<TokenId>;

    /// Up to `most` tokens that are likely to come next, in order, since the text is known or nearly
    /// so; each must be allowed after those before it. They are offered, not imposed: the model is
    /// asked about all of them in one pass.
    fn foreseen(&mut self, _most: usize) -> Vec<TokenId> {
        Vec::new()
    }

    /// Nothing can follow: the constrained text is complete.
    fn is_complete(&mut self) -> bool;
}
