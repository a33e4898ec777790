//! GPTQ and AWQ: weights of 4 bits with a scale and a zero point for each group of inputs.
//!
//! A weight is `scale * (q - zero)` with `q` and `zero` below 16, so `q - zero` fits the five bits of
//! `Q5_0` (`scale * (q5 - 16)`), and the four of `Q4_0` (`scale * (q4 - 8)`) where every zero point is
//! 8, as symmetric quantization has it. Both hold the weight exactly; `Q4_1` would round its minimum.
//! The scale is the checkpoint's own 16-bit float.

use std::collections::BTreeMap;

use safetensors::Dtype;
use understudy_kernels::QuantType;

use super::settings::Family;
use super::{CheckpointError, Stored, names};
use crate::gguf::Assembly;

/// Inputs of a block.
const BLOCK: usize = 32;
/// Values in a word.
const NIBBLES: usize = 8;
/// Which output each nibble of an AWQ word belongs to.
const AWQ_ORDER: [usize; NIBBLES] = [0, 2, 4, 6, 1, 3, 5, 7];

/// What writes words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// Words go down the inputs. The first format stores zero points less one.
    Gptq { zero_offset: u8 },
    /// Words go along the outputs, in an order of their own.
    Awq,
}

/// How weights are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scheme {
    pub(super) method: Method,
    /// Inputs that share a scale, a multiple of 32; `None` for all of a row.
    pub(super) group: Option<usize>,
}

/// Writes the quantized matrices to the model; the tensors that are left.
pub(super) fn convert(
    scheme: &Scheme,
    mut tensors: BTreeMap<String, Stored>,
    family: Family,
    model: &mut Assembly,
) -> Result<BTreeMap<String, Stored>, CheckpointError> {
    let layers: Vec<String> =
        tensors.keys().filter_map(|name| Some(name.strip_suffix(".qweight")?.to_owned())).collect();
    for layer in layers {
        let name = format!("{layer}.weight");
        let target = names::in_gguf(family, &name).ok_or_else(|| {
            CheckpointError::tensor(&name, format!("a {} model has no such tensor", family.word()))
        })?;
        let mut take = |part: &str| tensors.remove(&format!("{layer}.{part}"));
        let (words, scales, zeros, order) = (take("qweight"), take("scales"), take("qzeros"), take("g_idx"));
        // Some tools store a bias of zeros with every matrix.
        let bias = format!("{layer}.bias");
        if names::in_gguf(family, &bias).is_none()
            && tensors
                .get(&bias)
                .is_some_and(|bias| model.slice(bias.range.clone()).iter().all(|&byte| byte == 0))
        {
            tensors.remove(&bias);
        }
        let lacking = |part: &str| CheckpointError::missing(format!("the tensor {layer}.{part}"));
        let words = words.ok_or_else(|| lacking("qweight"))?;
        let scales = scales.ok_or_else(|| lacking("scales"))?;
        let zeros = zeros.ok_or_else(|| lacking("qzeros"))?;
        let layout = Layout::of(scheme, &name, &words, &scales, &zeros)?;
        if let Some(order) = order {
            layout.check_order(&name, &order, model.slice(order.range.clone()))?;
        }
        let source = Source {
            layout,
            words: model.slice(words.range).as_chunks().0,
            scales: model.slice(scales.range).as_chunks().0,
            zeros: model.slice(zeros.range).as_chunks().0,
        };
        let (ty, bytes) = source.blocks();
        model.made(&target, ty, vec![layout.inputs, layout.outputs], bytes)?;
    }
    Ok(tensors)
}

/// A matrix's sizes, checked against all of its tensors.
#[derive(Debug, Clone, Copy)]
struct Layout {
    method: Method,
    inputs: usize,
    outputs: usize,
    group: usize,
}

impl Layout {
    fn of(
        scheme: &Scheme,
        name: &str,
        words: &Stored,
        scales: &Stored,
        zeros: &Stored,
    ) -> Result<Self, CheckpointError> {
        let wrong = |what: String| Err(CheckpointError::tensor(name, what));
        if words.dtype != Dtype::I32 || zeros.dtype != Dtype::I32 {
            return wrong(format!("words of type {:?} and {:?}, not I32", words.dtype, zeros.dtype));
        }
        if scales.dtype != Dtype::F16 {
            return Err(CheckpointError::unsupported(format!(
                "{name} with scales of type {:?}",
                scales.dtype
            )));
        }
        let ([down, along], [groups, outputs]) = (&words.shape[..], &scales.shape[..]) else {
            return wrong("its tensors are no matrices".to_owned());
        };
        let (inputs, words_along) = match scheme.method {
            Method::Gptq { .. } => (down.checked_mul(NIBBLES).unwrap_or(0), *outputs),
            Method::Awq => (*down, outputs / NIBBLES),
        };
        let group = scheme.group.unwrap_or(inputs);
        let fits = outputs.is_multiple_of(NIBBLES)
            && inputs.is_multiple_of(BLOCK)
            && inputs > 0
            && *along == words_along
            && *groups == inputs.div_ceil(group)
            && zeros.shape == [*groups, outputs / NIBBLES];
        if !fits {
            let shapes = [&words.shape, &scales.shape, &zeros.shape];
            return wrong(format!("the shapes {shapes:?} of qweight, scales and qzeros do not fit together"));
        }
        Ok(Self { method: scheme.method, inputs, outputs: *outputs, group })
    }

