//! What every token does from a state of a lexeme.

use std::sync::{Arc, Mutex};

use foldhash::{HashMap, HashMapExt};

use super::Tail;
use super::automaton::{Automaton, Character, START};
use crate::tree::Tree;
use crate::{TokenId, Vocabulary, bits};

/// The tokens of a vocabulary as seen from one state of a lexeme.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Tokens that stay inside to their last byte, by the set of outcomes that can still be
    /// reached after them ([`Automaton::reach_number`]).
    pub(crate) inside: Vec<(u32, TokenSet)>,
    /// The outcomes that can be reached after any plain token, where all of them stay inside; those
    /// are in none of the other lists then.
    pub(crate) plain: Option<u32>,
    /// Where characters are counted: of each token inside, how many it needs (one that is not
    /// complete counts) and whether it ends the lexeme; most characters first.
    pub(crate) characters: Vec<(u32, bool, TokenId)>,
    /// Tokens that go on after the lexeme has ended.
    pub(crate) exits: Vec<Exit>,
    /// The lexeme may end before the token's first byte, as this outcome; the token's first byte
    /// must be none that continues it.
    pub(crate) here: Option<u32>,
    /// What all tokens do that are spoken of nowhere else here.
    pub(crate) others: Option<Others>,
}

/// Tokens that do what they do in any string (see [`Tail`]).
#[derive(Debug)]
pub(crate) struct Others {
    pub(crate) spread: Arc<Spread>,
    /// How they end the lexeme, in place of the string's own outcome.
    pub(crate) outcome: u32,
    /// The set of outcomes that can be reached from inside ([`Automaton::reach_number`]).
    pub(crate) reach: u32,
    /// Tokens that do something else, ascending.
    pub(crate) except: Box<[TokenId]>,
}

/// The rests of tokens that leave a lexeme, after its end.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) outcome: u32,
    /// Characters completed before.
    pub(crate) characters: u32,
    pub(crate) rests: Arc<Rests>,
}

/// What is left of tokens that leave a lexeme.
#[derive(Debug)]
pub(crate) struct Rests {
    pub(crate) tree: Tree,
    /// What they do from the start of other lexemes, by number.
    pub(super) spreads: Mutex<HashMap<u64, Arc<Spread>>>,
}

impl Rests {
    fn new(rests: &[Leaving<'_>]) -> Arc<Self> {
        Arc::new(Self { tree: Tree::new(rests.len(), |at| rests[at]), spreads: Mutex::default() })
    }
}

/// A set of tokens, in the smaller of two forms.
#[derive(Debug, Clone)]
pub(crate) enum TokenSet {
    Few(Vec<TokenId>),
    Bits(Box<[u32]>),
}

impl TokenSet {
    pub(crate) fn new(ids: Vec<TokenId>, words: usize) -> Self {
        if ids.len() < words {
            return Self::Few(ids);
        }
        let mut bits = vec![0_u32; words].into_boxed_slice();
        ids.iter().for_each(|id| bits::insert(&mut bits, *id));
        Self::Bits(bits)
    }

    /// Its tokens, `most` at most.
    pub(crate) fn first(&self, most: usize) -> Vec<TokenId> {
        match self {
            Self::Few(ids) => ids.iter().copied().take(most).collect(),
            Self::Bits(bits) => bits::each(bits).take(most).collect(),
        }
    }

    /// The set without some tokens, which are ascending.
    fn without(&self, except: &[TokenId]) -> Self {
        match self {
            Self::Few(ids) => {
                Self::Few(ids.iter().copied().filter(|id| except.binary_search(id).is_err()).collect())
            }
            Self::Bits(bits) => {
                let mut bits = bits.clone();
                except.iter().for_each(|id| bits::remove(&mut bits, *id));
                Self::Bits(bits)
            }
        }
    }

    /// Both sets as one.
    fn with(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Few(mut ids), Self::Few(others)) => {
                ids.extend(others);
                Self::Few(ids)
            }
            (Self::Bits(mut bits), other) => {
                other.add_to(&mut bits);
                Self::Bits(bits)
            }
            (few, Self::Bits(bits)) => {
                let mut bits = bits.clone();
                few.add_to(&mut bits);
                Self::Bits(bits)
            }
        }
    }

    pub(crate) fn add_to(&self, mask: &mut [u32]) {
        match self {
            Self::Few(ids) => ids.iter().for_each(|id| bits::insert(mask, *id)),
            Self::Bits(bits) => mask.iter_mut().zip(bits).for_each(|(word, bits)| *word |= bits),
        }
    }
}

impl Default for TokenSet {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Spread {
    pub(super) fn new(automaton: &Automaton, from: u32, vocabulary: &Vocabulary) -> Self {
        let mut sketch = Sketch::new(automaton, vocabulary);
        let plain = automaton.is_free(from);
        if plain {
            let others = vocabulary.tree().all_ids().iter().filter(|id| vocabulary.plain_from(**id) > 0);
            others.for_each(|id| sketch.read((from, 0), 0, *id));
        } else {
            sketch.walk(from, vocabulary.tree());
        }
        sketch.finish(from, plain)
    }

