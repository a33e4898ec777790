//! Plain candle's quantized models on the same files: one line of JSON like `speed` prints.
//!
//! candle-peer FILE [PROMPT_TOKENS] [GEN_TOKENS] [DEPTH]
//!
//! Decode starts after DEPTH tokens, by default after the prompt. Threads: `RAYON_NUM_THREADS`.

use std::fs::File;
use std::time::Instant;

use candle_core::quantized::gguf_file::Content;
use candle_core::{Device, Tensor};
use candle_transformers::models::{quantized_gemma3, quantized_llama, quantized_qwen2};

enum Model {
    Llama(quantized_llama::ModelWeights),
    Qwen2(quantized_qwen2::ModelWeights),
    Gemma3(quantized_gemma3::ModelWeights),
}

impl Model {
    fn load(path: &str) -> anyhow::Result<Self> {
        let device = Device::Cpu;
        let mut file = File::open(path)?;
        let content = Content::read(&mut file)?;
        let architecture = content.metadata["general.architecture"].to_string()?.clone();
        Ok(match architecture.as_str() {
            "llama" => Self::Llama(quantized_llama::ModelWeights::from_gguf(content, &mut file, &device)?),
            "qwen2" => Self::Qwen2(quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &device)?),
            "gemma3" => Self::Gemma3(quantized_gemma3::ModelWeights::from_gguf(content, &mut file, &device)?),
            other => anyhow::bail!("no peer for {other}"),
        })
    }

    fn forward(&mut self, ids: &[u32], at: usize) -> anyhow::Result<Tensor> {
        let input = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        Ok(match self {
            Self::Llama(model) => model.forward(&input, at)?,
            Self::Qwen2(model) => model.forward(&input, at)?,
            Self::Gemma3(model) => model.forward(&input, at)?,
        })
    }
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let number =
        |index: usize, default: usize| args.get(index).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (prompt_tokens, gen_tokens) = (number(2, 512), number(3, 64));
    let depth = number(4, prompt_tokens);
    let mut model = Model::load(&args[1])?;
    // A forward at position 0 starts the caches anew. The first one touches every page of the file.
    argmax(&model.forward(&prompt(16), 0)?)?;
    let started = Instant::now();
    let mut next = argmax(&model.forward(&prompt(prompt_tokens), 0)?)?;
    let prefill = started.elapsed();
    if depth != prompt_tokens && depth > 0 {
        next = argmax(&model.forward(&prompt(depth), 0)?)?;
    }
    let started = Instant::now();
    for step in 0..gen_tokens {
        next = argmax(&model.forward(&[next], depth + step)?)?;
    }
    let decode = started.elapsed();
    println!(
        "{{\"engine\": \"candle\", \"prefill_tok_s\": {:.1}, \"decode_tok_s\": {:.2}}}",
        prompt_tokens as f64 / prefill.as_secs_f64(),
        gen_tokens as f64 / decode.as_secs_f64()
    );
    Ok(())
}

fn prompt(tokens: usize) -> Vec<u32> {
    (0..tokens as u32).map(|index| 1000 + index * 37 % 5000).collect()
}

fn argmax(logits: &Tensor) -> anyhow::Result<u32> {
    let flat = logits.flatten_all()?;
    Ok(flat.argmax(0)?.to_scalar::<u32>()?)
}
