//! `tokenizer.json`, `tokenizer_config.json` and the chat template as GGUF keys.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::settings::Settings;
use super::{CheckpointError, Folder};
use crate::gguf::Assembly;
use crate::text::Pipeline;

const FILE: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";
/// Steps whose meaning is tested; any other is refused by name.
const STEPS: [&str; 8] = ["NFC", "Replace", "Prepend", "Split", "ByteLevel", "Digits", "Sequence", "BPE"];

/// Kinds of tokens, as `tokenizer.ggml.token_type` numbers them.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// Writes the keys of a tokenizer for a model of `vocab` tokens.
pub(super) fn write(
    folder: &Folder,
    settings: &Settings,
    vocab: usize,
    model: &mut Assembly,
) -> Result<(), CheckpointError> {
    let Some(json) = folder.json(FILE)? else {
        return Err(CheckpointError::missing(format!("the file {FILE}")));
    };
    let config = folder.json(CONFIG)?.unwrap_or_default();
    let mut steps = Steps { is_byte_level: false, has_prefix: false };
    let normalizer = json.get("normalizer").cloned().and_then(|step| steps.keep(step).transpose());
    let pre_tokenizer = json.get("pre_tokenizer").cloned().and_then(|step| steps.keep(step).transpose());
    let (normalizer, pre_tokenizer) = (normalizer.transpose()?, pre_tokenizer.transpose()?);
    let pairs = json.get("model").and_then(Value::as_object).cloned().unwrap_or_default();
    let flag = |name: &str| pairs.get(name).and_then(Value::as_bool).unwrap_or(false);
    let pipeline = Pipeline {
        normalizer,
        pre_tokenizer,
        whole_words: flag("ignore_merges"),
        byte_fallback: flag("byte_fallback"),
        unknown: pairs.get("unk_token").and_then(Value::as_str).map(str::to_owned),
        fuse_unknown: flag("fuse_unk"),
    };
    check_model(&pairs, steps.is_byte_level, pipeline.byte_fallback)?;

    let tokens = Tokens::of(&json, &pairs, vocab, pipeline.byte_fallback)?;
    model.text("tokenizer.ggml.model", if steps.is_byte_level { "gpt2" } else { "llama" });
    model.text(Pipeline::KEY, serde_json::to_string(&pipeline).unwrap_or_default());
    model.texts("tokenizer.ggml.tokens", tokens.texts.iter().map(String::as_str));
    model.i32s("tokenizer.ggml.token_type", tokens.kinds.iter().copied());
    let merges = merges(&pairs)?;
    model.texts("tokenizer.ggml.merges", merges.iter().map(String::as_str));
    model.flag("tokenizer.ggml.add_space_prefix", steps.has_prefix);
    write_ends(&json, &config, settings, &tokens, model);
    if let Some(template) = template(folder, &config)? {
        model.text("tokenizer.chat_template", template);
    }
    Ok(())
}

/// What the steps around the merges amount to.
struct Steps {
    /// Token texts spell bytes in GPT-2's alphabet.
    is_byte_level: bool,
    /// A space is put before the text.
    has_prefix: bool,
}

impl Steps {
    /// A step, and those within, as they are; without the prefix, which the engine adds itself where
    /// it belongs.
    fn keep(&mut self, mut step: Value) -> Result<Option<Value>, CheckpointError> {
        let Some(kind) = step.get("type").and_then(Value::as_str) else { return Ok(None) };
        if !STEPS.contains(&kind) {
            return Err(CheckpointError::unsupported(format!("the step {kind:?} of {FILE}")));
        }
        match kind {
            "Prepend" => {
                self.has_prefix = true;
                return Ok(None);
            }
            "ByteLevel" if step.get("add_prefix_space") == Some(&Value::Bool(true)) => {
                return Err(CheckpointError::unsupported(format!("add_prefix_space in {FILE}")));
            }
            "ByteLevel" => self.is_byte_level = true,
            _ => {}
        }
        for name in ["normalizers", "pretokenizers"] {
            let Some(Value::Array(within)) = step.get_mut(name) else { continue };
            let all = std::mem::take(within);
            for step in all {
                within.extend(self.keep(step)?);
            }
        }
        Ok(Some(step))
    }
}

fn check_model(
    pairs: &Map<String, Value>,
    is_byte_level: bool,
    byte_fallback: bool,
) -> Result<(), CheckpointError> {
    let kind = pairs.get("type").and_then(Value::as_str).unwrap_or("BPE");
    if kind != "BPE" {
        return Err(CheckpointError::unsupported(format!("a tokenizer of type {kind:?} (BPE is)")));
    }
    if !is_byte_level && !byte_fallback {
        return Err(CheckpointError::unsupported("a tokenizer without bytes (ByteLevel or byte_fallback)"));
    }
    for name in ["continuing_subword_prefix", "end_of_word_suffix", "dropout"] {
        let set = pairs.get(name).is_some_and(|value| !value.is_null() && *value != "");
        if set {
            return Err(CheckpointError::unsupported(format!("{name} in {FILE}")));
        }
    }
    Ok(())
}

