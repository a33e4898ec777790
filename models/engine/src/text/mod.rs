//! The text side of a model, built from its metadata in GGUF's terms alone.
//!
//! - [`TextModel`]: tokenizer, token bytes and chat template; the real
//!   [`Codec`].
//! - [`TextStream`]: token bytes in, whole characters out, with stop strings.
//!
//! Tokens follow llama.cpp, whose converter wrote the file: no Unicode normalisation,
//! user-defined tokens always recognised, control tokens only where asked for.

mod bpe;
mod digest;
mod error;
mod flat;
mod guard;
mod merge;
mod pieces;
mod pipeline;
mod spm;
mod stream;
mod tables;
mod template;
mod tools;
mod verbatim;
mod vocabulary;

use std::path::{Path, PathBuf};

use crate::codec::{ChatMessage, Codec, CodecError, Tool};
use crate::gguf::Gguf;
use crate::verbs::TokenId;

use bpe::BytePairs;
pub use error::TextError;
pub(crate) use pipeline::Pipeline;
use pipeline::PipelinePairs;
use spm::SentencePieces;
pub use stream::{Piece, TextStream};
use tables::{Section, Tables};
use template::ChatTemplate;
use verbatim::{Fragment, VerbatimTokens};
use vocabulary::{Spelling, Vocabulary};

/// Control tokens that end a turn or a text in the models at hand, besides those that the
/// metadata names.
const END_TOKENS: [&str; 7] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
];

/// A model's tokenizer and chat template.
pub struct TextModel {
    tables: Tables,
    verbatim: VerbatimTokens,
    encoder: Encoder,
    template: Option<ChatTemplate>,
    /// Prepended to prompts; `None` when the model wants no beginning token.
    begin: Option<TokenId>,
    /// Sorted.
    ends: Vec<TokenId>,
    digest: String,
    /// The file that it was read from; of one in memory, nowhere.
    path: PathBuf,
}

enum Encoder {
    Bpe(BytePairs),
    Spm(SentencePieces),
    Pipeline(Box<PipelinePairs>),
}

impl TextModel {
    /// Builds tokenizer and template from a file's metadata.
    ///
    /// # Errors
    /// [`TextError`] when the file lacks a vocabulary, names a tokenizer or pre-tokenizer
    /// that this crate does not have, contradicts itself, or its template does not parse.
    pub fn from_gguf(file: &Gguf) -> Result<Self, TextError> {
        Self::open(file, None)
    }

    /// The same with tables that are kept in `folder` from one start to the next.
    ///
    /// # Errors
    /// As [`from_gguf`](Self::from_gguf); a folder that cannot be written is none.
    pub fn open(file: &Gguf, folder: Option<&Path>) -> Result<Self, TextError> {
        let spelling = match file.require_str("tokenizer.ggml.model")? {
            "gpt2" => Spelling::ByteLevel,
            "llama" => Spelling::SentencePiece,
            other => return Err(TextError::UnsupportedTokenizer(other.to_owned())),
        };
        let tables = Tables::open(file, spelling, folder)?;
        file.release(); // the tables say all that the file's vocabulary does
        let vocabulary = Vocabulary(&tables);
        // In a GGUF file a pipeline is a stranger's; the reader of checkpoints knows each step that it lets in.
        let (encoder, begins_by_default) = match spelling {
            _ if file.is_checkpoint() => (Encoder::Pipeline(Box::new(PipelinePairs::new(file)?)), false),
            Spelling::ByteLevel => {
                let pairs = BytePairs::new(file)?;
                let begins = pairs.begins_by_default();
                (Encoder::Bpe(pairs), begins)
            }
            Spelling::SentencePiece => (Encoder::Spm(SentencePieces::new(file, vocabulary)?), true),
        };
        let special = |name: &str| vocabulary.id_under(file, &format!("tokenizer.ggml.{name}_token_id"));
        let begin = special("bos")?;
        let end = special("eos")?;
        let mut ends: Vec<_> = [end, special("eot")?, special("eom")?].into_iter().flatten().collect();
        ends.extend(vocabulary.controls().filter(|(_, text)| END_TOKENS.contains(text)).map(|(id, _)| id));
        ends.sort_unstable();
        ends.dedup();

        let text_of =
            |id: Option<TokenId>| id.and_then(|id| vocabulary.verbatim_text(id)).unwrap_or_default();
        let template = file
            .str("tokenizer.chat_template")
            .map(|source| ChatTemplate::compile(source, text_of(begin), text_of(end)))
            .transpose()?;
        let wants_begin = file.bool("tokenizer.ggml.add_bos_token").unwrap_or(begins_by_default);
        Ok(Self {
            verbatim: VerbatimTokens::new(vocabulary),
            begin: begin.filter(|_| wants_begin),
            digest: String::from_utf8_lossy(tables.bytes(Section::Digest)).into_owned(),
            tables,
            encoder,
            template,
            ends,
            path: file.path().to_path_buf(),
        })
    }

