//! What the engine's integration tests share.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod converted;
pub mod reference;
pub mod verbs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use understudy_engine::engine::{Engine, EngineOptions};
use understudy_engine::kv::{PAGE_LEN, PageId};
use understudy_engine::model::{CpuDecoder, Decoder, Head, Model, Row, Want};
use understudy_engine::tick::{Pulse, Tick, TickEngine};
use understudy_engine::verbs::*;
use understudy_kernels::{ComputePool, default_threads};

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A model's file on this machine. A missing one is a failure, never a skip.
pub fn model_file(name: &str, file: &str) -> PathBuf {
    let home = std::env::var_os("UNDERSTUDY_HOME").map(PathBuf::from).unwrap_or_else(data_folder);
    let path = home.join("models").join(name).join(file);
    assert!(path.is_file(), "{} is missing; run: cargo run --release -- pull {name}", path.display());
    path
}

fn data_folder() -> PathBuf {
    let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
    match cfg!(target_os = "macos") {
        true => home.join("Library/Application Support/understudy"),
        false => std::env::var_os("XDG_DATA_HOME")
            .map_or_else(|| home.join(".local/share"), PathBuf::from)
            .join("understudy"),
    }
}

/// Index of the largest logit.
pub fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(index, _)| index as u32)
}

/// One sequence driven straight through a decoder, without an engine.
pub struct Rows {
    decoder: Box<dyn Decoder>,
    pages: Vec<PageId>,
    len: usize,
}

impl Rows {
    /// Over all pages of a decoder, in descending order, so that a mistake in paging shows.
    pub fn over(decoder: Box<dyn Decoder>) -> Self {
        let pages = (0..decoder.pages() as PageId).rev().collect();
        Self { decoder, pages, len: 0 }
    }

    /// On the processor, with room for so many tokens.
    pub fn new(model: &Arc<Model>, capacity: usize) -> Self {
        let pool = Arc::new(ComputePool::new(default_threads()));
        Self::over(Box::new(CpuDecoder::new(model.clone(), pool, capacity.div_ceil(PAGE_LEN))))
    }

    /// Forgets its tokens. Pages are used in the other order from now on.
    pub fn restart(&mut self) {
        self.len = 0;
        self.pages.reverse();
    }

    /// Appends tokens in chunks; the logits of every row that wants them.
    pub fn prefill(&mut self, ids: &[u32], chunk: usize, want: impl Fn(usize) -> Want) -> Vec<Vec<f32>> {
        let vocab = self.decoder.config().vocab;
        let mut logits = Vec::new();
        for chunk in ids.chunks(chunk) {
            let rows: Vec<Row<'_>> = chunk
                .iter()
                .enumerate()
                .map(|(index, &token)| {
                    let pos = self.len + index;
                    Row { token, pos, pages: &self.pages, want: want(pos) }
                })
                .collect();
            self.decoder.forward(&rows, &Pulse::default()).unwrap();
            let wanted = rows.iter().filter(|row| row.want == Want::Logits).count();
            self.decoder.head(&mut vec![Head::default(); wanted]).unwrap();
            logits.extend(self.decoder.logits().chunks_exact(vocab).map(<[f32]>::to_vec));
            self.len += chunk.len();
        }
        logits
    }

    /// Appends one token; its logits.
    pub fn decode(&mut self, token: u32) -> Vec<f32> {
        self.prefill(&[token], 1, |_| Want::Logits).remove(0)
    }
}

/// Runs all prompts at once through an engine, greedily, with no end tokens.
pub fn run_greedy(model: &Arc<Model>, prompts: &[&[u32]], max_tokens: u32) -> Vec<Vec<u32>> {
    let pool = Arc::new(ComputePool::new(default_threads()));
    let mut engine =
        Engine::new(model.clone(), Vec::new(), pool, &EngineOptions::default(), Pulse::default());
    let mut events = Vec::new();
    for (index, prompt) in prompts.iter().enumerate() {
        let open = OpenSpec { prompt: prompt.to_vec(), ..OpenSpec::default() };
        engine.submit(JobId(index as u64), Verb::Open(open));
    }
    engine.tick(&mut events);
    for (id, event) in std::mem::take(&mut events) {
        let JobEvent::Done { result: Ok(Outcome::Opened { seq, .. }), .. } = event else {
            panic!("{event:?}")
        };
        let spec = RunSpec { max_tokens, stop_when: StopWhen::default(), signals: SignalMode::Full };
        engine.submit(JobId(100 + id.0), Verb::Run { seq, at: prompts[id.0 as usize].len(), spec });
    }
    while engine.tick(&mut events) == Tick::Worked {}
    let mut answers = vec![Vec::new(); prompts.len()];
    for (id, event) in events {
        if let JobEvent::Step(step) = event {
            answers[id.0 as usize - 100].push(step.token);
        }
    }
    answers
}
