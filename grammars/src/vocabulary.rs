//! A model's tokens as plain bytes.

use std::sync::OnceLock;

use crate::lexeme::{Lexicon, TokenSet};
use crate::plainness::{characters, plain_from};
use crate::tree::{LONGEST, Tree};

/// A token's id: its index in the vocabulary.
pub type TokenId = u32;

/// The tokens of a model, in a prefix tree, with what has been computed for them.
#[derive(Debug)]
pub struct Vocabulary {
    digest: String,
    ends: Vec<TokenId>,
    bytes: Vec<u8>,
    /// Token `id` is `bytes[offsets[id]..offsets[id + 1]]`.
    offsets: Vec<u32>,
    tree: Tree,
    spellable: [bool; 256],
    /// For each id, from which byte on it is plain.
    plain_from: Vec<u16>,
    /// Tokens that are plain as a whole, and how many characters each has, most first.
    plain: TokenSet,
    plain_by_length: Vec<(u32, TokenId)>,
    /// Tokens of letters, the longest first, each of another length.
    letters: Vec<TokenId>,
    lexicon: Lexicon,
    most: OnceLock<Most>,
}

/// The most of something that one token has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Most {
    /// Opening parentheses.
    pub(crate) parentheses: u32,
    /// Runs of letters, digits and underscores. Of such as have no ASCII letter and only white space between
    /// them, the first alone counts: no language has more than two names there.
    pub(crate) words: u32,
    /// Tokens that spell such a run where it stands alone.
    pub(crate) word: u32,
}

/// Runs of so many bytes are taken to need as many tokens: how few spell them is not looked for.
const SHORT: usize = 8;

impl Vocabulary {
    /// Token `i` is the `i`th item. Empty tokens (special ones) are never allowed by a
    /// grammar; `ends` are allowed where a text may end. `digest` names the vocabulary in
    /// caches: two vocabularies of one digest must be equal.
    ///
    /// A token longer than 65,535 bytes is never allowed.
    pub fn new<T: AsRef<[u8]>>(
        digest: impl Into<String>,
        tokens: impl IntoIterator<Item = T>,
        ends: Vec<TokenId>,
    ) -> Self {
        let tokens = tokens.into_iter();
        let least = tokens.size_hint().0;
        let (mut bytes, mut offsets) = (Vec::with_capacity(least * 8), Vec::with_capacity(least + 1));
        offsets.push(0);
        for token in tokens {
            bytes.extend_from_slice(token.as_ref());
            offsets.push(bytes.len() as u32);
        }
        let mut vocabulary = Self {
            digest: digest.into(),
            ends,
            bytes,
            offsets,
            tree: Tree::default(),
            spellable: [false; 256],
            plain_from: Vec::new(),
            plain: TokenSet::default(),
            plain_by_length: Vec::new(),
            letters: Vec::new(),
            lexicon: Lexicon::default(),
            most: OnceLock::new(),
        };
        let usable = |id: &TokenId| {
            (1..=LONGEST).contains(&vocabulary.token(*id).len()) && !vocabulary.ends.contains(id)
        };
        let usable: Vec<TokenId> = (0..vocabulary.len() as TokenId).filter(usable).collect();
        vocabulary.tree = Tree::new(usable.len(), |at| (vocabulary.token(usable[at]), usable[at]));
        for id in &usable {
            if let [byte] = *vocabulary.token(*id) {
                vocabulary.spellable[usize::from(byte)] = true;
            }
        }
        vocabulary.find_plain(&usable);
        vocabulary
    }

    /// `usable` is ascending.
    fn find_plain(&mut self, usable: &[TokenId]) {
        let tokens = (0..self.len() as TokenId).map(|id| self.token(id));
        self.plain_from = tokens.map(|token| plain_from(token) as u16).collect();
        let plain: Vec<TokenId> = usable.iter().copied().filter(|id| self.plain_from(*id) == 0).collect();
        self.plain_by_length = by_length(plain.iter().map(|id| (characters(self.token(*id)), *id)).collect());
        self.plain = TokenSet::new(plain, self.words());
        let of_letters = self.plain_by_length.iter().map(|(_, id)| *id);
        let mut letters: Vec<TokenId> =
            of_letters.filter(|id| self.token(*id).iter().all(u8::is_ascii_lowercase)).collect();
        letters.dedup_by_key(|id| self.token(*id).len());
        self.letters = letters;
    }

    /// Tokens of so many letters in all, few of them; `None` where no letter is a token.
    pub(crate) fn filler(&self, count: u32) -> Option<Vec<TokenId>> {
        let (mut left, mut tokens) = (count as usize, Vec::new());
        for id in &self.letters {
            let length = self.token(*id).len();
            tokens.extend(std::iter::repeat_n(*id, left / length));
            left %= length;
        }
        (left == 0).then_some(tokens)
    }

