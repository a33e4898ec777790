//! Everything that the product does with a model file that it was given.

use std::path::Path;
use std::sync::Arc;

use understudy_engine::ComputePool;
use understudy_engine::codec::{ChatMessage, Codec};
use understudy_engine::engine::{Engine, EngineOptions};
use understudy_engine::model::{Activations, Model, ModelOptions};
use understudy_engine::text::TextModel;
use understudy_engine::tick::{Pulse, Tick, TickEngine};
use understudy_engine::verbs::*;

/// How far a file got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// It was refused.
    Refused,
    /// The model opened, the text side did not.
    Model,
    /// Both opened, but no prompt of the conversation fitted the model.
    Text,
    /// Tokens were computed, or refused with an error of the engine.
    Engine,
}

/// Opens a file, renders and encodes a conversation, and generates two tokens of an answer.
/// Whatever the file holds, this returns.
pub fn open_and_ask(path: &Path, activations: Activations, pool: &Arc<ComputePool>) -> Reached {
    let options = ModelOptions { activations, packs: None };
    let Ok(model) = Model::open_with(path, &options, pool) else { return Reached::Refused };
    let Ok(text) = TextModel::from_gguf(model.gguf()) else { return Reached::Model };
    let hello = ChatMessage::new("user", "Grüße, 2 + 2?\n <|im_end|>");
    let rendered = text.render(&[hello], &[]).unwrap_or_else(|_| "Once upon".to_owned());
    let Ok(mut prompt) = text.encode_prompt(&rendered) else { return Reached::Text };
    prompt.truncate(40);
    prompt.iter().for_each(|&id| _ = text.token_bytes(id));

    let options = EngineOptions { max_sequences: 2, kv_tokens: 64, context: 64, ..EngineOptions::default() };
    let ends = text.end_tokens().to_vec();
    let mut engine = Engine::new(Arc::new(model), ends, pool.clone(), &options, Pulse::default());
    let (mut events, at) = (Vec::new(), prompt.len());
    let open = OpenSpec { prompt, ..OpenSpec::default() };
    engine.submit(JobId(1), Verb::Open(open));
    engine.tick(&mut events);
    let Some((_, JobEvent::Done { result: Ok(Outcome::Opened { seq, .. }), .. })) = events.pop() else {
        return Reached::Text;
    };
    let spec = RunSpec { max_tokens: 2, stop_when: StopWhen::default(), signals: SignalMode::Full };
    engine.submit(JobId(2), Verb::Run { seq, at, spec });
    while engine.tick(&mut events) == Tick::Worked {}
    Reached::Engine
}
