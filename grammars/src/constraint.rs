//! What a sampler needs of a constraint.

use crate::vocabulary::TokenId;

/// The state of a constraint within one text.
pub trait Constraint: Send {
    /// Writes the allowed set, one bit per token: bit `id % 32` of word `id / 32`. Words
    /// past the vocabulary are cleared. End tokens are set when the text may end here.
    fn mask(&mut self, allowed: &mut [u32]);

    /// Advances over a token; `false` when it is not allowed, and then nothing changes.
    /// After an end token nothing is allowed any more.
    fn try_accept(&mut self, token: TokenId) -> bool;

    /// Forgets the last `count` accepted tokens; more than there are means all.
    fn rollback(&mut self, count: usize);

    /// An independent copy in the same state; cheap, what is compiled is shared.
    fn fork(&self) -> Box<dyn Constraint>;

    /// Tokens of which each is the only allowed one when its turn comes; empty when there
    /// is a choice or the text may end. A text that can be cut into tokens in several ways
    /// is a choice: the model decides how it spells.
    fn forced(&mut self) -> Vec<TokenId>;

    /// Whether the text so far satisfies the constraint.
    fn is_accepting(&self) -> bool;

    /// Whether nothing can follow: accepting, and only the end is left.
    fn is_stopped(&self) -> bool;
}
