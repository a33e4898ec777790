//! The head on demand: logits of the tokens that somebody reads.
//!
//! The head is 20 to 70 % of the bytes that a token reads. Rows that want no logits skip it, and
//! under a mask only the groups of outputs with an allowed token are computed, with the bits that
//! the whole product gives them (INV-K1). Plain floats and the `f32` path compute the head whole.

use understudy_kernels::{
    Codes, ComputePool, PackedMatrix, Precision, Product, matmul_packed, matmul_packed_groups,
};

use crate::model::forward::Scratch;
use crate::model::{Model, project::Output};

/// What is wanted of one row's logits, and what they cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// Tokens whose logits are read, one bit each as
    /// [`TokenGate::mask`](crate::gate::TokenGate::mask) writes them; the others may hold anything.
    /// `None` reads all.
    pub allowed: Option<&'a [u32]>,
    /// Bytes of weights that were read for this row. What rows share is split over them.
    pub bytes_read: u64,
}

/// Rows that need at most one of so many groups take the head alone. Beside the bytes of a shared
/// product, which are read once, one more row costs about this part of it.
const FEW: usize = 8;

impl Head<'_> {
    fn is_few(&self, groups: usize) -> bool {
        let enough = groups / FEW + 1;
        self.allowed.is_some_and(|mask| groups_of(mask, groups).take(enough).count() < enough)
    }
}

/// Groups of outputs with an allowed token, ascending.
fn groups_of(mask: &[u32], groups: usize) -> impl Iterator<Item = u32> + '_ {
    const IN_WORD: usize = 32 / PackedMatrix::GROUP;
    const ONES: u32 = u32::MAX >> (32 - PackedMatrix::GROUP);
    let words = mask.iter().enumerate().filter(|(_, word)| **word != 0);
    words
        .flat_map(|(at, word)| {
            let has_any = move |part: &usize| (word >> (part * PackedMatrix::GROUP)) & ONES != 0;
            (0..IN_WORD).filter(has_any).map(move |part| (at * IN_WORD + part) as u32)
        })
        .take_while(move |group| (*group as usize) < groups)
}

/// Buffers of the head, kept between passes.
#[derive(Default)]
pub(super) struct HeadScratch {
    /// Indices of the rows that share a product, and their states.
    shared: Vec<usize>,
    states: Vec<f32>,
    /// Tokens that any of them reads.
    union: Vec<u32>,
    groups: Vec<u32>,
}

/// A packed head and how rows meet it.
struct PackedHead<'a> {
    pool: &'a ComputePool,
    w: PackedMatrix<'a>,
    precision: Precision,
    /// Inputs.
    hidden: usize,
    /// Bytes of all its groups.
    bytes: u64,
}

impl Model {
    /// Logits of the rows of the last pass that wanted some, one [`Head`] for each, in row order.
    pub fn head(&self, pool: &ComputePool, heads: &mut [Head<'_>], scratch: &mut Scratch) {
        let (hidden, vocab) = (self.config.hidden, self.config.vocab);
        debug_assert_eq!(heads.len() * hidden, scratch.states.len(), "a head for each row");
        scratch.logits.resize(heads.len() * vocab, 0.0);
        if heads.is_empty() {
            return;
        }
        let bytes = self.weights.head_bytes;
        let (Some(w), Some(precision)) =
            (self.weights.head.packed(&self.packed), self.activations.precision(self.weights.head.inputs))
        else {
            let output = Output { w: &self.weights.head, y: &mut scratch.logits, bias: None };
            self.project(pool, &scratch.states, &mut scratch.codes, [output]);
            return split(bytes, heads.len(), heads.iter_mut());
        };
        let head = PackedHead { pool, w, precision, hidden, bytes };
        head.together(heads, scratch);
        let rows = scratch.states.chunks_exact(hidden).zip(scratch.logits.chunks_exact_mut(vocab));
        for (wanted, (state, logits)) in heads.iter_mut().zip(rows) {
            let Some(mask) = wanted.allowed.filter(|_| wanted.is_few(w.groups())) else { continue };
            let groups = &mut scratch.head.groups;
            groups.clear();
            groups.extend(groups_of(mask, w.groups()));
            wanted.bytes_read = head.some(groups, state, &mut scratch.codes, logits);
        }
    }
}

impl PackedHead<'_> {
    /// One product for all rows that need more than a few groups: of the groups that any needs.
    fn together(&self, heads: &mut [Head<'_>], scratch: &mut Scratch) {
        let hidden = self.hidden;
        let vocab = scratch.logits.len() / heads.len();
        let HeadScratch { shared, states, union, groups } = &mut scratch.head;
        shared.clear();
        states.clear();
        union.clear();
        groups.clear();
        for (row, head) in heads.iter().enumerate() {
            if head.is_few(self.w.groups()) {
                continue;
            }
            shared.push(row);
            states.extend_from_slice(&scratch.states[row * hidden..][..hidden]);
            let mask = head.allowed.unwrap_or_default();
            union.resize(union.len().max(mask.len()), 0);
            union.iter_mut().zip(mask).for_each(|(all, word)| *all |= word);
        }
        if shared.is_empty() {
            return;
        }
        let logits = &mut scratch.logits[..shared.len() * vocab];
        let read = if shared.iter().all(|&row| heads[row].allowed.is_some()) {
            groups.extend(groups_of(union, self.w.groups()));
            self.some(groups, states, &mut scratch.codes, logits)
        } else {
            scratch.codes.quantize(self.pool, self.precision, states, hidden);
            matmul_packed(self.pool, &scratch.codes, [Some(Product { w: self.w, y: logits, bias: None })]);
            self.bytes
        };
        // From the front to their places, the last first so that none is overwritten.
        for (from, &to) in shared.iter().enumerate().rev().filter(|(from, to)| from != *to) {
            scratch.logits.copy_within(from * vocab..(from + 1) * vocab, to * vocab);
        }
        let is_shared = |row: &usize| shared.binary_search(row).is_ok();
        split(
            read,
            shared.len(),
            heads.iter_mut().enumerate().filter(|(row, _)| is_shared(row)).map(|(_, head)| head),
        );
    }

    /// The logits of some groups; returns the bytes of their weights.
    fn some(&self, groups: &[u32], states: &[f32], codes: &mut Codes, logits: &mut [f32]) -> u64 {
        if groups.is_empty() {
            return 0;
        }
        codes.quantize(self.pool, self.precision, states, self.hidden);
        matmul_packed_groups(self.pool, codes, Product { w: self.w, y: logits, bias: None }, groups);
        self.bytes * groups.len() as u64 / self.w.groups() as u64
    }
}

/// Splits bytes over so many rows; the parts add up to all of them.
pub(crate) fn split<'a, 'm: 'a>(bytes: u64, rows: usize, heads: impl Iterator<Item = &'a mut Head<'m>>) {
    let upto = |count: usize| bytes * count as u64 / rows as u64;
    for (index, head) in heads.enumerate() {
        head.bytes_read = upto(index + 1) - upto(index);
    }
}
