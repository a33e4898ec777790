//! A GGUF file as the checkpoint that it may have come from.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use understudy_engine::gguf::Gguf;
use understudy_kernels::dequantize;

/// `tokenizer.ggml.token_type` of control tokens.
const CONTROL: i32 = 3;

/// Writes a SmolLM2 model (llama, tied, byte-level) in 32-bit floats and two shards.
pub fn write_smollm2(gguf: &Gguf, folder: &Path) {
    let size = |name: &str| gguf.u64(&format!("llama.{name}")).unwrap();
    let (heads, kv_heads) = (size("attention.head_count"), size("attention.head_count_kv"));
    let config = json!({
        "model_type": "llama",
        "num_hidden_layers": size("block_count"),
        "hidden_size": size("embedding_length"),
        "intermediate_size": size("feed_forward_length"),
        "max_position_embeddings": size("context_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": gguf.f64("llama.attention.layer_norm_rms_epsilon").unwrap(),
        "rope_theta": gguf.f64("llama.rope.freq_base").unwrap(),
        "tie_word_embeddings": true,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer(gguf).to_string()).unwrap();
    let ends =
        json!({ "eos_token": "<|im_end|>", "chat_template": gguf.str("tokenizer.chat_template").unwrap() });
    fs::write(folder.join("tokenizer_config.json"), ends.to_string()).unwrap();

    let mut places = BTreeMap::new();
    let names: Vec<&str> = gguf.tensor_names().collect();
    for (half, names) in names.chunks(names.len().div_ceil(2)).enumerate() {
        let file = format!("model-{half}.safetensors");
        let (mut header, mut data) = (Map::new(), Vec::new());
        for name in names {
            let tensor = gguf.tensor(name).unwrap();
            let mut values = vec![0.0; tensor.rows() * tensor.cols()];
            for (values, row) in values
                .chunks_mut(tensor.cols())
                .zip(gguf.matrix(name).unwrap().data.chunks(tensor.range.len() / tensor.rows()))
            {
                dequantize(tensor.ty, row, values).unwrap();
            }
            if name.contains("attn_q.") {
                values = halves_of_pairs(&values, tensor.rows() / heads as usize, tensor.cols());
            } else if name.contains("attn_k.") {
                values = halves_of_pairs(&values, tensor.rows() / kv_heads as usize, tensor.cols());
            }
            let shape: Vec<usize> = tensor.dims.iter().rev().copied().collect();
            let start = data.len();
            data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let name = hub_name(name);
            header.insert(
                name.clone(),
                json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }),
            );
            places.insert(name, file.clone());
        }
        let header = Value::Object(header).to_string();
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
        fs::write(folder.join(file), bytes).unwrap();
    }
    let index = json!({ "weight_map": places }).to_string();
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

fn tokenizer(gguf: &Gguf) -> Value {
    let tokens: Vec<&str> = gguf.strings("tokenizer.ggml.tokens").unwrap().collect();
    let kinds = gguf.i32s("tokenizer.ggml.token_type").unwrap();
    let controls = tokens.iter().zip(&kinds).enumerate().filter(|(_, (_, kind))| **kind == CONTROL);
    let added: Vec<Value> =
        controls.map(|(id, (text, _))| json!({ "id": id, "content": text, "special": true })).collect();
    let vocab: Map<String, Value> =
        tokens.iter().zip(0..).map(|(text, id)| (text.to_string(), id.into())).collect();
    json!({
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Digits", "individual_digits": true },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        ] },
        "model": {
            "type": "BPE",
            "vocab": vocab,
            "merges": gguf.strings("tokenizer.ggml.merges").unwrap().collect::<Vec<_>>(),
        },
    })
}

/// GGUF has the pairs of a rotation side by side, checkpoints half a head apart.
fn halves_of_pairs(values: &[f32], head_dim: usize, cols: usize) -> Vec<f32> {
    let heads = values.chunks_exact(head_dim * cols);
    let rows = |head: &[f32], first: usize| {
        head.chunks_exact(cols).skip(first).step_by(2).flatten().copied().collect::<Vec<f32>>()
    };
    heads.flat_map(|head| [rows(head, 0), rows(head, 1)].concat()).collect()
}

fn hub_name(name: &str) -> String {
    const PARTS: [(&str, &str); 9] = [
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("attn_norm", "input_layernorm"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ];
    match name {
        "token_embd.weight" => "model.embed_tokens.weight".to_owned(),
        "output_norm.weight" => "model.norm.weight".to_owned(),
        _ => {
            let (layer, part) = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')).unwrap();
            let part = part.strip_suffix(".weight").unwrap();
            let (_, part) = PARTS.iter().find(|(ours, _)| *ours == part).unwrap();
            format!("model.layers.{layer}.{part}.weight")
        }
    }
}
