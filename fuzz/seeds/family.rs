//! The smallest models that the engine opens, one for each family.

use crate::gguf::{GgufWriter, Value};

/// ggml's numbers of types, with elements and bytes of a block.
const F32: (u32, u64, u64) = (0, 1, 4);
const F16: (u32, u64, u64) = (1, 1, 2);
const Q4_0: (u32, u64, u64) = (2, 32, 18);
const Q4_1: (u32, u64, u64) = (3, 32, 20);
const Q5_0: (u32, u64, u64) = (6, 32, 22);
const Q5_1: (u32, u64, u64) = (7, 32, 24);
const Q8_0: (u32, u64, u64) = (8, 32, 34);
const Q4_K: (u32, u64, u64) = (12, 256, 144);
const Q5_K: (u32, u64, u64) = (13, 256, 176);
const Q6_K: (u32, u64, u64) = (14, 256, 210);

const TOKENS: [&str; 16] = [
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "a",
    "b",
    "c",
    "ab",
    "abc",
    "Ġ",
    "Ġa",
    "Ċ",
    "2",
    "+",
    "u",
    "<0x0A>",
];
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m['content'].strip() }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>a{% endif %}";

/// A model of one block with that architecture's keys and tensors, and a tokenizer. The matrices
/// of the wide one are stored in blocks of 256, those of the others in blocks of 32 or as floats.
pub fn model(family: &str, wide: bool) -> Vec<u8> {
    let hidden = if wide { 256 } else { 32 };
    let [embedding, q, k, v, gate, up] = match wide {
        true => [Q6_K, Q4_K, Q5_K, Q6_K, Q4_K, Q4_K],
        false => [Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, F16],
    };
    let mut file = GgufWriter::default();
    let mut number = |name: &str, value| file.key(&format!("{family}.{name}"), Value::U32(value));
    number("block_count", 1);
    number("embedding_length", hidden as u32);
    number("feed_forward_length", 32);
    number("context_length", 64);
    number("attention.head_count", 2);
    number("attention.head_count_kv", 1);
    number("attention.key_length", 16);
    number("attention.sliding_window", 8);
    file.key(&format!("{family}.attention.layer_norm_rms_epsilon"), Value::F32(1e-5));
    file.key(&format!("{family}.rope.freq_base"), Value::F32(1e4));
    file.key("general.architecture", Value::Text(family));
    tokenizer(&mut file, family);

    let mut tensor = |name: &str, rows, cols, ty| random_tensor(&mut file, name, rows, cols, ty);
    tensor("token_embd.weight", TOKENS.len() as u64, hidden, embedding);
    tensor("output_norm.weight", 0, hidden, F32);
    let mut block = |name: &str, rows, cols, ty| tensor(&format!("blk.0.{name}"), rows, cols, ty);
    for name in ["attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm"] {
        block(&format!("{name}.weight"), 0, hidden, F32);
    }
    for (name, width, ty) in [("q", 32, q), ("k", 16, k), ("v", 16, v)] {
        block(&format!("attn_{name}.weight"), width, hidden, ty);
        block(&format!("attn_{name}.bias"), 0, width, F32);
        block(&format!("attn_{name}_norm.weight"), 0, 16, F32);
    }
    block("attn_output.weight", hidden, 32, Q8_0);
    block("ffn_gate.weight", 32, hidden, gate);
    block("ffn_up.weight", 32, hidden, up);
    block("ffn_down.weight", hidden, 32, Q4_0);
    file.bytes()
}

fn tokenizer(file: &mut GgufWriter, family: &str) {
    let spm = matches!(family, "llama" | "gemma3");
    file.key("tokenizer.ggml.model", Value::Text(if spm { "llama" } else { "gpt2" }));
    file.key("tokenizer.ggml.pre", Value::Text(if spm { "default" } else { "qwen2" }));
    file.key("tokenizer.ggml.tokens", Value::Texts(TOKENS.to_vec()));
    let kinds = TOKENS.map(|token| match token {
        "<0x0A>" => 6,
        _ if token.starts_with('<') => 3,
        _ => 1,
    });
    file.key("tokenizer.ggml.token_type", Value::I32s(kinds.to_vec()));
    file.key("tokenizer.ggml.scores", Value::F32s((0..16).map(|id| -(id as f32)).collect()));
    file.key("tokenizer.ggml.merges", Value::Texts(vec!["a b", "ab c", "Ġ a"]));
    file.key("tokenizer.ggml.bos_token_id", Value::U32(0));
    file.key("tokenizer.ggml.eos_token_id", Value::U32(3));
    file.key("tokenizer.ggml.add_bos_token", Value::Bool(spm));
    file.key("tokenizer.chat_template", Value::Text(TEMPLATE));
}

/// Bytes that are the same every time; as halves and singles they are of ordinary size.
fn random_tensor(file: &mut GgufWriter, name: &str, rows: u64, cols: u64, ty: (u32, u64, u64)) {
    let (id, elements, bytes) = ty;
    let len = rows.max(1) * cols / elements * bytes;
    let bytes: Vec<u8> = (0..len).map(|at| if at % 2 == 0 { (at * 37) as u8 } else { 0x2c }).collect();
    file.tensor(name, rows, cols, id, &bytes);
}
