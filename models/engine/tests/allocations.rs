//! A decode tick allocates nothing once its engine is warm, whatever restricts or draws the tokens.

use std::path::Path;
use std::sync::Arc;

use understudy_engine::engine::{Engine, EngineOptions};
use understudy_engine::gate::TokenGate;
use understudy_engine::model::{Activations, Model, ModelOptions};
use understudy_engine::tick::{Pulse, TickEngine};
use understudy_engine::verbs::*;
use understudy_kernels::{ComputePool, CountingAllocator};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

/// Long enough to fill a page of keys and values and seal it.
const TOKENS: u32 = 48;

/// Allows every `step`th token.
#[derive(Clone)]
struct Every(usize);

impl TokenGate for Every {
    fn mask(&mut self, allowed: &mut [u32]) {
        allowed.fill(0);
        (0..512).step_by(self.0).for_each(|id| allowed[id / 32] |= 1 << (id % 32));
    }
    fn accept(&mut self, token: TokenId) -> bool {
        (token as usize).is_multiple_of(self.0)
    }
    fn rollback(&mut self, _: usize) {}
    fn fork(&self) -> Box<dyn TokenGate> {
        Box::new(self.clone())
    }
    fn forced(&mut self) -> Vec<TokenId> {
        Vec::new()
    }
    fn is_complete(&mut self) -> bool {
        false
    }
}

/// One stream: how it draws, and what it may draw.
type Stream = (SamplerSpec, Option<Every>, SignalMode);

/// Runs streams to their end; allocations of all ticks after the first token of each.
fn allocations(engine: &mut Engine, streams: &[Stream]) -> u64 {
    let mut events = Vec::with_capacity(1024);
    for (index, (sampler, gate, _)) in streams.iter().enumerate() {
        let prompt = (0..20).map(|at| (at * 31 + index as u32 * 7 + 3) % 490).collect();
        let gate = gate.clone().map(|gate| Box::new(gate) as Box<dyn TokenGate>);
        let open = Verb::Open(OpenSpec { prompt, sampler: sampler.clone(), gate, ..OpenSpec::default() });
        engine.submit(JobId(index as u64), open);
    }
    engine.tick(&mut events);
    let opened: Vec<SeqKey> = events
        .drain(..)
        .map(|(_, event)| match event {
            JobEvent::Done { result: Ok(Outcome::Opened { seq, .. }), .. } => seq,
            other => panic!("{other:?}"),
        })
        .collect();
    for (index, (&seq, (_, _, signals))) in opened.iter().zip(streams).enumerate() {
        let spec = RunSpec { max_tokens: TOKENS, stop_when: StopWhen::default(), signals: *signals };
        engine.submit(JobId(index as u64), Verb::Run { seq, at: 20, spec });
    }
    engine.tick(&mut events);
    assert_eq!(events.len(), streams.len(), "the prompts are short: everyone has a token");
    let before = ALLOCATOR.count();
    for _ in 2..TOKENS {
        engine.tick(&mut events);
    }
    let counted = ALLOCATOR.count() - before;
    assert_eq!(events.len(), (TOKENS as usize - 1) * streams.len(), "a token of everyone at each tick");
    while engine.stats().jobs > 0 {
        engine.tick(&mut events);
    }
    opened.into_iter().for_each(|seq| engine.submit(JobId(99), Verb::Close { seq }));
    engine.tick(&mut events);
    counted
}

#[test]
fn a_warm_decode_tick_allocates_nothing() {
    let greedy = SamplerSpec::default;
    let drawn = || SamplerSpec { temperature: 0.9, seed: 7, ..greedy() };
    let nucleus = || SamplerSpec { top_p: 0.95, repetition_penalty: 1.1, ..drawn() };
    let runs: [&[Stream]; 6] = [
        &[(greedy(), None, SignalMode::None)],
        &[(drawn(), None, SignalMode::Full)],
        &[(nucleus(), None, SignalMode::None)],
        &[(greedy(), Some(Every(511)), SignalMode::None)],
        &[(drawn(), Some(Every(3)), SignalMode::Masked)],
        &[
            (nucleus(), None, SignalMode::None),
            (greedy(), Some(Every(100)), SignalMode::None),
            (drawn(), Some(Every(2)), SignalMode::Full),
        ],
    ];
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/tiny-qwen3.gguf");
    let pool = Arc::new(ComputePool::new(2));
    for activations in Activations::ALL {
        let options = ModelOptions { activations, packs: None };
        let model = Arc::new(Model::open_with(&file, &options, &pool).unwrap());
        let options =
            EngineOptions { max_sequences: 4, kv_tokens: 1024, context: 256, ..EngineOptions::default() };
        let mut engine = Engine::new(model, Vec::new(), pool.clone(), &options, Pulse::default());
        for (number, streams) in runs.iter().enumerate() {
            allocations(&mut engine, streams); // grows what has to grow
            assert_eq!(allocations(&mut engine, streams), 0, "{activations:?}, run {number}");
        }
    }
}
