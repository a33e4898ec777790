//! One pass over a batch of rows: tokens of any sequences at any positions.
//!
//! **Invariant INV-K1**: a row's result depends on its own sequence only, bit for bit; not
//! on which other rows share the pass, nor on how a prompt was cut into passes.

use understudy_kernels::{
    AttentionRow, Codes, ComputePool, RopeAngles, RopeTable, add_assign, attention, for_each_row,
    gelu_tanh_mul, plain_attention, rms_norm, rms_norm_in_place, silu_mul,
};

use crate::kv::{KvStore, PageId};
use crate::model::config::{Activation, RopePairs};
use crate::model::head::HeadScratch;
use crate::model::project::Output;
use crate::model::{Model, weights::Block};
use crate::tick::Pulse;
use crate::verbs::TokenId;

/// What is wanted of a row besides its KV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Nothing.
    Nothing,
    /// The logits after its token.
    Logits,
    /// The final normalised hidden state.
    Hidden,
}

/// One token to compute. Its page and all before it belong to `pages`.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Token at this position.
    pub token: TokenId,
    /// Position in its sequence. Rows of one sequence come in ascending order.
    pub pos: usize,
    /// The sequence's pages.
    pub pages: &'a [PageId],
    /// What to return.
    pub want: Want,
}

/// Buffers of a pass, kept between passes so that decoding allocates nothing.
#[derive(Default)]
pub struct Scratch {
    residual: Vec<f32>,
    normed: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attended: Vec<f32>,
    projected: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    wanted: Vec<f32>,
    /// Where each row's key and value go.
    slots: Vec<usize>,
    rotations: Rotations,
    queries: Vec<AttentionRow<'static>>,
    pub(super) codes: Codes,
    pub(super) head: HeadScratch,
    /// Final states of the rows that want logits, for the head.
    pub(super) states: Vec<f32>,
    /// `[rows that want logits] x vocab`, in row order.
    pub logits: Vec<f32>,
    /// `[rows that want hidden] x hidden`, in row order.
    pub hidden: Vec<f32>,
}

/// The rotation of every row's position, global and local.
#[derive(Default)]
struct Rotations {
    global: Vec<RopeAngles>,
    local: Vec<RopeAngles>,
}

