//! SentencePiece BPE (`tokenizer.ggml.model = llama`): merge the neighbours whose joined
//! piece scores highest, leftmost first, until none joins; what is no piece then is
//! spelt in byte tokens.
//!
//! Algorithm: Kudo and Richardson 2018, `bpe_model.cc` of sentencepiece; llama.cpp's
//! `llm_tokenizer_spm` does the same. O(n log n) in the length of a text.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};

use super::TextError;
use super::vocabulary::{TokenKind, Vocabulary};
use crate::gguf::Gguf;
use crate::verbs::TokenId;

/// No neighbour.
const NONE: usize = usize::MAX;

pub(super) struct SentencePieces {
    /// By the bytes a piece stands for, spaces written as spaces.
    pieces: HashMap<Box<[u8]>, Scored>,
    byte_tokens: Box<[Option<TokenId>; 256]>,
    unknown: Option<TokenId>,
    space_prefix: bool,
}

#[derive(Clone, Copy)]
struct Scored {
    id: TokenId,
    score: f32,
}

impl SentencePieces {
    pub(super) fn from_gguf(file: &Gguf, vocabulary: &Vocabulary) -> Result<Self, TextError> {
        let scores = file.require_f32s("tokenizer.ggml.scores")?;
        if scores.len() != vocabulary.len() {
            let (tokens, found) = (vocabulary.len(), scores.len());
            return Err(TextError::Inconsistent(format!("{tokens} tokens but {found} scores")));
        }
        let mut pieces = HashMap::with_capacity(vocabulary.len());
        let mut byte_tokens = Box::new([None; 256]);
        for (id, score) in (0..).zip(scores) {
            let bytes = vocabulary.bytes(id);
            match (vocabulary.kind(id), bytes) {
                (Some(TokenKind::Byte), [byte]) => byte_tokens[usize::from(*byte)] = Some(id),
                (Some(TokenKind::Normal | TokenKind::UserDefined), [_, ..]) => {
                    pieces.insert(bytes.into(), Scored { id, score });
                }
                _ => {}
            }
        }
        Ok(Self {
            pieces,
            byte_tokens,
            unknown: vocabulary.id_under(file, "tokenizer.ggml.unknown_token_id")?,
            space_prefix: file.bool("tokenizer.ggml.add_space_prefix").unwrap_or(true),
        })
    }

    /// `first`: the model's leading space, if it has one, belongs before this text.
    pub(super) fn encode(&self, text: &str, first: bool, ids: &mut Vec<TokenId>) {
        let prefix = if first && self.space_prefix { " " } else { "" };
        // U+2581 is how pieces write a space, so in a text it can only mean one.
        let text = [prefix, &text.replace('\u{2581}', " ")].concat();
        let mut symbols = Symbols::new(&text);
        let mut queue: BinaryHeap<Merge> = BinaryHeap::with_capacity(symbols.list.len());
        for left in 0..symbols.list.len() {
            queue.extend(self.merge_at(&symbols, left));
        }
        while let Some(merge) = queue.pop() {
            if symbols.join(&merge) {
                let before = symbols.list[merge.left].before;
                queue.extend(self.merge_at(&symbols, merge.left));
                if before != NONE {
                    queue.extend(self.merge_at(&symbols, before));
                }
            }
        }
        for symbol in symbols.list.iter().filter(|symbol| symbol.start < symbol.end) {
            self.spell(symbols.bytes(symbol.start, symbol.end), ids);
        }
    }

    fn merge_at(&self, symbols: &Symbols<'_>, left: usize) -> Option<Merge> {
        let symbol = symbols.list.get(left)?;
        let next = symbols.list.get(symbol.after)?;
        let piece = self.pieces.get(symbols.bytes(symbol.start, next.end))?;
        Some(Merge { score: piece.score, left, end: next.end, middle: symbol.end })
    }

    fn spell(&self, bytes: &[u8], ids: &mut Vec<TokenId>) {
        match self.pieces.get(bytes) {
            Some(piece) => ids.push(piece.id),
            None => ids.extend(
                bytes.iter().filter_map(|byte| self.byte_tokens[usize::from(*byte)].or(self.unknown)),
            ),
        }
    }
}

/// A candidate; stale once either side has changed, which `middle` and `end` tell.
#[derive(PartialEq)]
struct Merge {
    score: f32,
    left: usize,
    middle: usize,
    end: usize,
}

impl Eq for Merge {}

impl Ord for Merge {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(Reverse(self.left).cmp(&Reverse(other.left)))
    }
}

impl PartialOrd for Merge {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A text cut into symbols: a doubly linked list over byte ranges.
struct Symbols<'a> {
    text: &'a str,
    list: Vec<Symbol>,
}

struct Symbol {
    start: usize,
    /// Equal to `start` once merged into the symbol before.
    end: usize,
    before: usize,
    after: usize,
}

impl<'a> Symbols<'a> {
    fn new(text: &'a str) -> Self {
        let mut list: Vec<Symbol> = Vec::with_capacity(text.len());
        for (start, letter) in text.char_indices() {
            let at = list.len();
            list.push(Symbol {
                start,
                end: start + letter.len_utf8(),
                before: at.checked_sub(1).unwrap_or(NONE),
                after: at + 1,
            });
        }
        if let Some(last) = list.last_mut() {
            last.after = NONE;
        }
        Self { text, list }
    }

    fn bytes(&self, start: usize, end: usize) -> &[u8] {
        self.text.as_bytes().get(start..end).unwrap_or_default()
    }

    /// Carries out a merge; `false` when it is stale.
    fn join(&mut self, merge: &Merge) -> bool {
        let Some(left) = self.list.get(merge.left) else {
            return false;
        };
        let right = left.after;
        let fresh = left.start < left.end
            && left.end == merge.middle
            && self.list.get(right).is_some_and(|right| right.end == merge.end);
        if !fresh {
            return false;
        }
        let after = self.list[right].after;
        self.list[right].end = self.list[right].start;
        self.list[merge.left].end = merge.end;
        self.list[merge.left].after = after;
        if let Some(next) = self.list.get_mut(after) {
            next.before = merge.left;
        }
        true
    }
}