    /// The same where most tokens come to a tail: only the others are looked at.
    pub(super) fn before_tail(
        automaton: &Automaton,
        from: u32,
        vocabulary: &Vocabulary,
        tail: &Tail,
    ) -> Self {
        let mut sketch = Sketch::new(automaton, vocabulary);
        let except = sketch.walk_beside(from, vocabulary.tree(), (automaton, tail.state));
        let (spread, outcome) = (tail.spread.clone(), tail.outcome);
        let others = Others { spread, outcome, reach: automaton.reach_number(tail.state), except };
        Self { others: Some(others), ..sketch.finish(from, false) }
    }

    /// The same where most tokens, or rests of tokens, do what they do from another state, whose spread is
    /// known and whole: only the others are looked at. The other state may be of another automaton, if states of
    /// one number lead to the same in both.
    pub(super) fn beside(
        automaton: &Automaton,
        from: u32,
        vocabulary: &Vocabulary,
        tokens: &Tree,
        (of, other, known): (&Automaton, u32, &Self),
    ) -> Self {
        let mut sketch = Sketch::new(automaton, vocabulary);
        let except = sketch.walk_beside(from, tokens, (of, other));
        let is_alike = |id: &TokenId| except.binary_search(id).is_err();
        for exit in &known.exits {
            let leaving = sketch.leaving.entry((exit.outcome, exit.characters)).or_default();
            for node in exit.rests.tree.nodes() {
                for id in exit.rests.tree.ids(node).iter().filter(|id| is_alike(id)) {
                    let token = vocabulary.token(*id);
                    leaving.push((&token[token.len() - usize::from(node.depth) - 1..], *id));
                }
            }
        }
        sketch.leaving.retain(|_, rests| !rests.is_empty());
        let mut spread = sketch.finish(from, false);
        for (set, tokens) in &known.inside {
            let alike = tokens.without(&except);
            match spread.inside.binary_search_by_key(set, |(set, _)| *set) {
                Ok(place) => spread.inside[place].1 = alike.with(&spread.inside[place].1),
                Err(place) => spread.inside.insert(place, (*set, alike)),
            }
        }
        spread
    }

    /// Whether it says of every token what that does.
    pub(super) fn is_whole(&self) -> bool {
        self.others.is_none() && self.plain.is_none()
    }

    /// What rests of tokens do from the start.
    pub(super) fn of_rests(automaton: &Automaton, rests: &Tree, vocabulary: &Vocabulary) -> Self {
        let mut sketch = Sketch::new(automaton, vocabulary);
        sketch.walk(START, rests);
        sketch.finish(START, false)
    }
}

/// What is left of a token, and the token.
type Leaving<'a> = (&'a [u8], TokenId);

/// A spread in the making.
struct Sketch<'a> {
    automaton: &'a Automaton,
    vocabulary: &'a Vocabulary,
    inside: HashMap<u32, Vec<TokenId>>,
    characters: Vec<(u32, bool, TokenId)>,
    /// By outcome and characters.
    leaving: HashMap<(u32, u32), Vec<Leaving<'a>>>,
}

impl<'a> Sketch<'a> {
    fn new(automaton: &'a Automaton, vocabulary: &'a Vocabulary) -> Self {
        let (inside, leaving) = (HashMap::new(), HashMap::new());
        Self { automaton, vocabulary, inside, characters: Vec::new(), leaving }
    }

