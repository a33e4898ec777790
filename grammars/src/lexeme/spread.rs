//! What every token does from a state of a lexeme.

use std::collections::HashMap;

use super::automaton::{Automaton, Character};
use crate::tree::Tree;
use crate::{TokenId, Vocabulary};

/// The tokens of a vocabulary as seen from one state of a lexeme.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Tokens that stay inside to their last byte, by the set of outcomes that can still be
    /// reached after them ([`Automaton::reach_number`]).
    pub(crate) inside: Vec<(u32, TokenSet)>,
    /// Where characters are counted: of each token inside, how many it needs (one that is not
    /// complete counts) and whether it ends the lexeme; most characters first.
    pub(crate) characters: Vec<(u32, bool, TokenId)>,
    /// Tokens that go on after the lexeme has ended.
    pub(crate) exits: Vec<Exit>,
    /// The lexeme may end before the token's first byte, as this outcome; the token's first byte
    /// must be none that continues it.
    pub(crate) here: Option<u32>,
}

/// The rests of tokens that leave a lexeme, after its end.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) outcome: u32,
    /// Characters completed before.
    pub(crate) characters: u32,
    pub(crate) rests: Tree,
}

/// A set of tokens, in the smaller of two forms.
#[derive(Debug)]
pub(crate) enum TokenSet {
    Few(Vec<TokenId>),
    Bits(Box<[u32]>),
}

impl TokenSet {
    fn new(ids: Vec<TokenId>, words: usize) -> Self {
        if ids.len() < words {
            return Self::Few(ids);
        }
        let mut bits = vec![0_u32; words].into_boxed_slice();
        ids.iter().for_each(|id| bits[*id as usize / 32] |= 1 << (id % 32));
        Self::Bits(bits)
    }

    pub(crate) fn add_to(&self, mask: &mut [u32]) {
        match self {
            Self::Few(ids) => {
                for id in ids {
                    if let Some(word) = mask.get_mut(*id as usize / 32) {
                        *word |= 1 << (id % 32);
                    }
                }
            }
            Self::Bits(bits) => mask.iter_mut().zip(bits).for_each(|(word, bits)| *word |= bits),
        }
    }

    pub(crate) fn ids(&self) -> Vec<TokenId> {
        match self {
            Self::Few(ids) => ids.clone(),
            Self::Bits(bits) => {
                let of = |(index, word): (usize, &u32)| {
                    let word = *word;
                    (0..32_u32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index as u32 * 32 + bit)
                };
                bits.iter().enumerate().flat_map(of).collect()
            }
        }
    }
}

impl Spread {
    pub(super) fn new(automaton: &Automaton, from: u32, vocabulary: &Vocabulary) -> Self {
        let tree = vocabulary.tree();
        let mut inside: HashMap<u32, Vec<TokenId>> = HashMap::new();
        let mut characters = Vec::new();
        let mut leaving: HashMap<(u32, u32), Vec<(&[u8], TokenId)>> = HashMap::new();
        // Nodes are visited in preorder, so the state and count of a prefix are on this stack.
        let mut path = vec![(from, 0_u32); tree.depth() + 1];
        let nodes = tree.nodes();
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let depth = usize::from(node.depth);
            let (state, count) = path[depth];
            let Some(next) = automaton.step(state, node.byte) else {
                at += node.size as usize;
                continue;
            };
            let place = automaton.character(next);
            let count = count + u32::from(place == Character::Completed);
            path[depth + 1] = (next, count);
            let ids = tree.ids(node);
            if !ids.is_empty() {
                inside.entry(automaton.reach_number(next)).or_default().extend_from_slice(ids);
                if automaton.counts() {
                    let ends = automaton.ending(next).is_some();
                    let needed = count + u32::from(place == Character::Within);
                    characters.extend(ids.iter().map(|id| (needed, ends, *id)));
                }
            }
            if let Some(outcome) = automaton.ending(next) {
                let below = at + 1..at + node.size as usize;
                let rests = leaving.entry((outcome, count)).or_default();
                let mut child = below.start;
                while child < below.end {
                    let first = &nodes[child];
                    let end = child + first.size as usize;
                    if automaton.step(next, first.byte).is_none() {
                        for leaf in &nodes[child..end] {
                            let ids = tree.ids(leaf).iter();
                            rests.extend(ids.map(|id| (&vocabulary.token(*id)[depth + 1..], *id)));
                        }
                    }
                    child = end;
                }
            }
            at += 1;
        }
        characters.sort_unstable_by(|a, b| b.cmp(a));
        let mut exits: Vec<Exit> = leaving
            .into_iter()
            .filter(|(_, rests)| !rests.is_empty())
            .map(|((outcome, characters), rests)| Exit { outcome, characters, rests: Tree::new(rests) })
            .collect();
        exits.sort_by_key(|exit| (exit.outcome, exit.characters));
        let mut inside: Vec<_> =
            inside.into_iter().map(|(set, ids)| (set, TokenSet::new(ids, vocabulary.words()))).collect();
        inside.sort_by_key(|(set, _)| *set);
        Self { inside, characters, exits, here: automaton.ending(from) }
    }
}
