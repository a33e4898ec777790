//! Which fast kernels a model runs on: those that passed their numerics gates on this machine.
//!
//! A gate asks of one kernel, over this model's weights and shapes, whether it is right and whether
//! it is faster than the plain one ([`understudy_kernels::gates`] does the arithmetic). The verdict
//! is kept beside the packed weights, for this machine, this build and this model: timing never
//! changes arithmetic from one start to the next. Where no verdict can be kept, only what is right
//! is asked.

#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use understudy_kernels::gates::{AttentionGate, FastKernels, Flaw, ProductGate, Times};
use understudy_kernels::{ComputePool, Precision};

use crate::gguf::Gguf;
use crate::kv::PAGE_LEN;
use crate::model::weights::MatrixAt;
use crate::model::{Activations, ModelConfig, Weights};

pub use verdict::{Verdict, verdicts};

/// Whether a fast kernel is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateState {
    /// It is.
    On,
    /// It is not: its results were wrong.
    Wrong,
    /// It is not: the plain kernel was faster.
    Slow,
}

impl GateState {
    /// The name in reports: `on`, `wrong` or `slow`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Wrong => "wrong",
            Self::Slow => "slow",
        }
    }
}

/// What is known of one fast kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Kernel and shape, such as `Q4_1 x 576` or `attention 9/3 x 64`.
    pub kernel: String,
    /// The verdict.
    pub state: GateState,
    /// What it rests on, for people.
    pub detail: String,
}

impl Gate {
    /// Whether the kernel is used.
    pub fn is_on(&self) -> bool {
        self.state == GateState::On
    }

    fn new(kernel: String, check: Result<(), Flaw>, times: Option<Times>) -> Self {
        let (state, detail) = match (check, times) {
            (Err(flaw), _) => (GateState::Wrong, flaw.to_string()),
            (Ok(()), None) => (GateState::On, "right, not timed".to_owned()),
            (Ok(()), Some(Times { fast, plain, always_lost })) => {
                let is_slow = fast >= plain && always_lost;
                let state = if is_slow { GateState::Slow } else { GateState::On };
                let [fast, plain] = [fast, plain].map(|time| time.as_secs_f64() * 1e6);
                (state, format!("{fast:.0} us, plain {plain:.0} us"))
            }
        };
        Self { kernel, state, detail }
    }
}

/// The name of the gate that a matrix's products go through: how many outputs it has does not
/// matter to the kernel.
pub(super) fn product_name(matrix: &MatrixAt) -> String {
    format!("{} x {}", matrix.ty.name(), matrix.cols)
}

/// The name of the gate of a model's attention.
pub(super) fn attention_name(config: &ModelConfig) -> String {
    format!("attention {}/{} x {}", config.heads, config.kv_heads, config.head_dim)
}

/// Products of one type and number of inputs.
struct Kind<'a> {
    /// The matrix with the most outputs.
    largest: &'a MatrixAt,
    /// How rows are rounded that meet any of them, the finest last.
    precisions: BTreeSet<Precision>,
}

/// A model whose kernels are judged.
pub(super) struct Subject<'a> {
    pub(super) gguf: &'a Gguf,
    pub(super) config: &'a ModelConfig,
    pub(super) weights: &'a Weights,
    pub(super) packed: &'a [u8],
    pub(super) activations: Activations,
}

impl Subject<'_> {
    /// The gates as an earlier start left them in `folder`, or as they are decided now. `model` and
    /// `digest` name the file, for people and for sure.
    pub(super) fn gates(
        &self,
        pool: &ComputePool,
        kernels: &dyn FastKernels,
        folder: Option<&Path>,
        (model, digest): (String, String),
    ) -> Vec<Gate> {
        let Some(folder) = folder else { return self.judge(pool, kernels, false) };
        let verdict = Verdict::unmade(model, digest, self.activations);
        let names: Vec<String> =
            self.products().keys().cloned().chain([attention_name(self.config)]).collect();
        verdict.kept_or_made(folder, &names, &|timed| self.judge(pool, kernels, timed))
    }

    fn judge(&self, pool: &ComputePool, kernels: &dyn FastKernels, timed: bool) -> Vec<Gate> {
        let mut gates = Vec::new();
        for (name, kind) in self.products() {
            let products: Vec<_> = kind
                .precisions
                .iter()
                .filter_map(|&precision| self.product(kind.largest, precision))
                .collect();
            let Some(finest) = products.last() else { continue };
            let check = products.iter().try_for_each(|gate| gate.check(pool, kernels));
            let times = if timed && check.is_ok() { finest.times(pool, kernels).ok() } else { None };
            gates.push(Gate::new(name, check, times));
        }
        let gate = self.attention();
        let check = gate.check(pool, kernels);
        let times = (timed && check.is_ok()).then(|| gate.times(pool, kernels));
        gates.push(Gate::new(attention_name(self.config), check, times));
        gates
    }

    /// Every kind of packed product by its name.
    fn products(&self) -> BTreeMap<String, Kind<'_>> {
        let mut kinds: BTreeMap<String, Kind<'_>> = BTreeMap::new();
        for matrix in self.weights.matrices().filter(|matrix| matrix.packed.is_some()) {
            let new = Kind { largest: matrix, precisions: BTreeSet::new() };
            let kind = kinds.entry(product_name(matrix)).or_insert(new);
            kind.precisions.extend(self.activations.precision(matrix.inputs));
            if matrix.rows > kind.largest.rows {
                kind.largest = matrix;
            }
        }
        kinds
    }

    fn product(&self, matrix: &MatrixAt, precision: Precision) -> Option<ProductGate<'_>> {
        let stored = matrix.view(self.gguf).data;
        let packed = self.packed.get(matrix.packed.clone()?)?;
        ProductGate::new(matrix.ty, matrix.rows, matrix.cols, stored, packed, precision).ok()
    }

    fn attention(&self) -> AttentionGate {
        AttentionGate {
            heads: self.config.heads,
            kv_heads: self.config.kv_heads,
            head_dim: self.config.head_dim,
            page_len: PAGE_LEN,
            scale: self.config.attention_scale,
        }
    }
}
