//! Tokenizers and chat templates against vectors made by llama.cpp and jinja2
//! (`tests/vectors/` in the repository's root).
//!
//! The tiny model is part of the repository; the others are read from the models folder:
//! `$UNDERSTUDY_HOME/models`, or the platform's data folder. A missing model fails.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use understudy_engine::codec::{ChatMessage, Codec, Tool, ToolCall};
use understudy_engine::gguf::Gguf;
use understudy_engine::text::{TextModel, TextStream};

#[derive(Deserialize)]
struct Cases<T> {
    cases: Vec<T>,
}

#[derive(Deserialize)]
struct TokenizerCase {
    text: String,
    ids: Vec<u32>,
    special: bool,
}

#[derive(Deserialize)]
struct ChatCase {
    messages: Vec<Message>,
    #[serde(default)]
    tools: Vec<Function>,
    add_generation_prompt: bool,
    text: String,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
    #[serde(default)]
    tool_calls: Vec<Call>,
    #[serde(default)]
    tool_call_id: String,
}

/// A call as `apply_chat_template` takes it.
#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    id: String,
    function: Called,
}

#[derive(Deserialize)]
struct Called {
    name: String,
    arguments: serde_json::Value,
}

impl Call {
    fn into_call(self) -> ToolCall {
        let Called { name, arguments } = self.function;
        ToolCall { id: self.id, name, arguments: arguments.to_string() }
    }
}

#[derive(Deserialize)]
struct Function {
    function: Declared,
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    #[serde(default)]
    description: String,
    parameters: serde_json::Value,
}

impl Function {
    fn into_tool(self) -> Tool {
        let Declared { name, description, parameters } = self.function;
        Tool { name, description, parameters: parameters.to_string() }
    }
}

fn vectors_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = vectors_folder().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Cases<T> = serde_json::from_str(&text).expect("vectors parse");
    assert!(!cases.cases.is_empty(), "{name} has no cases");
    cases.cases
}

fn models_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(home) = variable("UNDERSTUDY_HOME") {
        return Some(home.join("models"));
    }
    let data = if cfg!(target_os = "macos") {
        variable("HOME")?.join("Library/Application Support")
    } else if cfg!(windows) {
        variable("APPDATA")?
    } else {
        variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")))?
    };
    Some(data.join("understudy/models"))
}

/// The only GGUF file in a model's folder.
fn pulled(name: &str) -> PathBuf {
    let folder = models_folder().map(|models| models.join(name));
    let entries = folder.as_ref().and_then(|folder| std::fs::read_dir(folder).ok());
    let mut files = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "gguf"))
        .unwrap_or_else(|| panic!("the model {name} is not here; run: understudy pull {name}"))
}

fn open(path: &Path) -> TextModel {
    let file = Gguf::open(path).expect("the model file is sound");
    TextModel::from_gguf(&file).expect("its text side is supported")
}

/// The same, and as a node has it that was sent its head alone.
fn both(path: &Path) -> [TextModel; 2] {
    let model = open(path);
    let head = model.head().expect("a file has a head");
    assert!(head.len() < 16 << 20, "{} bytes", head.len());
    let sent = Gguf::from_bytes(head).expect("a head is a file");
    assert_eq!((sent.tensor_names().len(), sent.architecture().is_ok()), (0, true));
    let sent = TextModel::from_gguf(&sent).expect("it says all of the text side");
    assert_eq!(sent.digest(), model.digest());
    assert_eq!(sent.end_tokens(), model.end_tokens());
    assert!(sent.head().is_none(), "it has no file to send");
    [model, sent]
}

fn check_tokenizer(name: &str, path: &Path) {
    both(path).iter().for_each(|model| check_tokens(name, model));
}

fn check_tokens(name: &str, model: &TextModel) {
    for case in cases::<TokenizerCase>(&format!("tokenizer-{name}")) {
        let mut ids = match case.special {
            true => model.encode_prompt(&case.text),
            false => model.encode_text(&case.text),
        }
        .expect("encodes");
        // The vectors leave out the beginning token.
        if case.special && model.begin_token().is_some() && ids.first() != case.ids.first() {
            ids.remove(0);
        }
        assert_eq!(ids, case.ids, "{name}: {:?}, special: {}", case.text, case.special);
        if !case.special {
            let mut stream = TextStream::new(&[]);
            let mut text: String = ids.iter().map(|id| stream.push(model.token_bytes(*id)).text).collect();
            text += &stream.finish().text;
            assert_eq!(text, case.text, "{name}: decoding gives the text back");
        }
    }
}

fn check_chat(name: &str, path: &Path) {
    both(path).iter().for_each(|model| check_turns(name, model));
}

fn check_turns(name: &str, model: &TextModel) {
    for case in cases::<ChatCase>(&format!("chat-{name}")) {
        let messages: Vec<_> = case
            .messages
            .into_iter()
            .map(|Message { role, content, tool_calls, tool_call_id }| ChatMessage {
                role,
                content,
                tool_calls: tool_calls.into_iter().map(Call::into_call).collect(),
                tool_call_id,
            })
            .collect();
        let tools: Vec<_> = case.tools.into_iter().map(Function::into_tool).collect();
        let text = model.render_turns(&messages, &tools, case.add_generation_prompt);
        assert_eq!(text.as_deref(), Ok(case.text.as_str()), "{name}");
    }
}