/// The vocabulary by id.
struct Tokens {
    texts: Vec<String>,
    kinds: Vec<i32>,
}

impl Tokens {
    fn of(
        json: &Value,
        pairs: &Map<String, Value>,
        vocab: usize,
        byte_fallback: bool,
    ) -> Result<Self, CheckpointError> {
        // Rows of the embedding that no token has are there for the sake of their number.
        let mut tokens =
            Self { texts: (0..vocab).map(|id| format!("[PAD{id}]")).collect(), kinds: vec![UNUSED; vocab] };
        let words = pairs.get("vocab").and_then(Value::as_object);
        let words = words.ok_or_else(|| CheckpointError::damaged(FILE, "its model has no vocab"))?;
        for (text, id) in words {
            let is_byte = byte_fallback && text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
            tokens.set(id, text, if is_byte { BYTE } else { NORMAL })?;
        }
        for token in json.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
            let (Some(id), Some(text)) = (token.get("id"), token.get("content").and_then(Value::as_str))
            else {
                return Err(CheckpointError::damaged(FILE, "an added token without id or content"));
            };
            let is_special = token.get("special").and_then(Value::as_bool).unwrap_or(false);
            let kind = match is_special {
                true => CONTROL,
                // Runs of spaces, which no text spells so before it is normalised.
                false if byte_fallback && text.contains('\u{2581}') => NORMAL,
                false => USER_DEFINED,
            };
            tokens.set(id, text, kind)?;
        }
        Ok(tokens)
    }

    fn set(&mut self, id: &Value, text: &str, kind: i32) -> Result<(), CheckpointError> {
        let at = id.as_u64().and_then(|id| usize::try_from(id).ok());
        let slot = at.and_then(|at| Some((self.texts.get_mut(at)?, self.kinds.get_mut(at)?)));
        let Some((old, old_kind)) = slot else {
            let reason = format!("token {text:?} has the id {id}, which the embedding has no row for");
            return Err(CheckpointError::damaged(FILE, reason));
        };
        if *old_kind != UNUSED && old != text {
            return Err(CheckpointError::damaged(
                FILE,
                format!("{old:?} and {text:?} have the same id {id}"),
            ));
        }
        (*old, *old_kind) = (text.to_owned(), kind);
        Ok(())
    }

    fn ids(&self) -> HashMap<&str, u64> {
        self.texts.iter().map(String::as_str).zip(0..).collect()
    }
}

/// Older files write a merge as one text, newer ones as a pair.
fn merges(pairs: &Map<String, Value>) -> Result<Vec<String>, CheckpointError> {
    let all = pairs.get("merges").and_then(Value::as_array).into_iter().flatten();
    all.map(|merge| match merge {
        Value::String(both) => Some(both.clone()),
        Value::Array(pair) => match &pair[..] {
            [Value::String(left), Value::String(right)] if !left.contains(' ') => {
                Some(format!("{left} {right}"))
            }
            _ => None,
        },
        _ => None,
    })
    .collect::<Option<_>>()
    .ok_or_else(|| CheckpointError::damaged(FILE, "a merge is not two tokens"))
}

/// The tokens that begin and end a text.
fn write_ends(json: &Value, config: &Value, settings: &Settings, tokens: &Tokens, model: &mut Assembly) {
    let ids = tokens.ids();
    let named = |name: &str| {
        let token = config.get(name)?;
        let text = token.as_str().or_else(|| token.get("content")?.as_str());
        ids.get(text?).copied()
    };
    let prepended = prepended(json).and_then(|text| ids.get(text).copied());
    if let Some(id) = prepended.or(named("bos_token")).or(settings.token("bos_token_id")) {
        model.number("tokenizer.ggml.bos_token_id", id);
    }
    if let Some(id) = named("eos_token").or(settings.token("eos_token_id")) {
        model.number("tokenizer.ggml.eos_token_id", id);
    }
    let adds = config.get("add_bos_token").and_then(Value::as_bool);
    model.flag("tokenizer.ggml.add_bos_token", adds.unwrap_or(prepended.is_some()));
}

/// The token that the post-processor puts before a text.
fn prepended(json: &Value) -> Option<&str> {
    let processor = json.get("post_processor")?;
    let within = processor.get("processors").and_then(Value::as_array).into_iter().flatten();
    let template = within.chain([processor]).find(|step| step.get("single").is_some())?;
    template.get("single")?.get(0)?.get("SpecialToken")?.get("id")?.as_str()
}

fn template(folder: &Folder, config: &Value) -> Result<Option<String>, CheckpointError> {
    if let Some(text) = folder.text("chat_template.jinja")? {
        return Ok(Some(text));
    }
    Ok(match config.get("chat_template") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(several)) => several
            .iter()
            .find(|one| one.get("name").is_some_and(|name| name == "default"))
            .and_then(|one| one.get("template")?.as_str())
            .map(str::to_owned),
        _ => None,
    })
}
