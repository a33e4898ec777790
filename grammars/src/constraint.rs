//! What a sampler needs of a constraint.

use crate::PartialValue;
use crate::vocabulary::TokenId;

/// The state of a constraint within one text.
pub trait Constraint: Send {
    /// Writes the allowed set, one bit per token: bit `id % 32` of word `id / 32`. Words
    /// past the vocabulary are cleared. End tokens are set when the text may end here.
    fn mask(&mut self, allowed: &mut [u32]);

    /// As [`mask`](Self::mask), of the tokens after which `left - 1` more suffice to complete the
    /// text. With `left` at or above the length of [`close_path`](Self::close_path) a token or the
    /// end is always allowed, and again after each token that is, with one less: so the text is
    /// complete when they are used up.
    fn mask_within(&mut self, allowed: &mut [u32], left: u32);

    /// Advances over a token; `false` when it is not allowed, and then nothing changes.
    /// After an end token nothing is allowed any more.
    fn try_accept(&mut self, token: TokenId) -> bool;

    /// How many of the tokens are accepted, one after the other; the constraint advances over them.
    fn validate(&mut self, tokens: &[TokenId]) -> usize {
        tokens.iter().take_while(|token| self.try_accept(**token)).count()
    }

    /// Forgets the last `count` accepted tokens; more than there are means all.
    fn rollback(&mut self, count: usize);

    /// An independent copy in the same state; cheap, what is compiled is shared.
    fn fork(&self) -> Box<dyn Constraint>;

    /// Tokens of which each is the only allowed one when its turn comes; empty when there
    /// is a choice or the text may end. A text that can be cut into tokens in several ways
    /// is a choice: the model decides how it spells.
    fn forced(&mut self) -> Vec<TokenId>;

    /// Bytes that come next, however they are cut into tokens: as far as there is no choice, or none but the
    /// case of letters, white space, and names that were made up. Then they are likely, not certain.
    fn likely_bytes(&mut self) -> Vec<u8>;

    /// Few tokens that complete the text from here; empty where it may end. `None` where the
    /// vocabulary cannot spell any completion.
    fn close_path(&mut self) -> Option<Vec<TokenId>>;

    /// How many tokens [`close_path`](Self::close_path) has.
    fn min_close_tokens(&mut self) -> Option<usize> {
        self.close_path().map(|path| path.len())
    }

    /// Whether the text so far satisfies the constraint.
    fn is_accepting(&mut self) -> bool;

    /// Whether nothing can follow: accepting, and only the end is left.
    fn is_stopped(&mut self) -> bool;

    /// The value so far of a text that is JSON; `None` of other languages, and before a value begins.
    fn partial(&mut self) -> Option<&PartialValue>;
}
