//! Any text as a chat template: it renders a conversation or is refused, in bounded time and
//! memory (libFuzzer's `-timeout` and `-rss_limit_mb`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use understudy_engine::codec::{ChatMessage, Tool, ToolCall};
use understudy_engine::gguf::Gguf;
use understudy_engine::text::TextModel;
use understudy_fuzz::{GgufWriter, Value, on_disk};

/// The template's budget is said to hold a rendering below this.
const MOST_BYTES: usize = 256 << 20;

fuzz_target!(|template: &str| {
    let mut file = GgufWriter::default();
    file.key("tokenizer.ggml.model", Value::Text("gpt2"));
    file.key("tokenizer.ggml.tokens", Value::Texts(vec!["a"]));
    file.key("tokenizer.ggml.merges", Value::Texts(vec![]));
    file.key("tokenizer.ggml.bos_token_id", Value::U32(0));
    file.key("tokenizer.chat_template", Value::Text(template));
    let gguf = Gguf::open(on_disk(&file.bytes())).expect("the file itself is sound");
    let Ok(text) = TextModel::from_gguf(&gguf) else { return };
    let message =
        |role: &str, content: &str| ChatMessage::new(role, content);
    let turns =
        [message("system", "Be brief."), message("user", " Grüße, 2 + 2? "), message("assistant", "4")];
    let arguments = r#"{"q": [1, {"a": null}]}"#.to_owned();
    let call = ToolCall { id: "c".to_owned(), name: "f".to_owned(), arguments };
    let called = ChatMessage { tool_calls: vec![call], ..message("assistant", "") };
    let result = ChatMessage { tool_call_id: "c".to_owned(), ..message("tool", "3") };
    let with_calls = [message("user", "f?"), called, result];
    let tools = [Tool { name: "f".to_owned(), ..Tool::default() }];
    for (messages, tools) in [(&turns[..], &[][..]), (&turns[1..2], &tools[..]), (&with_calls[..], &tools[..])] {
        if let Ok(rendered) = text.render_turns(messages, tools, true) {
            assert!(rendered.len() < MOST_BYTES, "{} bytes rendered", rendered.len());
        }
    }
});