    /// How many tokens [`filler`](Self::filler) has; as many as letters where there is none.
    pub(crate) fn filler_tokens(&self, count: u32) -> u32 {
        let (mut left, mut tokens) = (count, 0);
        for id in &self.letters {
            let length = self.token(*id).len() as u32;
            tokens += left / length;
            left %= length;
        }
        if left == 0 { tokens } else { count }
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name given to [`new`](Self::new).
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Tokens that end a text.
    pub fn ends(&self) -> &[TokenId] {
        &self.ends
    }

    /// A token's bytes; empty for special tokens and unknown ids.
    pub fn token(&self, id: TokenId) -> &[u8] {
        let id = id as usize;
        match (self.offsets.get(id), self.offsets.get(id + 1)) {
            (Some(start), Some(end)) => &self.bytes[*start as usize..*end as usize],
            _ => &[],
        }
    }

    /// Words of a mask over this vocabulary.
    pub(crate) fn words(&self) -> usize {
        self.len().div_ceil(32)
    }

    /// Bytes that are tokens by themselves: a text of these can always be spelled.
    pub(crate) fn spellable(&self) -> &[bool; 256] {
        &self.spellable
    }

    /// The tokens by their bytes, without special ones.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// From which byte on a token is plain.
    pub(crate) fn plain_from(&self, id: TokenId) -> usize {
        usize::from(self.plain_from[id as usize])
    }

    /// Tokens that are plain as a whole.
    pub(crate) fn plain(&self) -> &TokenSet {
        &self.plain
    }

    /// The same with how many characters each has, most first.
    pub(crate) fn plain_by_length(&self) -> &[(u32, TokenId)] {
        &self.plain_by_length
    }

    /// Lexemes of all grammars of this vocabulary.
    pub(crate) fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// What one token has at most.
    pub(crate) fn most(&self) -> Most {
        *self.most.get_or_init(|| {
            let tokens = self.tree.all_ids().iter().map(|id| self.token(*id));
            tokens.fold(Most::default(), |most, token| Most {
                parentheses: most.parentheses.max(token.iter().filter(|byte| **byte == b'(').count() as u32),
                words: most.words.max(words(token)),
                word: runs(token).map(|run| self.word_tokens(run)).fold(most.word, u32::max),
            })
        })
    }

    fn word_tokens(&self, run: &[u8]) -> u32 {
        if !is_word(&run[0]) {
            0
        } else if run.len() <= SHORT {
            run.len() as u32
        } else {
            self.tokens_of(run)
        }
    }

    /// Tokens that spell `text`, each as long as can be: not always as few as there are, but soon told. As many as
    /// bytes where one cannot be spelled.
    pub(crate) fn tokens_of(&self, text: &[u8]) -> u32 {
        let (mut at, mut tokens) = (0, 0);
        while at < text.len() {
            let (mut below, mut longest) = (self.tree.root(), 1);
            for (to, byte) in text.iter().enumerate().skip(at) {
                let Some(found) = self.tree.child(&below, *byte) else { break };
                if !self.tree.ids_at(&found).is_empty() {
                    longest = to + 1 - at;
                }
                below = found.start + 1..found.end;
            }
            at += longest;
            tokens += 1;
        }
        tokens
    }

    /// Fewest tokens that spell `text`, by dynamic programming over its ends; `None` where a
    /// byte cannot be spelled.
    pub(crate) fn spell(&self, text: &[u8]) -> Option<Vec<TokenId>> {
        // Best way to reach each position: tokens so far and the last one.
        let mut best: Vec<Option<(u32, TokenId)>> = vec![None; text.len() + 1];
        best[0] = Some((0, 0));
        for from in 0..text.len() {
            let Some((count, _)) = best[from] else { continue };
            let mut below = self.tree.root();
            for (to, byte) in text.iter().enumerate().skip(from) {
                let Some(found) = self.tree.child(&below, *byte) else { break };
                if let Some(id) = self.tree.ids_at(&found).first()
                    && best[to + 1].is_none_or(|(least, _)| count + 1 < least)
                {
                    best[to + 1] = Some((count + 1, *id));
                }
                below = found.start + 1..found.end;
            }
        }
        let mut tokens = Vec::new();
        let mut at = text.len();
        while at > 0 {
            let (_, token) = best[at]?;
            tokens.push(token);
            at -= self.token(token).len();
        }
        tokens.reverse();
        Some(tokens)
    }
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii()
}

fn runs(token: &[u8]) -> impl Iterator<Item = &[u8]> {
    token.chunk_by(|a, b| is_word(a) == is_word(b))
}

fn words(token: &[u8]) -> u32 {
    let runs: Vec<&[u8]> = runs(token).collect();
    let counts = |at: &usize| {
        let after_blanks = *at > 1 && runs[at - 1].iter().all(u8::is_ascii_whitespace);
        is_word(&runs[*at][0]) && (!after_blanks || runs[*at].iter().any(u8::is_ascii_alphanumeric))
    };
    (0..runs.len()).filter(counts).count() as u32
}

/// Tokens with their lengths, ascending by id before and descending by length, then by id, after. There are
/// few lengths: tokens are counted into their places.
fn by_length(tokens: Vec<(u32, TokenId)>) -> Vec<(u32, TokenId)> {
    let longest = tokens.iter().map(|(length, _)| *length as usize).max().unwrap_or(0);
    let mut places = vec![0; longest + 1];
    for (length, _) in &tokens {
        places[*length as usize] += 1;
    }
    let mut before = 0;
    for place in places.iter_mut().rev() {
        before += std::mem::replace(place, before);
    }
    let mut sorted = vec![(0, 0); tokens.len()];
    for token in tokens.into_iter().rev() {
        let place = &mut places[token.0 as usize];
        sorted[*place] = token;
        *place += 1;
    }
    sorted
}
