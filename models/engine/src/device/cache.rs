//! Paged keys and values on a device.

use candle_core::{DType, Device, Result, Tensor};

use crate::device::pass::{Pass, Source, View};
use crate::kv::{PAGE_LEN, PageId};
use crate::model::ModelConfig;

/// Rows in more runs of slots than this are scattered in one launch, which is slow for many rows
/// of one sequence but takes any slots.
const MOST_COPIES: usize = 2;

/// Keys and values of all layers, each `[kv heads][slots][head width]`.
pub(super) struct Cache {
    layers: Vec<[Tensor; 2]>,
    pages: usize,
    kv_heads: usize,
    head_dim: usize,
}

/// Where a pass's keys and values go: a plan with what it needs of the device.
pub(super) struct Places<'a> {
    pass: &'a Pass,
    /// `[kv heads][rows][head width]`: the slot of each number.
    scattered: Option<Tensor>,
}

/// A [`View`] with its tables on the device.
pub(super) struct DeviceView {
    source: DeviceSource,
    /// Slots for each sequence.
    pub len: usize,
    /// `[1][sequences][1][rows][slots]`.
    pub mask: Option<Tensor>,
}

enum DeviceSource {
    Run(usize),
    Pages(Tensor),
}

impl Cache {
    /// Takes all its memory at once.
    pub fn new(config: &ModelConfig, pages: usize, device: &Device) -> Result<Self> {
        let shape = (config.kv_heads, pages * PAGE_LEN, config.head_dim);
        let zeros = || Tensor::zeros(shape, DType::F32, device);
        let layers = (0..config.layers).map(|_| Ok([zeros()?, zeros()?])).collect::<Result<_>>()?;
        Ok(Self { layers, pages, kv_heads: config.kv_heads, head_dim: config.head_dim })
    }

    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Bytes of keys and values of one token over all layers.
    pub fn bytes_per_token(&self) -> u64 {
        (self.layers.len() * 2 * self.kv_heads * self.head_dim * size_of::<f32>()) as u64
    }

    /// Uploads what the writes of a pass need.
    pub fn places<'a>(&self, pass: &'a Pass, device: &Device) -> Result<Places<'a>> {
        let scattered = (pass.spans.len() > MOST_COPIES).then(|| {
            let one_head = pass.slots.iter().flat_map(|&slot| (0..self.head_dim).map(move |_| slot as u32));
            let slots: Vec<u32> = (0..self.kv_heads).flat_map(|_| one_head.clone()).collect();
            Tensor::from_vec(slots, (self.kv_heads, pass.slots.len(), self.head_dim), device)
        });
        Ok(Places { pass, scattered: scattered.transpose()? })
    }

    /// Clears the pages that a pass begins without filling them.
    pub fn clear(&self, pages: &[PageId], device: &Device) -> Result<()> {
        if pages.is_empty() {
            return Ok(());
        }
        let zeros = Tensor::zeros((self.kv_heads, PAGE_LEN, self.head_dim), DType::F32, device)?;
        for tensor in self.layers.iter().flatten() {
            pages.iter().try_for_each(|&page| tensor.slice_set(&zeros, 1, page as usize * PAGE_LEN))?;
        }
        Ok(())
    }

    /// Writes a pass's keys and values of one layer, each `[rows][kv heads][head width]`.
    pub fn write(&self, layer: usize, places: &Places<'_>, k: &Tensor, v: &Tensor) -> Result<()> {
        for (cache, rows) in self.layers[layer].iter().zip([k, v]) {
            let rows = rows.transpose(0, 1)?.contiguous()?;
            match (&places.scattered, &places.pass.spans[..]) {
                (Some(slots), _) => cache.scatter_set(slots, &rows, 1)?,
                (None, [span]) => cache.slice_set(&rows, 1, span.slot)?,
                (None, spans) => {
                    for span in spans {
                        let rows = rows.narrow(1, span.row, span.len)?.contiguous()?;
                        cache.slice_set(&rows, 1, span.slot)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Keys and values of a view, each `[kv heads * sequences][slots][head width]`.
    pub fn read(&self, layer: usize, view: &DeviceView) -> Result<[Tensor; 2]> {
        let read = |cache: &Tensor| match &view.source {
            DeviceSource::Run(slot) => cache.narrow(1, *slot, view.len),
            DeviceSource::Pages(pages) => cache
                .reshape((self.kv_heads, self.pages, PAGE_LEN * self.head_dim))?
                .index_select(pages, 1)?
                .reshape(((), view.len, self.head_dim)),
        };
        let [k, v] = &self.layers[layer];
        Ok([read(k)?, read(v)?])
    }

    #[cfg(test)]
    pub fn fill_for_test(&self, with: &Tensor) {
        self.layers.iter().flatten().for_each(|tensor| tensor.slice_set(with, 1, 0).unwrap());
    }

    /// Copies a page, all layers.
    pub fn copy_page(&self, from: PageId, to: PageId) -> Result<()> {
        for tensor in self.layers.iter().flatten() {
            let page = tensor.narrow(1, from as usize * PAGE_LEN, PAGE_LEN)?.force_contiguous()?;
            tensor.slice_set(&page, 1, to as usize * PAGE_LEN)?;
        }
        Ok(())
    }
}

impl DeviceView {
    /// Uploads a view of `sequences` with `rows` rows each.
    pub fn upload(view: &View, sequences: usize, rows: usize, device: &Device) -> Result<Self> {
        let source = match &view.source {
            Source::Run(slot) => DeviceSource::Run(*slot),
            Source::Pages(pages) => DeviceSource::Pages(Tensor::new(&pages[..], device)?),
        };
        let shape = (1, sequences, 1, rows, view.len);
        let mask = view.mask.as_ref().map(|mask| Tensor::from_slice(mask, shape, device)).transpose()?;
        Ok(Self { source, len: view.len, mask })
    }
}
