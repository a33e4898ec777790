//! SentencePiece BPE (`tokenizer.ggml.model = llama`): merge the neighbours whose joined
//! piece scores highest, leftmost first, until none joins; what is no piece then is
//! spelt in byte tokens.
//!
//! Algorithm: Kudo and Richardson 2018, `bpe_model.cc` of sentencepiece; llama.cpp's
//! `llm_tokenizer_spm` does the same. O(n log n) in the length of a text.

use std::cmp::Ordering;

use super::TextError;
use super::merge::{Symbol, merge};
use super::pieces;
use super::tables::{Block, NONE, Section, Tables};
use super::vocabulary::{TokenKind, Tokens, Vocabulary};
use crate::gguf::Gguf;
use crate::verbs::TokenId;

pub(super) struct SentencePieces {
    unknown: Option<TokenId>,
    space_prefix: bool,
}

/// What encoding looks up. Pieces are found by the bytes they stand for, spaces written as spaces.
pub(super) fn tabulate(file: &Gguf, tokens: &Tokens, block: &mut Block) -> Result<(), TextError> {
    let scores = file.require_f32s("tokenizer.ggml.scores")?;
    if scores.len() != tokens.len() {
        let (tokens, found) = (tokens.len(), scores.len());
        return Err(TextError::Inconsistent(format!("{tokens} tokens but {found} scores")));
    }
    let mut letters = [NONE; 256];
    for id in 0..tokens.len() as TokenId {
        if let (Some(TokenKind::Byte), [byte]) = (tokens.kind(id), tokens.bytes(id)) {
            letters[usize::from(*byte)] = id;
        }
    }
    block.put_numbers(Section::Letters, letters);
    block.put_numbers(Section::Scores, scores.into_iter().map(f32::to_bits));
    pieces::tabulate(tokens, block);
    Ok(())
}

impl SentencePieces {
    pub(super) fn new(file: &Gguf, vocabulary: Vocabulary<'_>) -> Result<Self, TextError> {
        Ok(Self {
            unknown: vocabulary.id_under(file, "tokenizer.ggml.unknown_token_id")?,
            space_prefix: file.bool("tokenizer.ggml.add_space_prefix").unwrap_or(true),
        })
    }

    /// `first`: the model's leading space, if it has one, belongs before this text.
    pub(super) fn encode(&self, tables: &Tables, text: &str, first: bool, ids: &mut Vec<TokenId>) {
        let prefix = if first && self.space_prefix { " " } else { "" };
        // U+2581 is how pieces write a space, so in a text it can only mean one.
        let text = [prefix, &text.replace('\u{2581}', " ")].concat();
        let letters = text.char_indices();
        let symbols =
            letters.map(|(start, letter)| Symbol { start, end: start + letter.len_utf8(), id: NONE });
        let scores = tables.numbers(Section::Scores);
        let bytes = |start: usize, end: usize| text.as_bytes().get(start..end).unwrap_or_default();
        let join = |left: &Symbol, right: &Symbol| {
            let id = pieces::find(tables, bytes(left.start, right.end))?;
            Some((Score(f32::from_bits(scores.get(id as usize)?)), id))
        };
        for symbol in merge(symbols.collect(), join) {
            self.spell(tables, bytes(symbol.start, symbol.end), ids);
        }
    }

    fn spell(&self, tables: &Tables, bytes: &[u8], ids: &mut Vec<TokenId>) {
        let letters = tables.numbers(Section::Letters);
        let letter = |byte: &u8| letters.get(usize::from(*byte)).filter(|id| *id != NONE).or(self.unknown);
        match pieces::find(tables, bytes) {
            Some(piece) => ids.push(piece),
            None => ids.extend(bytes.iter().filter_map(letter)),
        }
    }
}

/// The order of all floats.
struct Score(f32);

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Score {}
