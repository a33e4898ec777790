//! Byte pair encoding by merges, by the `tokenizers` crate: the byte-level one of GGUF files
//! (`tokenizer.ggml.model = gpt2`), and whatever a checkpoint's `tokenizer.json` puts around it.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use super::TextError;
use crate::codec::CodecError;
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

/// What a `tokenizer.json` says beside vocabulary and merges.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pipeline {
    /// Steps, as the file has them.
    pub(crate) normalizer: Option<Value>,
    pub(crate) pre_tokenizer: Option<Value>,
    /// See [`PreTokenizer::whole_words`].
    pub(crate) whole_words: bool,
    pub(crate) byte_fallback: bool,
    pub(crate) unknown: Option<String>,
    pub(crate) fuse_unknown: bool,
}

impl Pipeline {
    /// Where the reader of checkpoints leaves it, as JSON.
    pub(crate) const KEY: &str = "tokenizer.pipeline";
}

pub(super) struct BytePairs {
    tokenizer: Tokenizer,
    begins: bool,
    space_prefix: bool,
}

impl BytePairs {
    pub(super) fn from_gguf(file: &Gguf) -> Result<Self, TextError> {
        let name = file.str("tokenizer.ggml.pre").unwrap_or("default");
        let pre = PRE_TOKENIZERS.iter().find(|pre| pre.names.contains(&name)).ok_or_else(|| {
            let known: Vec<_> = PRE_TOKENIZERS.iter().flat_map(|pre| pre.names).copied().collect();
            TextError::UnsupportedPreTokenizer(name.to_owned(), known.join(", "))
        })?;
        let merges = Pipeline { whole_words: pre.whole_words, ..Pipeline::default() };
        let mut tokenizer = Tokenizer::new(model(file, &merges)?);
        tokenizer.with_pre_tokenizer(Some(words(pre.splits)?));
        Ok(Self { tokenizer, begins: pre.begins, space_prefix: false })
    }

    /// The tokenizer of a checkpoint, where the file is one.
    pub(super) fn from_pipeline(file: &Gguf) -> Result<Option<Self>, TextError> {
        // In a GGUF file the key is a stranger's; the reader of checkpoints knows each step that it lets in.
        let Some(text) = file.str(Pipeline::KEY).filter(|_| file.is_checkpoint()) else { return Ok(None) };
        let failed = |error: tokenizers::Error| TextError::Tokenizer(error.to_string());
        let pipeline: Pipeline = serde_json::from_str(text).map_err(|error| failed(error.into()))?;
        let mut tokenizer = Tokenizer::new(model(file, &pipeline)?);
        let normalizer = step::<NormalizerWrapper>(pipeline.normalizer)?;
        tokenizer.with_normalizer(normalizer).map_err(failed)?;
        tokenizer.with_pre_tokenizer(step::<PreTokenizerWrapper>(pipeline.pre_tokenizer)?);
        let space_prefix = file.bool("tokenizer.ggml.add_space_prefix").unwrap_or(false);
        Ok(Some(Self { tokenizer, begins: false, space_prefix }))
    }

    pub(super) fn begins_by_default(&self) -> bool {
        self.begins
    }

    /// `first`: the model's leading space, if it has one, belongs before this text.
    pub(super) fn encode(&self, text: &str, first: bool, ids: &mut Vec<TokenId>) -> Result<(), CodecError> {
        let encoding = match first && self.space_prefix {
            true => self.tokenizer.encode_fast([" ", text].concat(), false),
            false => self.tokenizer.encode_fast(text, false),
        };
        let encoding = encoding.map_err(|error| CodecError::Tokenizer(error.to_string()))?;
        ids.extend(encoding.get_ids());
        Ok(())
    }
}

/// A step of a `tokenizer.json`.
fn step<T: DeserializeOwned>(json: Option<Value>) -> Result<Option<T>, TextError> {
    json.map(serde_json::from_value).transpose().map_err(|error| TextError::Tokenizer(error.to_string()))
}

fn model(file: &Gguf, pipeline: &Pipeline) -> Result<BPE, TextError> {
    let texts = file.require_strings("tokenizer.ggml.tokens")?;
    let vocab: HashMap<String, u32> = texts.map(str::to_owned).zip(0..).collect();
    let mut merges = Vec::new();
    for merge in file.require_strings("tokenizer.ggml.merges")? {
        // The library would panic or fail without saying which merge.
        let valid = merge.split_once(' ').filter(|(left, right)| {
            vocab.contains_key(*left)
                && vocab.contains_key(*right)
                && vocab.contains_key(&[*left, *right].concat())
        });
        let (left, right) = valid.ok_or_else(|| {
            TextError::Inconsistent(format!("merge {merge:?} does not join two tokens to one"))
        })?;
        merges.push((left.to_owned(), right.to_owned()));
    }
    let mut builder = BPE::builder()
        .vocab_and_merges(vocab.into_iter().collect::<tokenizers::models::bpe::Vocab>(), merges)
        .ignore_merges(pipeline.whole_words)
        .byte_fallback(pipeline.byte_fallback)
        .fuse_unk(pipeline.fuse_unknown);
    if let Some(unknown) = &pipeline.unknown {
        builder = builder.unk_token(unknown.clone());
    }
    builder.build().map_err(|error| TextError::Tokenizer(error.to_string()))
}

fn words(splits: &[&str]) -> Result<PreTokenizerWrapper, TextError> {
    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    for expression in splits {
        let pattern = SplitPattern::Regex((*expression).to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
        steps.push(split.map_err(|error| TextError::Tokenizer(error.to_string()))?.into());
    }
    steps.push(ByteLevel::new(false, false, false).into());
    Ok(Sequence::new(steps).into())
}