#[test]
fn the_tiny_model_agrees() {
    let path = vectors_folder().join("tiny-qwen3.gguf");
    check_tokenizer("tiny-qwen3", &path);
    check_chat("tiny-qwen3", &path);
}

/// The marks of a call are tokens that a text is made of: a constraint passes through them, as one token or spelled,
/// and a reader sees them.
#[test]
fn the_marks_of_a_call_are_text() {
    let model = open(&pulled("qwen2.5-coder-0.5b"));
    for (mark, id) in [("<tool_call>", 151_657), ("</tool_call>", 151_658)] {
        assert_eq!(model.token_bytes(id), mark.as_bytes());
        assert_eq!(model.encode_prompt(mark).expect("encodes"), [id]);
        assert!(!model.is_end(id));
        let spelled: Vec<_> =
            mark.chars().flat_map(|c| model.encode_text(&c.to_string())).flatten().collect();
        assert_eq!(spelled.len(), mark.len());
        assert_eq!(
            spelled.iter().flat_map(|id| model.token_bytes(*id)).copied().collect::<Vec<_>>(),
            mark.as_bytes()
        );
    }
}

#[test]
fn smollm2_agrees() {
    let path = pulled("smollm2-135m");
    check_tokenizer("smollm2-135m", &path);
    check_chat("smollm2-135m", &path);
}

#[test]
fn qwen_coder_agrees() {
    let path = pulled("qwen2.5-coder-0.5b");
    check_tokenizer("qwen2.5-coder-0.5b", &path);
    check_chat("qwen2.5-coder-0.5b", &path);
}

/// Models that not every developer has: `UNDERSTUDY_VECTORS=all`.
#[test]
fn the_larger_models_agree_when_asked_for() {
    if std::env::var("UNDERSTUDY_VECTORS").as_deref() != Ok("all") {
        return;
    }
    let path = pulled("qwen2.5-coder-1.5b");
    check_tokenizer("qwen2.5-coder-1.5b", &path);
    check_chat("qwen2.5-coder-1.5b", &path);
    let smaller = open(&pulled("qwen2.5-coder-0.5b"));
    assert_eq!(open(&path).digest(), smaller.digest(), "they share a vocabulary");
    check_tokenizer("gemma-3-270m", &pulled("gemma-3-270m"));
}

#[test]
fn ends_and_digests_are_those_of_the_file() {
    let tiny = open(&vectors_folder().join("tiny-qwen3.gguf"));
    let qwen = open(&pulled("qwen2.5-coder-0.5b"));
    let smol = open(&pulled("smollm2-135m"));
    // <|endoftext|> and <|im_end|> of each.
    assert_eq!(qwen.end_tokens(), [151_643, 151_645]);
    assert_eq!(smol.end_tokens(), [0, 2]);
    assert!(qwen.is_end(151_645) && !qwen.is_end(151_644));
    assert_eq!(qwen.token_bytes(151_645), b"", "a control token has no text");
    assert_eq!(qwen.token_bytes(u32::MAX), b"");
    let digests = [tiny.digest(), qwen.digest(), smol.digest()];
    assert!(digests.iter().all(|digest| digest.len() == 32));
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

#[test]
fn models_that_differ_in_their_template_share_a_vocabulary() {
    let original = vectors_folder().join("tiny-qwen3.gguf");
    let mut bytes = std::fs::read(&original).unwrap();
    let place = |bytes: &[u8], text: &str| {
        bytes.windows(text.len()).position(|window| window == text.as_bytes()).expect("it is in the file")
    };
    // After the key: a type and a length, four and eight bytes.
    let template = place(&bytes, "tokenizer.chat_template") + "tokenizer.chat_template".len() + 12;
    let word = template + place(&bytes[template..], "assistant");
    bytes[word..word + 9].copy_from_slice(b"aSSistant");
    let folder = tempfile::tempdir().unwrap();
    let changed = folder.path().join("changed.gguf");
    std::fs::write(&changed, bytes).unwrap();
    let question = [ChatMessage::new("user", "hello")];
    let (original, changed) = (open(&original), open(&changed));
    assert_ne!(original.render(&question, &[]).unwrap(), changed.render(&question, &[]).unwrap());
    assert_eq!(original.digest(), changed.digest());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_metadata_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        text in "[a-zé ▁<|_>0-9]{0,40}",
    ) {
        let mut bytes = std::fs::read(vectors_folder().join("tiny-qwen3.gguf")).expect("the tiny model");
        let metadata = bytes.len().min(16_000);
        for (at, byte) in changes {
            bytes[at.index(metadata)] = byte;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, bytes).expect("a file");
        let model = Gguf::open(&path).ok().and_then(|file| TextModel::from_gguf(&file).ok());
        if let Some(model) = model {
            let ids = model.encode_prompt(&text).expect("encodes");
            prop_assert!(ids.iter().all(|id| (*id as usize) < model.vocab_size()));
            // A damaged template may refuse; it must not do worse.
            let _ = model.render(&[ChatMessage::new("user", text)], &[]);
        }
    }
}
