//! What an engine needs of whatever computes its rows: this machine's processor, or a device.

use std::sync::Arc;

use understudy_kernels::ComputePool;

use crate::EngineError;
use crate::kv::{KvStore, PageId};
use crate::model::{Head, Model, ModelConfig, Row, Scratch};
use crate::tick::Pulse;

/// Computes rows over paged keys and values that it holds itself. Which page belongs to whom is
/// the engine's business; a decoder writes and reads the pages that the rows name.
pub trait Decoder: Send {
    /// What the model's file describes.
    fn config(&self) -> &ModelConfig;

    /// Pages of KV memory; the ids are `0..pages`.
    fn pages(&self) -> usize;

    /// Computes rows, appends their keys and values, and leaves the states that they want in
    /// `hidden`. Rows of one sequence come together, in ascending order. The pulse beats at
    /// least once per block. [`head`](Self::head) comes next.
    ///
    /// # Errors
    /// [`EngineError::Device`] when the arithmetic did not take place. The pages of these rows then
    /// hold anything; all others are as before.
    fn forward(&mut self, rows: &[Row<'_>], pulse: &Pulse) -> Result<(), EngineError>;

    /// Ends a pass: leaves in `logits` what is wanted of each row that wants logits, and in each
    /// [`Head`] what that read.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    fn head(&mut self, heads: &mut [Head<'_>]) -> Result<(), EngineError>;

    /// `[rows of the last pass that wanted logits] x vocab`, in row order, for the sampler to
    /// change as it likes. Logits that no [`Head`] wanted may be anything.
    fn logits(&mut self) -> &mut [f32];

    /// `[rows of the last pass that wanted hidden states] x hidden`, in row order.
    fn hidden(&self) -> &[f32];

    /// Copies a page, all layers.
    ///
    /// # Errors
    /// [`EngineError::Device`]; the page `to` then holds anything.
    fn copy_page(&mut self, from: PageId, to: PageId) -> Result<(), EngineError>;

    /// Bytes of keys and values that one token holds over all layers.
    fn kv_bytes_per_token(&self) -> u64;

    /// Bytes of weights that one pass reads without the head, and the head's own.
    fn pass_bytes(&self) -> (u64, u64);

    /// Most prompt rows of a pass; an engine may take fewer.
    fn prefill_rows(&self) -> PrefillRows;
}

/// Most prompt rows of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefillRows {
    /// While nothing else runs.
    pub alone: usize,
    /// While other sequences decode, so that they keep moving.
    pub shared: usize,
}

impl PrefillRows {
    /// The processor's. Larger passes gain nothing: their activations leave the caches.
    pub const PROCESSOR: Self = Self { alone: 256, shared: 128 };
}

/// The processor: our own kernels over mapped weights. INV-K1 holds bit for bit.
pub struct CpuDecoder {
    model: Arc<Model>,
    pool: Arc<ComputePool>,
    kv: KvStore,
    pages: usize,
    scratch: Scratch,
}

impl CpuDecoder {
    /// A decoder with so many pages of KV memory. Their bytes are taken as they are first used.
    pub fn new(model: Arc<Model>, pool: Arc<ComputePool>, pages: usize) -> Self {
        let kv = KvStore::new(model.config(), pages);
        Self { model, pool, kv, pages, scratch: Scratch::default() }
    }
}

impl Decoder for CpuDecoder {
    fn config(&self) -> &ModelConfig {
        self.model.config()
    }

    fn pages(&self) -> usize {
        self.pages
    }

    fn forward(&mut self, rows: &[Row<'_>], pulse: &Pulse) -> Result<(), EngineError> {
        self.model.forward(&self.pool, &mut self.kv, rows, &mut self.scratch, pulse);
        Ok(())
    }

    fn head(&mut self, heads: &mut [Head<'_>]) -> Result<(), EngineError> {
        self.model.head(&self.pool, heads, &mut self.scratch);
        Ok(())
    }

    fn logits(&mut self) -> &mut [f32] {
        &mut self.scratch.logits
    }

    fn hidden(&self) -> &[f32] {
        &self.scratch.hidden
    }

    fn copy_page(&mut self, from: PageId, to: PageId) -> Result<(), EngineError> {
        self.kv.copy_page(from, to);
        Ok(())
    }

    fn kv_bytes_per_token(&self) -> u64 {
        self.kv.bytes_per_token()
    }

    fn pass_bytes(&self) -> (u64, u64) {
        self.model.pass_bytes()
    }

    fn prefill_rows(&self) -> PrefillRows {
        PrefillRows::PROCESSOR
    }
}