    /// Renders a conversation that may call tools, with or without the opening of the assistant's turn.
    ///
    /// # Errors
    /// [`CodecError::Template`] when the template refuses it or runs too long.
    pub fn render_turns(
        &self,
        messages: &[ChatMessage],
        tools: &[Tool],
        open_turn: bool,
    ) -> Result<String, CodecError> {
        match &self.template {
            Some(template) => template.render(messages, tools, open_turn),
            None => Ok(template::plain(&tools::in_words(messages, tools)?, open_turn)),
        }
    }

    /// Tokens that end a generation, ascending.
    pub fn end_tokens(&self) -> &[TokenId] {
        &self.ends
    }

    /// The beginning token, when the model wants one before a prompt.
    pub fn begin_token(&self) -> Option<TokenId> {
        self.begin
    }

    /// Whether the file carries a chat template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The id that a control token's text stands for.
    pub fn control_token(&self, text: &str) -> Option<TokenId> {
        Vocabulary(&self.tables).controls().find(|(_, name)| *name == text).map(|(id, _)| id)
    }

    /// `as_prompt`: control tokens are recognised and a SentencePiece model's leading space
    /// is added where it belongs, before text that begins the prompt or follows a token.
    fn encode(&self, text: &str, as_prompt: bool, ids: &mut Vec<TokenId>) -> Result<(), CodecError> {
        let mut follows_token = true;
        for fragment in self.verbatim.split(text, as_prompt) {
            match fragment {
                Fragment::Token(id) => ids.push(id),
                Fragment::Text(text) => match &self.encoder {
                    Encoder::Bpe(pairs) => pairs.encode(&self.tables, text, ids),
                    Encoder::Spm(pieces) => {
                        pieces.encode(&self.tables, text, as_prompt && follows_token, ids)
                    }
                    Encoder::Pipeline(pairs) => pairs.encode(text, as_prompt && follows_token, ids)?,
                },
            }
            follows_token = matches!(fragment, Fragment::Token(_));
        }
        Ok(())
    }
}

impl Codec for TextModel {
    /// See [`Codec::render`]. Without a template one message is its content alone, ready
    /// to be continued; several become `role: content` paragraphs and a last `assistant:`.
    fn render(&self, messages: &[ChatMessage], tools: &[Tool]) -> Result<String, CodecError> {
        self.render_turns(messages, tools, true)
    }

    fn encode_prompt(&self, rendered: &str) -> Result<Vec<TokenId>, CodecError> {
        let mut ids = Vec::with_capacity(rendered.len() / 3 + 8);
        ids.extend(self.begin);
        self.encode(rendered, true, &mut ids)?;
        if self.begin.is_some() && ids.get(1).copied() == self.begin {
            ids.remove(0);
        }
        Ok(ids)
    }

    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, CodecError> {
        let mut ids = Vec::with_capacity(text.len() / 3 + 8);
        self.encode(text, false, &mut ids)?;
        Ok(ids)
    }

    fn token_bytes(&self, id: TokenId) -> &[u8] {
        Vocabulary(&self.tables).bytes(id)
    }

    fn is_end(&self, id: TokenId) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    fn vocab_size(&self) -> usize {
        Vocabulary(&self.tables).len()
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn head(&self) -> Option<Vec<u8>> {
        Gguf::open(&self.path).ok()?.head()
    }
}
