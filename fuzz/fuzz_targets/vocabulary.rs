//! A sound file whose tokenizer is hostile: texts go in, and what comes out names tokens.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use understudy_engine::codec::Codec;
use understudy_engine::gguf::Gguf;
use understudy_engine::text::{TextModel, TextStream};
use understudy_fuzz::{GgufWriter, Value, on_disk};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    pre: Option<u8>,
    tokens: Vec<(&'a str, u8, f32)>,
    merges: Vec<Merge<'a>>,
    has_types: bool,
    bos: Option<u8>,
    eos: Option<u8>,
    unknown: Option<u8>,
    add_bos: Option<bool>,
    space_prefix: Option<bool>,
    stop: String,
    text: &'a str,
}

#[derive(Debug, Arbitrary)]
enum Merge<'a> {
    Tokens(u8, u8),
    Text(&'a str),
}

fuzz_target!(|input: Input<'_>| {
    let path = on_disk(&file(&input));
    let gguf = Gguf::open(path).expect("the file itself is sound");
    let Ok(text) = TextModel::from_gguf(&gguf) else { return };
    let prompts = [text.encode_prompt(input.text), text.encode_text(input.text)];
    for ids in prompts.into_iter().flatten() {
        let mut stream = TextStream::new(&[input.stop.clone()]);
        for id in ids {
            assert!((id as usize) < text.vocab_size(), "token {id} is outside the vocabulary");
            stream.push(text.token_bytes(id));
        }
        stream.finish();
    }
});

fn file(input: &Input<'_>) -> Vec<u8> {
    const PRE: [&str; 4] = ["gpt-2", "smollm", "qwen2", "llama-bpe"];
    let mut file = GgufWriter::default();
    let mut key = |name: &str, value| file.key(&format!("tokenizer.ggml.{name}"), value);
    key("model", Value::Text(if input.pre.is_some() { "gpt2" } else { "llama" }));
    if let Some(pre) = input.pre {
        key("pre", Value::Text(PRE[usize::from(pre) % PRE.len()]));
    }
    key("tokens", Value::Texts(input.tokens.iter().map(|token| token.0).collect()));
    if input.has_types {
        key("token_type", Value::I32s(input.tokens.iter().map(|token| i32::from(token.1 % 7)).collect()));
    }
    key("scores", Value::F32s(input.tokens.iter().map(|token| token.2).collect()));
    let spell = |id: &u8| input.tokens.get(usize::from(*id)).map_or("", |token| token.0);
    let merges: Vec<String> = input
        .merges
        .iter()
        .map(|merge| match merge {
            Merge::Tokens(a, b) => format!("{} {}", spell(a), spell(b)),
            Merge::Text(text) => (*text).to_owned(),
        })
        .collect();
    key("merges", Value::Texts(merges.iter().map(String::as_str).collect()));
    for (name, id) in [("bos", input.bos), ("eos", input.eos), ("unknown", input.unknown)] {
        if let Some(id) = id {
            key(&format!("{name}_token_id"), Value::U32(id.into()));
        }
    }
    for (name, value) in [("add_bos_token", input.add_bos), ("add_space_prefix", input.space_prefix)] {
        if let Some(value) = value {
            key(name, Value::Bool(value));
        }
    }
    file.bytes()
}
