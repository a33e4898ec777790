//! The real engines of a node: GGUF files on this machine's processor.

use std::path::Path;
use std::sync::Arc;

use understudy_actors::source::{EngineFactory, LoadError, LoadedModel};
use understudy_backend::ModelCard;
use understudy_engine::codec::Codec;
use understudy_engine::engine::{Engine, EngineOptions};
use understudy_engine::gguf::GgufError;
use understudy_engine::model::{self, Model};
use understudy_engine::text::{TextError, TextModel};
use understudy_engine::tick::{Pulse, TickEngine};
use understudy_engine::{ComputePool, default_threads};

use crate::config;

/// The arithmetic of every answer: weights as stored, activations and KV in f32.
const NUMERICS: &str = "cpu-f32";

/// Opens GGUF files and starts engines over them. All engines share one compute pool.
pub struct GgufEngines {
    pool: Arc<ComputePool>,
    options: EngineOptions,
}

impl GgufEngines {
    /// Engines within the settings' limits.
    pub fn new(settings: &config::Engine) -> Self {
        let threads = if settings.threads == 0 { default_threads() } else { settings.threads };
        Self {
            pool: Arc::new(ComputePool::new(threads)),
            options: EngineOptions {
                // Permits bound open sequences; forks and embeddings need a few slots beside them.
                max_sequences: settings.max_sequences * 2,
                kv_tokens: settings.kv_tokens,
                context: settings.context_tokens,
            },
        }
    }
}

impl EngineFactory for GgufEngines {
    fn load(&self, path: &Path, name: &str) -> Result<LoadedModel, LoadError> {
        let failed = |error: model::LoadError| {
            LoadError::failed(code_of(&error), format!("{}: {error}", path.display()))
        };
        let model = Arc::new(Model::open(path).map_err(failed)?);
        let text = TextModel::from_gguf(model.gguf()).map_err(|error| text_failure(path, &error))?;
        let (block_bytes, head_bytes) = model.pass_bytes();
        let card = ModelCard {
            name: name.to_owned(),
            architecture: model.config().architecture.clone(),
            context: self.options.context.min(model.config().context),
            bytes_per_token: block_bytes + head_bytes,
            numerics: NUMERICS.to_owned(),
            codec_digest: text.digest().to_owned(),
        };
        let ends = text.end_tokens().to_vec();
        let (pool, options) = (self.pool.clone(), self.options.clone());
        Ok(LoadedModel {
            card,
            codec: Arc::new(text),
            make_engine: Arc::new(move |pulse: Pulse| {
                let engine = Engine::new(model.clone(), ends.clone(), pool.clone(), &options, pulse);
                Ok(Box::new(engine) as Box<dyn TickEngine>)
            }),
        })
    }
}

fn text_failure(path: &Path, error: &TextError) -> LoadError {
    LoadError::failed("GGUF_TEXT", format!("{}: {error}", path.display()))
}

/// The stable code of a cause, for programs.
fn code_of(error: &model::LoadError) -> &'static str {
    match error {
        model::LoadError::Gguf(GgufError::NotGguf { .. }) => "GGUF_NOT_GGUF",
        model::LoadError::Gguf(GgufError::Truncated { .. }) => "GGUF_TRUNCATED",
        model::LoadError::Gguf(GgufError::Io { .. }) => "GGUF_UNREADABLE",
        model::LoadError::Gguf(_) => "GGUF_DAMAGED",
        model::LoadError::UnsupportedArchitecture(_) | model::LoadError::Unsupported(_) => "GGUF_UNSUPPORTED",
        model::LoadError::OutOfRange { .. } | model::LoadError::Shape { .. } => "GGUF_DAMAGED",
    }
}
