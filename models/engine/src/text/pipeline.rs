//! The tokenizer of a checkpoint, by the `tokenizers` crate: byte pair encoding by merges, and what
//! its `tokenizer.json` puts around them.
//!
//! Unlike the tables of a GGUF file, which name one of a few known pipelines, the steps are data here.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

use super::TextError;
use crate::codec::CodecError;
use crate::gguf::Gguf;
use crate::verbs::TokenId;

/// What a `tokenizer.json` says beside vocabulary and merges.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pipeline {
    /// Steps, as the file has them.
    pub(crate) normalizer: Option<Value>,
    pub(crate) pre_tokenizer: Option<Value>,
    /// A word that is a token stays whole, whatever the merges say.
    pub(crate) whole_words: bool,
    pub(crate) byte_fallback: bool,
    pub(crate) unknown: Option<String>,
    pub(crate) fuse_unknown: bool,
}

impl Pipeline {
    /// Where the reader of checkpoints leaves it, as JSON.
    pub(crate) const KEY: &str = "tokenizer.pipeline";
}

pub(super) struct PipelinePairs {
    tokenizer: Tokenizer,
    space_prefix: bool,
}

impl PipelinePairs {
    pub(super) fn new(file: &Gguf) -> Result<Self, TextError> {
        let failed = |error: tokenizers::Error| TextError::Tokenizer(error.to_string());
        let pipeline: Pipeline =
            serde_json::from_str(file.require_str(Pipeline::KEY)?).map_err(|error| failed(error.into()))?;
        let mut tokenizer = Tokenizer::new(model(file, &pipeline)?);
        tokenizer.with_normalizer(step::<NormalizerWrapper>(pipeline.normalizer)?).map_err(failed)?;
        tokenizer.with_pre_tokenizer(step::<PreTokenizerWrapper>(pipeline.pre_tokenizer)?);
        let space_prefix = file.bool("tokenizer.ggml.add_space_prefix").unwrap_or(false);
        Ok(Self { tokenizer, space_prefix })
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
        .vocab_and_merges(vocab.into_iter().collect::<Vocab>(), merges)
        .ignore_merges(pipeline.whole_words)
        .byte_fallback(pipeline.byte_fallback)
        .fuse_unk(pipeline.fuse_unknown);
    if let Some(unknown) = &pipeline.unknown {
        builder = builder.unk_token(unknown.clone());
    }
    builder.build().map_err(|error| TextError::Tokenizer(error.to_string()))
}
