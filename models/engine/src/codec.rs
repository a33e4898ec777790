//! Text in, ids out, and back: what a policy needs to know of a model's text side.

use crate::verbs::TokenId;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its text.
    pub content: String,
    /// Of an assistant's turn: the tools that it called, after its text.
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's turn: the call that it answers; may be empty.
    pub tool_call_id: String,
}

impl ChatMessage {
    /// A turn of text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), ..Self::default() }
    }
}

/// A function that a model may call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model; may be empty.
    pub description: String,
    /// A JSON Schema of its arguments; empty is any object.
    pub parameters: String,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolCall {
    /// Tells it from others; may be empty.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// A JSON object.
    pub arguments: String,
}

/// A model's tokenizer and chat template.
///
/// The real one is built from GGUF metadata; tests script a small one.
pub trait Codec: Send + Sync {
    /// Renders a conversation with the model's template, ready for the assistant's turn, and tells it of
    /// the tools that it may call. A base model without a template gets plain text.
    ///
    /// # Errors
    /// [`CodecError::Template`] where the template refuses the conversation, or arguments or parameters
    /// are no JSON.
    fn render(&self, messages: &[ChatMessage], tools: &[Tool]) -> Result<String, CodecError>;

    /// Ids of a *rendered* prompt: special tokens are recognised, and the beginning
    /// token is added when the model wants one and the text does not start with it.
    fn encode_prompt(&self, rendered: &str) -> Result<Vec<TokenId>, CodecError>;

    /// Ids of plain text: nothing in it is taken for a special token, nothing is added.
    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, CodecError>;

    /// The bytes a token stands for; empty for special tokens and unknown ids.
    fn token_bytes(&self, id: TokenId) -> &[u8];

    /// Whether the token ends the generation.
    fn is_end(&self, id: TokenId) -> bool;

    /// Size of the vocabulary.
    fn vocab_size(&self) -> usize;

    /// Digest of the tokenizer: models of the same one share token ids.
    fn digest(&self) -> &str;

    /// All that another process needs to make the same codec, in the model format's own form: what it writes the
    /// other reads as it would a file. Reads from disk. `None` where a model's text side cannot be sent.
    fn head(&self) -> Option<Vec<u8>> {
        None
    }
}

/// Why text could not be turned into ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The chat template refused the conversation.
    #[error("the model's chat template refused the messages: {0}")]
    Template(String),
    /// The tokenizer failed.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}
