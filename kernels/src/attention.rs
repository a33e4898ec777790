//! Softmax attention over paged keys and values.
//!
//! This file cuts a call into parts for the pool, `together` computes one: rows that share keys.

mod together;

use std::cell::RefCell;

use crate::ComputePool;
use crate::disjoint::Disjoint;
use crate::simd::LANES;
use crate::simd::wide::{self, Wide, WideKernel};
use together::{Scratch, Together};

/// Rows of a part: at least so many, and more where few heads share keys.
const CHUNK: usize = 16;
/// Queries that make a block's way into the cache worth it.
const ENOUGH: usize = 48;
/// Multiplications worth handing to another thread.
const PART_WORK: usize = 1 << 16;

/// One layer's keys and values: `[page][slot in page][kv_heads * head_dim]`.
#[derive(Clone, Copy, Debug)]
pub struct PagedKv<'a> {
    /// Keys of all pages.
    pub k: &'a [f32],
    /// Values of all pages, laid out as the keys.
    pub v: &'a [f32],
    /// Positions in a page.
    pub page_len: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head, a multiple of 8.
    pub head_dim: usize,
}

/// One query row and what it may see.
#[derive(Clone, Copy, Debug)]
pub struct AttentionRow<'a> {
    /// `heads * head_dim` elements, rotated already.
    pub q: &'a [f32],
    /// The sequence's pages: position `t` is slot `t % page_len` of page `pages[t / page_len]`.
    pub pages: &'a [u32],
    /// The first visible position (more than 0 in a sliding window).
    pub start: usize,
    /// One past the last visible position.
    pub end: usize,
}

/// `out[row][h] = softmax(scale q_h · K) V` over positions `start..end`, for `rows x heads` of
/// `head_dim`. Query head `h` reads key head `h / (heads / kv_heads)` (Ainslie et al. 2023). Only
/// visible slots are read, so others may hold anything. A row that sees nothing is zero.
///
/// # Panics
///
/// When the shapes disagree: `heads` not a multiple of `kv_heads`, `head_dim` not of 8, a row or
/// `out` of another size, a visible position without a page, or a page outside `k` and `v`.
pub fn attention(
    pool: &ComputePool,
    kv: &PagedKv,
    heads: usize,
    scale: f32,
    rows: &[AttentionRow],
    out: &mut [f32],
) {
    check(kv, heads, rows, out);
    out.fill(0.0);
    if rows.is_empty() || out.is_empty() {
        return;
    }
    let out = Disjoint::new(out);
    let chunk = CHUNK.max(ENOUGH / (heads / kv.kv_heads));
    let chunks = rows.len().div_ceil(chunk);
    let part = |part: usize| {
        // Late rows see the most, so they go first: the last part to end is a short one.
        let first = (chunks - 1 - part / kv.kv_heads) * chunk;
        let rows = &rows[first..rows.len().min(first + chunk)];
        let kv_head = part % kv.kv_heads;
        SCRATCH.with_borrow_mut(|scratch| {
            wide::dispatch(Part { kv, heads, scale, first, rows, kv_head, out: &out, scratch });
        });
    };
    let seen: usize = rows.iter().map(|row| row.end.saturating_sub(row.start)).sum();
    match seen.saturating_mul(heads * kv.head_dim) / PART_WORK {
        0 => (0..chunks * kv.kv_heads).for_each(part),
        _ => pool.run(chunks * kv.kv_heads, &part),
    }
}

fn check(kv: &PagedKv, heads: usize, rows: &[AttentionRow], out: &[f32]) {
    let (width, head_dim) = (heads * kv.head_dim, kv.head_dim);
    assert!(kv.kv_heads > 0 && heads.is_multiple_of(kv.kv_heads), "query heads share key heads");
    assert!(head_dim.is_multiple_of(LANES), "head_dim is a multiple of {LANES}");
    assert_eq!(kv.k.len(), kv.v.len(), "as many values as keys");
    assert_eq!(out.len(), rows.len() * width, "out is rows x heads x head_dim");
    let page = kv.page_len * kv.kv_heads * head_dim;
    for row in rows.iter().filter(|row| row.start < row.end) {
        assert_eq!(row.q.len(), width, "q is heads x head_dim");
        let pages = &row.pages[row.start / kv.page_len..row.end.div_ceil(kv.page_len)];
        let stored = pages.iter().all(|&id| (id as usize + 1) * page <= kv.k.len());
        assert!(stored, "every visible page is stored");
    }
}

thread_local! {
    /// Kept from call to call, so that a call allocates nothing.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A chunk of rows, of which `first` is the number of the first, and one key head.
struct Part<'a> {
    kv: &'a PagedKv<'a>,
    heads: usize,
    scale: f32,
    first: usize,
    rows: &'a [AttentionRow<'a>],
    kv_head: usize,
    out: &'a Disjoint<'a, f32>,
    scratch: &'a mut Scratch,
}

impl WideKernel for Part<'_> {
    #[inline(always)]
    fn run<W: Wide>(self, w: W) {
        let mut first = self.first;
        for rows in self.rows.chunk_by(are_together) {
            let (kv, heads, scale, kv_head, out) = (self.kv, self.heads, self.scale, self.kv_head, self.out);
            Together { kv, heads, scale, first, rows, kv_head, out }.attend(w, self.scratch);
            first += rows.len();
        }
    }
}

/// Whether two rows can share loads: they are of one sequence, and no position lies between those
/// that they see.
fn are_together(a: &AttentionRow, b: &AttentionRow) -> bool {
    a.pages == b.pages && a.start <= b.end && b.start <= a.end
}
