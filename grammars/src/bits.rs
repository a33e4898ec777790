//! Sets of tokens as masks have them: bit `id % 32` of word `id / 32`. Ids past the words are in no set.

use crate::TokenId;

pub(crate) fn contains(words: &[u32], id: TokenId) -> bool {
    words.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
}

pub(crate) fn insert(words: &mut [u32], id: TokenId) {
    if let Some(word) = words.get_mut(id as usize / 32) {
        *word |= 1 << (id % 32);
    }
}

pub(crate) fn remove(words: &mut [u32], id: TokenId) {
    if let Some(word) = words.get_mut(id as usize / 32) {
        *word &= !(1 << (id % 32));
    }
}

/// The tokens of a set, ascending.
pub(crate) fn each(words: &[u32]) -> impl Iterator<Item = TokenId> + '_ {
    let set = words.iter().enumerate().filter(|(_, word)| **word != 0);
    set.flat_map(|(index, word)| {
        (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index as TokenId * 32 + bit)
    })
}
