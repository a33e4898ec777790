//! Word pieces, by the `tokenizers` crate, from the checkpoint's own `tokenizer.json`.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use crate::checkpoint::{CheckpointError, Folder};
use crate::codec::{ChatMessage, Codec, CodecError, Tool};
use crate::verbs::TokenId;

const FILE: &str = "tokenizer.json";
/// Parts of the file and the kinds that are tested; any other is refused by name.
const KINDS: [(&str, &[&str]); 4] = [
    ("normalizer", &["BertNormalizer"]),
    ("pre_tokenizer", &["BertPreTokenizer"]),
    ("post_processor", &["TemplateProcessing", "BertProcessing"]),
    ("model", &["WordPiece"]),
];

/// What a tokenizer that is sent begins with; then the number of tokens and the file.
const HEAD: &[u8] = b"understudy word pieces\n";
/// No encoder has as many tokens.
const MOST_TOKENS: usize = 1 << 24;

/// An encoder's tokenizer.
pub struct BertText {
    tokenizer: Tokenizer,
    /// By id.
    words: Vec<String>,
    digest: String,
    /// The checkpoint that it was read from; of one in memory, nowhere.
    path: PathBuf,
}

impl BertText {
    /// Reads the tokenizer of the checkpoint that a path means, for a model of `vocab` tokens.
    ///
    /// # Errors
    /// [`CheckpointError`] when the file is missing, damaged or of another kind.
    pub fn open(path: &Path, vocab: usize) -> Result<Self, CheckpointError> {
        let text = Folder::of(path).text(FILE)?;
        let text = text.ok_or_else(|| CheckpointError::missing(format!("the file {FILE}")))?;
        Self::parse(&text, vocab, path.to_path_buf())
    }

    /// The tokenizer that [`Codec::head`] sent; `None` for the head of another kind of model.
    pub fn from_head(head: &[u8]) -> Option<Result<Self, CheckpointError>> {
        let rest = head.strip_prefix(HEAD)?;
        let text = rest.split_first_chunk::<4>().and_then(|(vocab, text)| {
            let vocab = u32::from_le_bytes(*vocab) as usize;
            Some((vocab, std::str::from_utf8(text).ok().filter(|_| vocab <= MOST_TOKENS)?))
        });
        Some(match text {
            Some((vocab, text)) => Self::parse(text, vocab, PathBuf::new()),
            None => Err(CheckpointError::damaged(FILE, "what was sent is no text")),
        })
    }

    fn parse(text: &str, vocab: usize, path: PathBuf) -> Result<Self, CheckpointError> {
        let damaged = |reason: String| CheckpointError::damaged(FILE, reason);
        let json: Value = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        for (part, kinds) in KINDS {
            let kind = json.get(part).and_then(|part| part.get("type")).and_then(Value::as_str);
            if !kind.is_some_and(|kind| kinds.contains(&kind)) {
                let kind = kind.unwrap_or("none");
                return Err(CheckpointError::unsupported(format!("the {part} {kind:?} of {FILE}")));
            }
        }
        let mut tokenizer: Tokenizer =
            text.parse().map_err(|error: tokenizers::Error| damaged(error.to_string()))?;
        // Texts come one at a time and whole, and what looks like a special token is text.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| damaged(error.to_string()))?;
        tokenizer.set_encode_special_tokens(true);
        let mut words = vec![String::new(); vocab];
        for (word, id) in tokenizer.get_vocab(true) {
            match words.get_mut(id as usize) {
                Some(slot) => *slot = word,
                None => return Err(damaged(format!("token {word:?} has the id {id} of {vocab}"))),
            }
        }
        let digest = Sha256::digest(text.as_bytes());
        let digest = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { tokenizer, words, digest, path })
    }
}

impl Codec for BertText {
    /// An encoder has no conversations: the texts, one after another.
    fn render(&self, messages: &[ChatMessage], _: &[Tool]) -> Result<String, CodecError> {
        let texts: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
        Ok(texts.join("\n\n"))
    }

    fn encode_prompt(&self, rendered: &str) -> Result<Vec<TokenId>, CodecError> {
        self.encode_text(rendered)
    }

    /// With the tokens around a text that an encoder is trained with (`[CLS]`, `[SEP]`).
    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, CodecError> {
        let encoding = self.tokenizer.encode_fast(text, true);
        let encoding = encoding.map_err(|error| CodecError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    fn token_bytes(&self, id: TokenId) -> &[u8] {
        self.words.get(id as usize).map(|word| word.trim_start_matches("##").as_bytes()).unwrap_or_default()
    }

    fn is_end(&self, _id: TokenId) -> bool {
        false
    }

    fn vocab_size(&self) -> usize {
        self.words.len()
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn head(&self) -> Option<Vec<u8>> {
        let text = Folder::of(&self.path).text(FILE).ok()??;
        let vocab = u32::try_from(self.words.len()).ok()?;
        Some([HEAD, &vocab.to_le_bytes(), text.as_bytes()].concat())
    }
}
