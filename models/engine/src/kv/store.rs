//! The keys and values themselves.

use understudy_kernels::{ComputePool, PagedKv, for_each_row_at};

use crate::kv::{PAGE_LEN, PageId};
use crate::model::ModelConfig;

/// One layer: `[page][slot in page][kv_heads * head_dim]`, keys and values apart.
struct Layer {
    k: Vec<f32>,
    v: Vec<f32>,
}

/// KV of all layers in f32. The memory is zeroed by the system on first touch, so a large
/// store costs only what its sequences use.
pub struct KvStore {
    layers: Vec<Layer>,
    kv_heads: usize,
    head_dim: usize,
}

impl KvStore {
    /// A store of `pages` pages.
    pub fn new(config: &ModelConfig, pages: usize) -> Self {
        let floats = pages * PAGE_LEN * config.kv_width();
        let layer = || Layer { k: vec![0.0; floats], v: vec![0.0; floats] };
        Self {
            layers: (0..config.layers).map(|_| layer()).collect(),
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
        }
    }

    fn width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// The slot of a token of a sequence with these pages.
    pub fn slot(pages: &[PageId], pos: usize) -> usize {
        pages[pos / PAGE_LEN] as usize * PAGE_LEN + pos % PAGE_LEN
    }

    /// Writes the keys and values of one layer to their slots, a row for each, keys as `place`
    /// makes them.
    pub fn write(
        &mut self,
        pool: &ComputePool,
        layer: usize,
        slots: &[usize],
        [k, v]: [&[f32]; 2],
        place: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        let width = self.width();
        let layer = &mut self.layers[layer];
        for_each_row_at(pool, &mut layer.k, width, slots, &|index, slot| {
            slot.copy_from_slice(&k[index * width..][..width]);
            place(index, slot);
        });
        for_each_row_at(pool, &mut layer.v, width, slots, &|index, slot| {
            slot.copy_from_slice(&v[index * width..][..width]);
        });
    }

    /// Copies a whole page, all layers.
    pub fn copy_page(&mut self, from: PageId, to: PageId) {
        let floats = PAGE_LEN * self.width();
        let (from, to) = (from as usize * floats, to as usize * floats);
        for layer in &mut self.layers {
            layer.k.copy_within(from..from + floats, to);
            layer.v.copy_within(from..from + floats, to);
        }
    }

    /// One layer as the attention kernel reads it.
    pub fn layer(&self, layer: usize) -> PagedKv<'_> {
        let layer = &self.layers[layer];
        PagedKv {
            k: &layer.k,
            v: &layer.v,
            page_len: PAGE_LEN,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
        }
    }

    /// Bytes of keys and values one token holds over all layers.
    pub fn bytes_per_token(&self) -> u64 {
        (self.layers.len() * 2 * self.width() * size_of::<f32>()) as u64
    }
}
