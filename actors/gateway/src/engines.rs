//! The real engines of a node: GGUF files and checkpoints, on this machine's processor or on a device.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use understudy_actors::source::{EngineFactory, LoadError, LoadedModel};
use understudy_backend::ModelCard;
use understudy_engine::bert::{Bert, BertEngine, BertText};
use understudy_engine::checkpoint::{self, CheckpointError};
use understudy_engine::codec::Codec;
use understudy_engine::device::{self, DeviceChoice, PlacedModel};
use understudy_engine::engine::{Engine, EngineOptions};
use understudy_engine::gguf::{Gguf, GgufError};
use understudy_engine::model::{self, Activations, ModelOptions};
use understudy_engine::text::{TextError, TextModel};
use understudy_engine::tick::{Pulse, TickEngine};
use understudy_engine::{ComputePool, default_threads};
use understudy_hub::{Home, Puller};

use crate::{Failure, NodeConfig, codes};

/// Opens GGUF files and checkpoints, and starts engines over them. All engines share one compute pool.
pub struct GgufEngines {
    pool: Arc<ComputePool>,
    device: DeviceChoice,
    /// What the device is, for reports.
    described: String,
    /// The one that the settings ask of every model.
    activations: Option<Activations>,
    /// What the catalogue says of its models.
    measured: HashMap<String, Activations>,
    require_fast: bool,
    packs: Option<PathBuf>,
    options: EngineOptions,
}

impl GgufEngines {
    /// Engines within the settings' limits.
    ///
    /// # Errors
    /// `DEVICE_FAILED` when the device that the settings name is not there; `CONFIG_INVALID` when
    /// it cannot compute as they ask.
    pub fn new(config: &NodeConfig) -> Result<Self, Failure> {
        let settings = &config.engine;
        if settings.device != DeviceChoice::Cpu
            && matches!(settings.activations, Some(Activations::Int16 | Activations::Mixed))
        {
            let why = format!("engine.activations: {} computes with f32 or int8", settings.device);
            return Err(Failure::new(codes::CONFIG_INVALID, why));
        }
        let threads = if settings.threads == 0 { default_threads() } else { settings.threads };
        let described = device::probe(settings.device)
            .map_err(|error| failure(format!("engine.device: {error}"), &error))?;
        Ok(Self {
            device: settings.device,
            described,
            pool: Arc::new(ComputePool::new(threads)),
            activations: settings.activations,
            measured: measured(config),
            require_fast: settings.require_fast,
            packs: config.home().ok().map(|home| Self::packs_in(&home)),
            options: EngineOptions {
                // Permits bound open sequences; forks and embeddings need a few slots beside them.
                max_sequences: settings.max_sequences * 2,
                kv_tokens: settings.kv_tokens,
                context: settings.context_tokens,
                foreseen: settings.foreseen_tokens,
            },
        })
    }

    /// Where engines keep packed weights and the verdicts on their kernels.
    pub fn packs_in(home: &Home) -> PathBuf {
        home.root().join("packs")
    }

    /// Opens a model as its engines would, to be measured.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn open(&self, path: &Path, name: &str) -> Result<PlacedModel, Failure> {
        self.open_model(path, name).map_err(|error| failure(format!("{}: {error}", path.display()), &error))
    }

    /// The threads that all engines share.
    pub fn pool(&self) -> &Arc<ComputePool> {
        &self.pool
    }

    /// What computes: `cpu-avx2`, or `cuda` with the name that its driver has for it.
    pub fn device(&self) -> &str {
        &self.described
    }

    fn load_encoder(&self, path: &Path, name: &str) -> Result<LoadedModel, CheckpointError> {
        let model = Arc::new(Bert::open(path)?);
        let text = BertText::open(path, model.config().vocab)?;
        let card = ModelCard {
            name: name.to_owned(),
            architecture: "bert".to_owned(),
            generates: false,
            context: model.config().context,
            bytes_per_token: model.pass_bytes(),
            numerics: Activations::F32.numerics().to_owned(),
            gates: Vec::new(),
            codec_digest: text.digest().to_owned(),
            digest: model.digest(),
        };
        let pool = self.pool.clone();
        Ok(LoadedModel {
            card,
            memory: model.file_len() as u64,
            codec: Arc::new(text),
            make_engine: Arc::new(move |pulse: Pulse| {
                Ok(Box::new(BertEngine::new(model.clone(), pool.clone(), pulse)) as Box<dyn TickEngine>)
            }),
        })
    }

    fn open_model(&self, path: &Path, name: &str) -> Result<PlacedModel, model::LoadError> {
        let options = ModelOptions { activations: self.activations_of(name), packs: self.packs.clone() };
        let model = PlacedModel::open(path, self.device, &options, &self.pool)?;
        if self.require_fast
            && let Some(model) = model.on_processor()
        {
            model.require_fast()?;
        }
        Ok(model)
    }

    /// What was measured of the catalogue's models was measured on the processor.
    fn activations_of(&self, name: &str) -> Activations {
        let default = match self.device {
            DeviceChoice::Cpu => self.measured.get(name).copied().unwrap_or(Activations::Int16),
            _ => Activations::F32,
        };
        self.activations.unwrap_or(default)
    }
}

fn failure(message: String, cause: &model::LoadError) -> Failure {
    Failure::new(codes::find(code_of(cause)).unwrap_or(codes::MODEL_LOAD_FAILED), message)
}

