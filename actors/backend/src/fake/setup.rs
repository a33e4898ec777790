//! What a fake is, before it is asked.

use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use understudy_engine::{codec::Codec, pace::Pace};

use super::backend::Shared;
use super::sequences::{Line, Sequences};
use super::{ByteCodec, FakeBackend, Reply};
use crate::{ModelCard, NodeId};

impl FakeBackend {
    /// A fake of this name with a context of 4096 tokens and 1 MB read per token.
    pub fn new(model: impl Into<String>) -> Self {
        let model = model.into();
        let sequences = Sequences {
            boot: 1,
            script: vec![Line { needle: String::new(), lane: None, reply: Reply::text("ok") }],
            ..Sequences::default()
        };
        Self {
            card: ModelCard {
                digest: digest_of(&model),
                name: model,
                architecture: "fake".into(),
                generates: true,
                context: 4096,
                bytes_per_token: 1_000_000,
                numerics: "fake-exact".into(),
                gates: Vec::new(),
                codec_digest: ByteCodec.digest().into(),
            },
            node: NodeId::default(),
            cached_prefix: 0,
            pace: Pace::default(),
            round_trip: 0.0,
            codec: Arc::new(ByteCodec),
            shared: Arc::new(Shared { sequences: Mutex::new(sequences), ..Shared::default() }),
            permits: None,
        }
    }

    /// Says `reply` to prompts that contain `needle`. The last registered match wins.
    pub fn when(self, needle: impl Into<String>, reply: Reply) -> Self {
        self.lock().script.insert(0, Line { needle: needle.into(), lane: None, reply });
        self
    }

    /// Says `reply` to any prompt where it samples on this lane.
    pub fn when_lane(self, lane: u32, reply: Reply) -> Self {
        self.lock().script.insert(0, Line { needle: String::new(), lane: Some(lane), reply });
        self
    }

    /// What tells its weights from others'; otherwise its name does.
    pub fn weighing(mut self, digest: impl Into<String>) -> Self {
        self.card.digest = digest.into();
        self
    }

    /// The longest sequence.
    pub fn context(mut self, tokens: usize) -> Self {
        self.card.context = tokens;
        self
    }

    /// Pretends that this many prompt tokens are in the prefix cache.
    pub fn cached_prefix(mut self, tokens: usize) -> Self {
        self.cached_prefix = tokens;
        self
    }

    /// What its passes take; unknown otherwise.
    pub fn paced(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// It is on this node; on this process's otherwise.
    pub fn on(mut self, node: NodeId) -> Self {
        self.node = node;
        self
    }

    /// The way there and back takes so many seconds, which its paces include.
    pub fn away(mut self, round_trip: f64) -> Self {
        self.round_trip = round_trip;
        self
    }

    /// Spells and names its tokens so; ids stay those of [`ByteCodec`].
    pub fn spelled_by(mut self, codec: Arc<dyn Codec>) -> Self {
        self.card.codec_digest = codec.digest().into();
        self.codec = codec;
        self
    }

    /// Open sequences beyond this wait for a permit.
    pub fn max_sequences(mut self, count: usize) -> Self {
        self.permits = Some(Arc::new(Semaphore::new(count)));
        self
    }
}

/// Fakes of the same name have the same weights.
fn digest_of(model: &str) -> String {
    model.bytes().map(|byte| format!("{byte:02x}")).collect()
}
