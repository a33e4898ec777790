//! One token per byte.

use understudy_engine::{
    codec::{ChatMessage, Codec, CodecError, Tool},
    verbs::TokenId,
};

/// Ids 0..=255 are bytes, 256 ends the generation. Conversations render as
/// `<role>content\n` per message, then `<assistant>`. Tools are named before them, as
/// `<tools>name name\n`, and calls after a turn's content, as `name(arguments)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByteCodec;

impl ByteCodec {
    /// The token that ends a generation.
    pub const END: TokenId = 256;
    /// What a rendered conversation ends with.
    pub const ASSISTANT: &'static str = "<assistant>";
    /// Its digest, and all that there is to send of it.
    pub const NAME: &'static str = "byte-codec";
    /// Size of the vocabulary.
    pub const VOCAB: usize = 257;
}

static BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte as u8;
        byte += 1;
    }
    table
};

impl Codec for ByteCodec {
    fn render(&self, messages: &[ChatMessage], tools: &[Tool]) -> Result<String, CodecError> {
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
        let told = if names.is_empty() { String::new() } else { format!("<tools>{}\n", names.join(" ")) };
        let turn = |message: &ChatMessage| {
            let calls = message.tool_calls.iter().map(|call| format!("{}({})", call.name, call.arguments));
            format!("<{}>{}{}\n", message.role, message.content, calls.collect::<String>())
        };
        let turns: String = messages.iter().map(turn).collect();
        Ok(told + &turns + Self::ASSISTANT)
    }

    fn encode_prompt(&self, rendered: &str) -> Result<Vec<TokenId>, CodecError> {
        self.encode_text(rendered)
    }

    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, CodecError> {
        Ok(text.bytes().map(TokenId::from).collect())
    }

    fn token_bytes(&self, id: TokenId) -> &[u8] {
        BYTES.get(id as usize).map(std::slice::from_ref).unwrap_or_default()
    }

    fn is_end(&self, id: TokenId) -> bool {
        id == Self::END
    }

    fn vocab_size(&self) -> usize {
        Self::VOCAB
    }

    fn digest(&self) -> &str {
        Self::NAME
    }

    fn head(&self) -> Option<Vec<u8>> {
        Some(Self::NAME.into())
    }
}
