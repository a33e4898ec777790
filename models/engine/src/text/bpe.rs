//! Byte-level byte pair encoding (`tokenizer.ggml.model = gpt2`): a text is cut into words, and in
//! each the neighbours whose merge comes first in the file are joined, until none joins.
//!
//! Algorithm: Sennrich et al. 2016, over bytes as in GPT-2. Merges are found by the ids of their two
//! sides, so a word costs no text comparison.

use std::cmp::Reverse;
use std::collections::HashMap;

use onig::Regex;

use super::TextError;
use super::merge::{Symbol, merge};
use super::pieces;
use super::tables::{Block, NONE, Section, Tables, search};
use super::vocabulary::{Tokens, letter_of};
use crate::gguf::Gguf;
use crate::verbs::TokenId;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const SINGLE_DIGITS: &str = r"\p{N}";
const QWEN2: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// A value of `tokenizer.ggml.pre` and what it means.
struct PreTokenizer {
    names: &'static [&'static str],
    /// Applied in turn; each match is a word of its own.
    splits: &'static [&'static str],
    /// A word that is a token stays whole, whatever the merges say.
    whole_words: bool,
    /// The beginning token is added unless the file says otherwise.
    begins: bool,
}

/// Names and expressions as llama.cpp has them, except that a file that says `default`
/// or nothing gets GPT-2's own expression.
const PRE_TOKENIZERS: [PreTokenizer; 4] = [
    PreTokenizer { names: &["gpt-2", "default"], splits: &[GPT2], whole_words: false, begins: false },
    PreTokenizer { names: &["smollm"], splits: &[SINGLE_DIGITS, GPT2], whole_words: false, begins: false },
    PreTokenizer { names: &["qwen2"], splits: &[QWEN2], whole_words: false, begins: false },
    PreTokenizer { names: &["llama-bpe"], splits: &[LLAMA3], whole_words: true, begins: true },
];

fn pre_tokenizer(file: &Gguf) -> Result<&'static PreTokenizer, TextError> {
    let name = file.str("tokenizer.ggml.pre").unwrap_or("default");
    PRE_TOKENIZERS.iter().find(|pre| pre.names.contains(&name)).ok_or_else(|| {
        let known: Vec<_> = PRE_TOKENIZERS.iter().flat_map(|pre| pre.names).copied().collect();
        TextError::UnsupportedPreTokenizer(name.to_owned(), known.join(", "))
    })
}

/// A merge: both sides, its place among all, and the token it makes.
struct Merge {
    left: TokenId,
    right: TokenId,
    rank: u32,
    id: TokenId,
}

/// Numbers that a merge has in its table.
const MERGE: usize = 3;

/// What encoding looks up.
pub(super) fn tabulate(file: &Gguf, tokens: &Tokens, block: &mut Block) -> Result<(), TextError> {
    let ids: HashMap<&str, TokenId> = file.require_strings("tokenizer.ggml.tokens")?.zip(0..).collect();
    let mut merges = merges(file, &ids)?;
    // The last of equal ones counts.
    merges.sort_unstable_by_key(|merge| (merge.left, merge.right, Reverse(merge.rank)));
    merges.dedup_by_key(|merge| (merge.left, merge.right));
    let firsts = pieces::firsts(tokens.len(), merges.iter().map(|merge| merge.left as usize));
    block.put_numbers(Section::MergeFirsts, firsts);
    block.put_numbers(Section::Merges, merges.iter().flat_map(|merge| [merge.right, merge.rank, merge.id]));
    let letter = |byte| ids.get(letter_of(byte).encode_utf8(&mut [0; 4]) as &str).copied().unwrap_or(NONE);
    block.put_numbers(Section::Letters, (0..=u8::MAX).map(letter));
    if pre_tokenizer(file)?.whole_words {
        pieces::tabulate(tokens, block);
    }
    Ok(())
}

fn merges(file: &Gguf, ids: &HashMap<&str, TokenId>) -> Result<Vec<Merge>, TextError> {
    let mut merges = Vec::new();
    let mut joined = String::new();
    for (text, rank) in file.require_strings("tokenizer.ggml.merges")?.zip(0..) {
        let merge = text.split_once(' ').and_then(|(left, right)| {
            joined.clear();
            joined.extend([left, right]);
            Some(Merge {
                left: *ids.get(left)?,
                right: *ids.get(right)?,
                rank,
                id: *ids.get(joined.as_str())?,
            })
        });
        merges.push(merge.ok_or_else(|| {
            TextError::Inconsistent(format!("merge {text:?} does not join two tokens to one"))
        })?);
    }
    Ok(merges)
}

pub(super) struct BytePairs {
    splits: Vec<Regex>,
    whole_words: bool,
    begins: bool,
}

impl BytePairs {
    pub(super) fn new(file: &Gguf) -> Result<Self, TextError> {
        let pre = pre_tokenizer(file)?;
        let compile = |expression: &&str| {
            Regex::new(expression).map_err(|error| TextError::Tokenizer(error.description().to_owned()))
        };
        let splits = pre.splits.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { splits, whole_words: pre.whole_words, begins: pre.begins })
    }

    pub(super) fn begins_by_default(&self) -> bool {
        self.begins
    }

    pub(super) fn encode(&self, tables: &Tables, text: &str, ids: &mut Vec<TokenId>) {
        for word in self.words(text) {
            let whole = if self.whole_words { pieces::find(tables, word.as_bytes()) } else { None };
            match whole {
                Some(id) => ids.push(id),
                None => encode_word(tables, word.as_bytes(), ids),
            }
        }
    }

    /// Each match of an expression is a word of its own, and so is what lies between two.
    fn words<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut words = vec![text];
        for split in &self.splits {
            let whole = std::mem::take(&mut words);
            for text in whole {
                let mut rest = 0;
                for (start, end) in split.find_iter(text) {
                    words.extend([rest..start, start..end].into_iter().filter_map(|range| text.get(range)));
                    rest = end;
                }
                words.extend(text.get(rest..));
            }
            words.retain(|word| !word.is_empty());
        }
        words
    }
}

fn encode_word(tables: &Tables, word: &[u8], ids: &mut Vec<TokenId>) {
    let letters = tables.numbers(Section::Letters);
    let symbol = |(start, byte): (usize, &u8)| {
        let id = letters.get(usize::from(*byte)).filter(|id| *id != NONE)?;
        Some(Symbol { start, end: start + 1, id })
    };
    // A byte that the vocabulary lacks is left out.
    let symbols = word.iter().enumerate().filter_map(symbol).collect();
    ids.extend(merge(symbols, |left, right| find_merge(tables, left.id, right.id)).map(|symbol| symbol.id));
}

fn find_merge(tables: &Tables, left: TokenId, right: TokenId) -> Option<(Reverse<u32>, TokenId)> {
    let merges = tables.numbers(Section::Merges);
    let number = |merge: usize, which: usize| merges.get(merge * MERGE + which);
    let bucket = tables.bucket(Section::MergeFirsts, left as usize);
    let at = search(bucket, |at| number(at, 0).cmp(&Some(right)))?;
    Some((Reverse(number(at, 1)?), number(at, 2)?))
}