impl Model {
    /// Computes rows, appends their keys and values, and leaves in `scratch` the hidden states that
    /// they want; [`head`](Self::head) makes the logits. The pulse beats once per block.
    pub fn forward(
        &self,
        pool: &ComputePool,
        kv: &mut KvStore,
        rows: &[Row<'_>],
        scratch: &mut Scratch,
        pulse: &Pulse,
    ) {
        self.embed_rows(pool, rows, scratch);
        scratch.slots.clear();
        scratch.slots.extend(rows.iter().map(|row| KvStore::slot(row.pages, row.pos)));
        self.rotate(rows, &mut scratch.rotations);
        for (layer, block) in self.weights.blocks.iter().enumerate() {
            self.attend(pool, kv, layer, block, rows, scratch);
            self.feed_forward(pool, block, scratch);
            pulse.beat();
        }
        self.finish(pool, rows, scratch);
    }

    fn embed_rows(&self, pool: &ComputePool, rows: &[Row<'_>], scratch: &mut Scratch) {
        let hidden = self.config.hidden;
        scratch.residual.resize(rows.len() * hidden, 0.0);
        for_each_row(pool, &mut scratch.residual, hidden, &|row, out| {
            self.weights.embedding.row(&self.gguf, rows[row].token as usize, out);
            if self.config.embedding_scale != 1.0 {
                out.iter_mut().for_each(|value| *value *= self.config.embedding_scale);
            }
        });
    }

    fn rotate(&self, rows: &[Row<'_>], rotations: &mut Rotations) {
        let turn = |rope: &RopeTable, angles: &mut Vec<RopeAngles>| {
            angles.resize_with(rows.len(), RopeAngles::default);
            rows.iter().zip(angles).for_each(|(row, angles)| rope.set_angles(row.pos, angles));
        };
        turn(&self.weights.rope, &mut rotations.global);
        if let Some(rope) = &self.weights.local_rope {
            turn(rope, &mut rotations.local);
        }
    }

    fn attend(
        &self,
        pool: &ComputePool,
        kv: &mut KvStore,
        layer: usize,
        block: &Block,
        rows: &[Row<'_>],
        scratch: &mut Scratch,
    ) {
        let config = &self.config;
        let q_width = config.heads * config.head_dim;
        let count = rows.len();
        normalise(pool, &scratch.residual, &block.attn_norm, config.norm_eps, &mut scratch.normed);
        let outputs = [
            Output { w: &block.q, y: &mut scratch.q, bias: block.q_bias.as_deref() },
            Output { w: &block.k, y: &mut scratch.k, bias: block.k_bias.as_deref() },
            Output { w: &block.v, y: &mut scratch.v, bias: block.v_bias.as_deref() },
        ];
        self.project(pool, &scratch.normed, &mut scratch.codes, outputs);

        let Rotations { global, local } = &scratch.rotations;
        let angles = if config.is_global(layer) { global } else { local };
        for_each_row(pool, &mut scratch.q, q_width, &|row, q| {
            self.place_heads(q, block.q_norm.as_deref(), &angles[row]);
        });
        kv.write(pool, layer, &scratch.slots, [&scratch.k, &scratch.v], &|row, k| {
            self.place_heads(k, block.k_norm.as_deref(), &angles[row]);
        });

        let mut queries = emptied(std::mem::take(&mut scratch.queries));
        queries.extend(rows.iter().zip(scratch.q.chunks_exact(q_width)).map(|(row, q)| AttentionRow {
            q,
            pages: row.pages,
            start: config.first_visible(layer, row.pos),
            end: row.pos + 1,
        }));
        scratch.attended.resize(count * q_width, 0.0);
        let attend = if self.plain_attention { plain_attention } else { attention };
        attend(pool, &kv.layer(layer), config.heads, config.attention_scale, &queries, &mut scratch.attended);
        scratch.queries = emptied(queries);

        let output = Output { w: &block.attn_out, y: &mut scratch.projected, bias: None };
        self.project(pool, &scratch.attended, &mut scratch.codes, [output]);
        self.add_to_residual(pool, block.post_attn_norm.as_deref(), scratch);
    }

    /// Norms and rotates each head of a row in place.
    fn place_heads(&self, heads: &mut [f32], norm: Option<&[f32]>, angles: &RopeAngles) {
        for head in heads.chunks_exact_mut(self.config.head_dim) {
            if let Some(weight) = norm {
                rms_norm_in_place(head, weight, self.config.norm_eps);
            }
            match self.config.rope_pairs {
                RopePairs::Halves => angles.rotate_neox(head),
                RopePairs::Adjacent => angles.rotate_adjacent(head),
            }
        }
    }

    fn feed_forward(&self, pool: &ComputePool, block: &Block, scratch: &mut Scratch) {
        let config = &self.config;
        normalise(pool, &scratch.residual, &block.ffn_norm, config.norm_eps, &mut scratch.normed);
        let outputs = [
            Output { w: &block.gate, y: &mut scratch.gate, bias: None },
            Output { w: &block.up, y: &mut scratch.up, bias: None },
        ];
        self.project(pool, &scratch.normed, &mut scratch.codes, outputs);
        let width = config.feed_forward;
        let up = &scratch.up;
        for_each_row(pool, &mut scratch.gate, width, &|row, gate| {
            let up = &up[row * width..(row + 1) * width];
            match config.activation {
                Activation::Silu => silu_mul(gate, up),
                Activation::GeluTanh => gelu_tanh_mul(gate, up),
            }
        });
        let output = Output { w: &block.down, y: &mut scratch.projected, bias: None };
        self.project(pool, &scratch.gate, &mut scratch.codes, [output]);
        self.add_to_residual(pool, block.post_ffn_norm.as_deref(), scratch);
    }

    fn add_to_residual(&self, pool: &ComputePool, post_norm: Option<&[f32]>, scratch: &mut Scratch) {
        let (hidden, projected) = (self.config.hidden, &mut scratch.projected);
        if let Some(weight) = post_norm {
            for_each_row(pool, projected, hidden, &|_, row| {
                rms_norm_in_place(row, weight, self.config.norm_eps);
            });
        }
        for_each_row(pool, &mut scratch.residual, hidden, &|row, residual| {
            add_assign(residual, &projected[row * hidden..(row + 1) * hidden]);
        });
    }

    /// Final norm of the rows that anybody reads.
    fn finish(&self, pool: &ComputePool, rows: &[Row<'_>], scratch: &mut Scratch) {
        let hidden = self.config.hidden;
        let mut gather = |want: Want, residual: &[f32], out: &mut Vec<f32>| {
            scratch.wanted.clear();
            for (row, state) in rows.iter().zip(residual.chunks_exact(hidden)) {
                if row.want == want {
                    scratch.wanted.extend_from_slice(state);
                }
            }
            normalise(pool, &scratch.wanted, &self.weights.output_norm, self.config.norm_eps, out);
        };
        gather(Want::Hidden, &scratch.residual, &mut scratch.hidden);
        gather(Want::Logits, &scratch.residual, &mut scratch.states);
    }
}

/// The memory of a vector, for values that live for another time.
pub(crate) fn emptied<A, B>(mut used: Vec<A>) -> Vec<B> {
    used.clear();
    // Collected in place where the types have one layout, as those that differ in a lifetime do.
    used.into_iter().filter_map(|_| None).collect()
}

/// RMS norm of every row; `out` takes the size of `x`.
fn normalise(pool: &ComputePool, x: &[f32], weight: &[f32], eps: f32, out: &mut Vec<f32>) {
    let width = weight.len();
    out.resize(x.len(), 0.0);
    for_each_row(pool, out, width, &|row, out| {
        rms_norm(&x[row * width..(row + 1) * width], weight, eps, out);
    });
}