    /// Inputs sorted by importance have their groups all over a row, which no block holds.
    fn check_order(&self, name: &str, order: &Stored, groups: &[u8]) -> Result<(), CheckpointError> {
        let groups = groups.as_chunks::<4>().0;
        let in_turn = order.dtype == Dtype::I32
            && groups.len() == self.inputs
            && groups
                .iter()
                .enumerate()
                .all(|(input, group)| usize::try_from(i32::from_le_bytes(*group)) == Ok(input / self.group));
        match in_turn {
            true => Ok(()),
            false => Err(CheckpointError::unsupported(format!("{name} with inputs out of order (desc_act)"))),
        }
    }
}

/// One matrix as it is stored.
struct Source<'a> {
    layout: Layout,
    words: &'a [[u8; 4]],
    scales: &'a [[u8; 2]],
    zeros: &'a [[u8; 4]],
}

impl Source<'_> {
    fn nibble(words: &[[u8; 4]], at: usize, nibble: usize) -> u8 {
        (u32::from_le_bytes(words[at]) >> (4 * nibble) & 15) as u8
    }

    /// `along` outputs, eight of them in a word.
    fn along(&self, words: &[[u8; 4]], row: usize, output: usize) -> u8 {
        let slot = match self.layout.method {
            Method::Gptq { .. } => output % NIBBLES,
            Method::Awq => AWQ_ORDER.iter().position(|&o| o == output % NIBBLES).unwrap_or(0),
        };
        Self::nibble(words, row * (self.layout.outputs / NIBBLES) + output / NIBBLES, slot)
    }

    fn quant(&self, input: usize, output: usize) -> u8 {
        match self.layout.method {
            Method::Gptq { .. } => {
                let at = input / NIBBLES * self.layout.outputs + output;
                Self::nibble(self.words, at, input % NIBBLES)
            }
            Method::Awq => self.along(self.words, input, output),
        }
    }

    /// 0 to 16.
    fn zero(&self, group: usize, output: usize) -> u8 {
        let offset = match self.layout.method {
            Method::Gptq { zero_offset } => zero_offset,
            Method::Awq => 0,
        };
        self.along(self.zeros, group, output) + offset
    }

    /// All rows as blocks of the narrowest type that holds them.
    fn blocks(&self) -> (QuantType, Vec<u8>) {
        let Layout { inputs, outputs, group, .. } = self.layout;
        let groups = inputs.div_ceil(group);
        let symmetric = (0..groups).all(|group| (0..outputs).all(|output| self.zero(group, output) == 8));
        let ty = if symmetric { QuantType::Q4_0 } else { QuantType::Q5_0 };
        let mut bytes = Vec::with_capacity(inputs / BLOCK * outputs * ty.block_bytes());
        for output in 0..outputs {
            for start in (0..inputs).step_by(BLOCK) {
                let group = start / group;
                let zero = self.zero(group, output);
                bytes.extend(self.scales[group * outputs + output]);
                let quants: [u8; BLOCK] = std::array::from_fn(|i| self.quant(start + i, output));
                match ty {
                    QuantType::Q4_0 => bytes.extend(low_nibbles(&quants)),
                    _ => bytes.extend(five_bits(&quants.map(|quant| quant + 16 - zero))),
                }
            }
        }
        (ty, bytes)
    }
}

/// The low four bits of `q[i]` and of `q[i + 16]`, for each `i` of 16.
fn low_nibbles(quants: &[u8; BLOCK]) -> [u8; BLOCK / 2] {
    std::array::from_fn(|i| quants[i] & 15 | (quants[i + BLOCK / 2] & 15) << 4)
}

/// The fifth bits as one word, then the nibbles.
fn five_bits(quants: &[u8; BLOCK]) -> impl Iterator<Item = u8> {
    let fifth = (0..BLOCK).fold(0_u32, |bits, i| bits | u32::from(quants[i] >> 4) << i);
    fifth.to_le_bytes().into_iter().chain(low_nibbles(quants))
}
