//! Prefill and decode speed of the engine on one GGUF file, as one line of JSON.
//!
//! cargo run --release -p understudy-engine --example speed -- FILE [PROMPT_TOKENS] [GEN_TOKENS] [STREAMS] [f32|int16|int8]

#![allow(clippy::print_stdout, reason = "the line it prints is its result")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_engine::engine::{Engine, EngineOptions};
use understudy_engine::model::{Activations, Model, ModelOptions};
use understudy_engine::tick::{Pulse, TickEngine};
use understudy_engine::verbs::*;
use understudy_engine::{ComputePool, default_threads};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let file = args.get(1).ok_or("usage: speed FILE [PROMPT_TOKENS] [GEN_TOKENS] [STREAMS] [f32|int16|int8]")?;
    let number =
        |index: usize, default: u32| args.get(index).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (prompt_tokens, gen_tokens, streams) = (number(2, 512), number(3, 64), number(4, 1));

    let path = args.get(5).map_or(Some(Activations::F32), |name| Activations::named(name));

    let started = Instant::now();
    let pool = Arc::new(ComputePool::new(default_threads()));
    let options = ModelOptions {
        activations: path.ok_or("the path is f32, int16 or int8")?,
        packs: Some(std::env::temp_dir().join("understudy-packs")),
    };
    let model = Arc::new(Model::open_with(file.as_ref(), &options, &pool)?);
    let mut engine = Engine::new(model, Vec::new(), pool, &EngineOptions::default(), Pulse::default());
    let load = started.elapsed();

    // Touches every page of the file once, so that both engines are measured warm.
    time(&mut engine, 16, 1, 1, 7);
    let (prefill, _) = time(&mut engine, prompt_tokens, 1, 1, 0);
    let (first, all) = time(&mut engine, prompt_tokens, gen_tokens + 1, streams, 1);
    let decode = all - first;
    println!(
        "{{\"engine\": \"understudy\", \"load_ms\": {:.1}, \"prefill_tok_s\": {:.1}, \"streams\": {streams}, \"decode_tok_s\": {:.2}}}",
        load.as_secs_f64() * 1e3,
        f64::from(prompt_tokens) / prefill.as_secs_f64(),
        f64::from(gen_tokens * streams) / decode.as_secs_f64()
    );
    Ok(())
}

/// Runs streams to their end; the time until every stream had its first token, and in all.
fn time(
    engine: &mut Engine,
    prompt_tokens: u32,
    gen_tokens: u32,
    streams: u32,
    salt: u32,
) -> (Duration, Duration) {
    let mut events = Vec::new();
    for stream in 0..streams {
        let prompt = (0..prompt_tokens).map(|index| 1000 + (index * 37 + stream + salt) % 5000).collect();
        let open = OpenSpec { prompt, sampler: SamplerSpec::default(), gate: None };
        engine.submit(JobId(u64::from(stream)), Verb::Open(open));
    }
    engine.tick(&mut events);
    let opened: Vec<SeqKey> = events.drain(..).filter_map(|(_, event)| opened(event)).collect();
    let started = Instant::now();
    for (stream, &seq) in opened.iter().enumerate() {
        let spec =
            RunSpec { max_tokens: gen_tokens, stop_when: StopWhen::default(), signals: SignalMode::None };
        engine.submit(JobId(stream as u64), Verb::Run { seq, at: prompt_tokens as usize, spec });
    }
    let mut first = vec![None; opened.len()];
    let mut done = 0;
    while done < opened.len() {
        engine.tick(&mut events);
        for (job, event) in events.drain(..) {
            match event {
                JobEvent::Step(_) => {
                    first[job.0 as usize].get_or_insert(started.elapsed());
                }
                JobEvent::Done { .. } => done += 1,
            }
        }
    }
    let all = started.elapsed();
    for seq in opened {
        engine.submit(JobId(u64::MAX), Verb::Close { seq });
    }
    engine.tick(&mut events);
    (first.into_iter().flatten().max().unwrap_or(all), all)
}

fn opened(event: JobEvent) -> Option<SeqKey> {
    match event {
        JobEvent::Done { result: Ok(Outcome::Opened { seq, .. }), .. } => Some(seq),
        _ => None,
    }
}
