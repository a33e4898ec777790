//! A model with an engine of its own, asked without a node in between.

use std::path::Path;
use std::sync::Arc;

use understudy_actors::source::EngineFactory;
use understudy_engine::codec::{ChatMessage, Codec};
use understudy_engine::tick::{Pulse, TickEngine};
use understudy_engine::verbs::{JobId, TokenId, Verb};
use understudy_gateway::{GgufEngines, NodeConfig};

use crate::error::Error;

pub struct Model {
    pub engine: Box<dyn TickEngine>,
    pub codec: Arc<dyn Codec>,
    jobs: u64,
}

impl Model {
    pub fn open(path: &Path, name: &str, config: &NodeConfig) -> Result<Self, Error> {
        let engines = GgufEngines::new(config)?;
        let loaded = engines.load(path, name).map_err(|error| Error::invalid(error.to_string()))?;
        let engine =
            (loaded.make_engine)(Pulse::default()).map_err(|error| Error::invalid(error.to_string()))?;
        Ok(Self { engine, codec: loaded.codec, jobs: 0 })
    }

    /// The ids of a question.
    pub fn prompt(&self, question: &str) -> Result<Vec<TokenId>, Error> {
        let failed = |error: understudy_engine::codec::CodecError| Error::internal(error.to_string());
        let messages = [ChatMessage::new("user", question)];
        let rendered = self.codec.render(&messages, &[]).map_err(failed)?;
        self.codec.encode_prompt(&rendered).map_err(failed)
    }

    pub fn submit(&mut self, verb: Verb) -> JobId {
        self.jobs += 1;
        self.engine.submit(JobId(self.jobs), verb);
        JobId(self.jobs)
    }

    pub fn text(&self, tokens: &[TokenId]) -> String {
        let bytes: Vec<u8> =
            tokens.iter().flat_map(|token| self.codec.token_bytes(*token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