/// The catalogue's choices. A catalogue that cannot be read is reported where models are fetched.
fn measured(config: &NodeConfig) -> HashMap<String, Activations> {
    let Ok(puller) = config.home().and_then(Puller::in_home) else { return HashMap::new() };
    let mut measured = HashMap::new();
    for model in puller.catalogue().models() {
        let Some(name) = &model.activations else { continue };
        match Activations::named(name) {
            Some(activations) => _ = measured.insert(model.name.clone(), activations),
            None => tracing::warn!(
                model = model.name,
                activations = name,
                "the catalogue's activations are not f32, int16, mixed or int8: int16 is used"
            ),
        }
    }
    measured
}

impl EngineFactory for GgufEngines {
    fn device(&self) -> String {
        self.described.clone()
    }

    fn load(&self, path: &Path, name: &str) -> Result<LoadedModel, LoadError> {
        // Whatever else is wrong with the settings is said when they are read as a decoder's.
        if checkpoint::is_checkpoint(path) && checkpoint::model_type(path).is_ok_and(|kind| kind == "bert") {
            return self.load_encoder(path, name).map_err(|error| {
                LoadError::failed(checkpoint_code(&error), format!("{}: {error}", path.display()))
            });
        }
        let model = self
            .open_model(path, name)
            .map_err(|error| LoadError::failed(code_of(&error), format!("{}: {error}", path.display())))?;
        let text = TextModel::open(model.gguf(), self.packs.as_deref());
        let text = text.map_err(|error| text_failure(path, &error))?;
        let (block_bytes, head_bytes) = model.pass_bytes();
        let card = ModelCard {
            name: name.to_owned(),
            architecture: model.config().architecture.clone(),
            generates: true,
            context: self.options.context.min(model.config().context),
            bytes_per_token: block_bytes + head_bytes,
            numerics: model.numerics(),
            gates: model.gates().to_vec(),
            codec_digest: text.digest().to_owned(),
            digest: model.gguf().digest(),
        };
        let ends = text.end_tokens().to_vec();
        let options = self.options.clone();
        // Weights are mapped packed or as they are, whose sizes differ by little.
        let weights = model.gguf().file_len() as u64;
        let kv = model.config().kv_bytes_per_token() * options.kv_tokens as u64;
        Ok(LoadedModel {
            card,
            memory: weights + kv,
            codec: Arc::new(text),
            make_engine: Arc::new(move |pulse: Pulse| {
                let decoder = model
                    .decoder(options.pages(model.config()))
                    .map_err(|error| LoadError::failed("DEVICE_FAILED", error.to_string()))?;
                let engine = Engine::over(decoder, ends.clone(), &options, pulse);
                Ok(Box::new(engine) as Box<dyn TickEngine>)
            }),
        })
    }

    fn codec(&self, head: Vec<u8>) -> Result<Arc<dyn Codec>, LoadError> {
        sent_codec(head)
    }
}

/// The codec of a model that another node has.
fn sent_codec(head: Vec<u8>) -> Result<Arc<dyn Codec>, LoadError> {
    if let Some(text) = BertText::from_head(&head) {
        let text = text.map_err(|error| LoadError::failed(checkpoint_code(&error), error.to_string()))?;
        return Ok(Arc::new(text));
    }
    let file = Gguf::from_bytes(head).map_err(|error| {
        LoadError::failed(code_of(&model::LoadError::Gguf(error)), "a sent tokenizer is damaged")
    })?;
    let text =
        TextModel::from_gguf(&file).map_err(|error| LoadError::failed("GGUF_TEXT", error.to_string()))?;
    Ok(Arc::new(text))
}

fn text_failure(path: &Path, error: &TextError) -> LoadError {
    LoadError::failed("GGUF_TEXT", format!("{}: {error}", path.display()))
}

/// The stable code of a cause, for programs.
fn code_of(error: &model::LoadError) -> &'static str {
    match error {
        model::LoadError::Checkpoint(error) => checkpoint_code(error),
        model::LoadError::Gguf(GgufError::NotGguf { .. }) => "GGUF_NOT_GGUF",
        model::LoadError::Gguf(GgufError::Truncated { .. }) => "GGUF_TRUNCATED",
        model::LoadError::Gguf(GgufError::Io { .. }) => "GGUF_UNREADABLE",
        model::LoadError::Gguf(_) => "GGUF_DAMAGED",
        model::LoadError::UnsupportedArchitecture(_) | model::LoadError::Unsupported(_) => "GGUF_UNSUPPORTED",
        model::LoadError::Device(_) => "DEVICE_FAILED",
        model::LoadError::Gate { .. } => "NUMERICS_GATE",
        model::LoadError::OutOfRange { .. } | model::LoadError::Shape { .. } => "GGUF_DAMAGED",
    }
}

fn checkpoint_code(error: &CheckpointError) -> &'static str {
    match error {
        CheckpointError::Io { .. } => "CHECKPOINT_UNREADABLE",
        CheckpointError::Missing { .. } => "CHECKPOINT_INCOMPLETE",
        CheckpointError::Unsupported(_) => "CHECKPOINT_UNSUPPORTED",
        CheckpointError::Damaged { .. } | CheckpointError::Tensor { .. } | CheckpointError::Gguf(_) => {
            "CHECKPOINT_DAMAGED"
        }
    }
}