    /// Visits the tokens, or rests of tokens, that do not do from `from` what they do from another state; which
    /// those are.
    fn walk_beside(&mut self, from: u32, tree: &Tree, (of, beside): (&Automaton, u32)) -> Box<[TokenId]> {
        let mut except: Vec<TokenId> = Vec::new();
        // The states after each prefix, and whether the other has left the lexeme within it.
        let mut path = vec![(Some(from), Some(beside), false); tree.depth() + 1];
        let nodes = tree.nodes();
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let depth = usize::from(node.depth);
            let (own, other, left) = path[depth];
            let step = |of: &Automaton, state: Option<u32>| state.and_then(|state| of.step(state, node.byte));
            let next = (step(self.automaton, own), step(of, other));
            if next.0.is_some() && next.0 == next.1 {
                at += node.size as usize; // alike from here on
                continue;
            }
            let has_ended = |of: &Automaton, state: Option<u32>| {
                depth > 0 && state.is_some_and(|state| of.ending(state).is_some())
            };
            let left = left || next.1.is_none() && has_ended(of, other);
            let Some(state) = next.0 else {
                let leaves = has_ended(self.automaton, own);
                if leaves || left || next.1.is_some() {
                    for (id, before) in tokens_below(tree, at, self.vocabulary) {
                        except.push(id);
                        if leaves && let Some(own) = own {
                            self.leaves(own, 0, before + depth, id);
                        }
                    }
                }
                at += node.size as usize;
                continue;
            };
            path[depth + 1] = (next.0, next.1, left);
            for id in tree.ids(node) {
                self.stays(state, 0, *id);
                except.push(*id);
            }
            at += 1;
        }
        except.sort_unstable();
        except.dedup();
        except.into()
    }

    /// Visits the tokens, or rests of tokens, that can be read from a state; what lies below a free
    /// state is not walked but taken together.
    fn walk(&mut self, from: u32, tree: &Tree) {
        // Nodes are visited in preorder, so the state and count of a prefix are on this stack.
        let mut path = vec![(from, 0_u32); tree.depth() + 1];
        let nodes = tree.nodes();
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let depth = usize::from(node.depth);
            let (state, count) = path[depth];
            let Some(next) = self.automaton.step(state, node.byte) else {
                at += node.size as usize;
                continue;
            };
            let count = count + self.completed(next);
            path[depth + 1] = (next, count);
            if self.automaton.is_free(next) {
                let mut plain = Vec::new();
                for (id, before) in tokens_below(tree, at, self.vocabulary) {
                    let start = before + depth + 1;
                    if self.automaton.counts() || self.vocabulary.plain_from(id) > start {
                        self.read((next, count), start, id);
                    } else {
                        plain.push(id);
                    }
                }
                self.inside.entry(self.automaton.reach_number(next)).or_default().append(&mut plain);
                at += node.size as usize;
                continue;
            }
            for id in tree.ids(node) {
                self.stays(next, count, *id);
            }
            if self.automaton.ending(next).is_some() {
                let below = at + 1..at + node.size as usize;
                let mut child = below.start;
                while child < below.end {
                    let first = &nodes[child];
                    if self.automaton.step(next, first.byte).is_none() {
                        for (id, before) in tokens_below(tree, child, self.vocabulary) {
                            self.leaves(next, count, before + depth + 1, id);
                        }
                    }
                    child += first.size as usize;
                }
            }
            at += 1;
        }
    }

    /// Reads a token from its byte `start` on.
    fn read(&mut self, (mut state, mut count): (u32, u32), start: usize, id: TokenId) {
        for (at, byte) in self.vocabulary.token(id).iter().enumerate().skip(start) {
            match self.automaton.step(state, *byte) {
                Some(next) => {
                    state = next;
                    count += self.completed(next);
                }
                None => {
                    if at > 0 && self.automaton.ending(state).is_some() {
                        self.leaves(state, count, at, id);
                    }
                    return;
                }
            }
        }
        self.stays(state, count, id);
    }

    fn completed(&self, state: u32) -> u32 {
        u32::from(self.automaton.character(state) == Character::Completed)
    }

    fn stays(&mut self, state: u32, count: u32, id: TokenId) {
        self.inside.entry(self.automaton.reach_number(state)).or_default().push(id);
        if self.automaton.counts() {
            let needed = count + u32::from(self.automaton.character(state) == Character::Within);
            self.characters.push((needed, self.automaton.ending(state).is_some(), id));
        }
    }

    /// The lexeme has ended before byte `at` of a token.
    fn leaves(&mut self, state: u32, count: u32, at: usize, id: TokenId) {
        if let Some(outcome) = self.automaton.ending(state) {
            let rest = &self.vocabulary.token(id)[at..];
            self.leaving.entry((outcome, count)).or_default().push((rest, id));
        }
    }

    fn finish(mut self, from: u32, plain: bool) -> Spread {
        self.characters.sort_unstable_by(|a, b| b.cmp(a));
        let exits = self.leaving.into_iter();
        let mut exits: Vec<Exit> = exits
            .map(|((outcome, characters), rests)| {
                let rests = Rests::new(&rests);
                Exit { outcome, characters, rests }
            })
            .collect();
        exits.sort_by_key(|exit| (exit.outcome, exit.characters));
        let words = self.vocabulary.words();
        let mut inside: Vec<_> =
            self.inside.into_iter().map(|(set, ids)| (set, TokenSet::new(ids, words))).collect();
        inside.sort_by_key(|(set, _)| *set);
        let plain = plain.then(|| self.automaton.reach_number(from));
        let here = self.automaton.ending(from);
        Spread { inside, plain, characters: self.characters, exits, here, others: None }
    }
}

/// Tokens at and below a node, and how many of their bytes come before those in the tree: none in
/// the vocabulary's own, where the ids are all that is looked at.
fn tokens_below<'a>(
    tree: &'a Tree,
    index: usize,
    vocabulary: &'a Vocabulary,
) -> impl Iterator<Item = (TokenId, usize)> + use<'a> {
    let whole = std::ptr::eq(tree, vocabulary.tree());
    let (ids, nodes) = if whole {
        (&tree.all_ids()[tree.places(index)], &[][..])
    } else {
        (&[][..], &tree.nodes()[index..index + tree.nodes()[index].size as usize])
    };
    let rests = nodes.iter().flat_map(move |node| {
        let length = usize::from(node.depth) + 1;
        tree.ids(node).iter().map(move |id| (*id, vocabulary.token(*id).len() - length))
    });
    ids.iter().map(|id| (*id, 0)).chain(rests)
}
