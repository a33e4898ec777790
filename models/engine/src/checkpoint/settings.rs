//! `config.json` as GGUF keys. Every setting that changes the arithmetic is either carried over or
//! has to have the one value that the engine computes with.

use std::f64::consts::TAU;

use serde_json::{Map, Value};
use understudy_kernels::QuantType;

use super::four_bit::{Method, Scheme};
use super::{CheckpointError, Folder};
use crate::gguf::Assembly;
use crate::model::family::{gemma3, llama};

const FILE: &str = "config.json";

/// Architectures whose checkpoints are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
}

impl Family {
    /// GGUF's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }
}

/// A checkpoint's `config.json`.
pub(crate) struct Settings {
    map: Map<String, Value>,
}

impl Settings {
    pub(crate) fn read(folder: &Folder) -> Result<Self, CheckpointError> {
        match folder.json(FILE)? {
            Some(Value::Object(map)) => Ok(Self { map }),
            Some(_) => Err(CheckpointError::damaged(FILE, "it is no JSON object")),
            None => Err(CheckpointError::missing(format!("the file {FILE}"))),
        }
    }

    pub(super) fn model_type(&self) -> Result<&str, CheckpointError> {
        let text = self.get("model_type").and_then(Value::as_str);
        text.ok_or_else(|| CheckpointError::damaged(FILE, "model_type is missing"))
    }

    pub(super) fn family(&self) -> Result<Family, CheckpointError> {
        match self.model_type()? {
            "llama" => Ok(Family::Llama),
            "qwen2" => Ok(Family::Qwen2),
            "qwen3" => Ok(Family::Qwen3),
            "gemma3_text" => Ok(Family::Gemma3),
            other => Err(CheckpointError::unsupported(format!(
                "model_type {other:?} (known: llama, qwen2, qwen3, gemma3_text, and bert for embeddings)"
            ))),
        }
    }

    /// A setting that is there and not null.
    fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A non-negative integer.
    pub(crate) fn size(&self, name: &str) -> Result<u64, CheckpointError> {
        let size = self.get(name).and_then(Value::as_u64);
        size.ok_or_else(|| CheckpointError::damaged(FILE, format!("{name} should be a size")))
    }

    /// A non-negative integer that may be missing, but not be anything else.
    pub(super) fn optional_size(&self, name: &str) -> Result<Option<u64>, CheckpointError> {
        self.get(name).map(|_| self.size(name)).transpose()
    }

    pub(crate) fn float(&self, name: &str) -> Result<f64, CheckpointError> {
        float(&self.map, name)
    }

    /// A token's id, the first where several are listed.
    pub(super) fn token(&self, name: &str) -> Option<u64> {
        let value = self.get(name)?;
        value.as_u64().or_else(|| value.get(0)?.as_u64())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// A setting that the engine has one value for.
    pub(crate) fn only(&self, name: &str, value: &Value) -> Result<(), CheckpointError> {
        match self.get(name) {
            Some(other) if other != value => {
                Err(CheckpointError::unsupported(format!("{name} {other} in {FILE}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the head is the embedding.
    pub(super) fn is_tied(&self, family: Family) -> bool {
        self.get("tie_word_embeddings").and_then(Value::as_bool).unwrap_or(family == Family::Gemma3)
    }

    /// Writes the keys of a family.
    pub(super) fn write(&self, family: Family, model: &mut Assembly) -> Result<(), CheckpointError> {
        self.refuse_what_differs(family)?;
        let word = family.word();
        let key = |name: &str| format!("{word}.{name}");
        model.text("general.architecture", word);
        let mut size = |name: &str, setting: &str| -> Result<(), CheckpointError> {
            model.number(&key(name), self.size(setting)?);
            Ok(())
        };
        size("block_count", "num_hidden_layers")?;
        size("embedding_length", "hidden_size")?;
        size("feed_forward_length", "intermediate_size")?;
        size("context_length", "max_position_embeddings")?;
        size("attention.head_count", "num_attention_heads")?;
        for (name, setting) in
            [("attention.head_count_kv", "num_key_value_heads"), ("attention.key_length", "head_dim")]
        {
            if self.get(setting).is_some() {
                size(name, setting)?;
            }
        }
        model.float(&key("attention.layer_norm_rms_epsilon"), self.float("rms_norm_eps")?);
        match family {
            Family::Llama => model.flag(llama::ROPE_HALVES, true),
            Family::Gemma3 => model.number(&key("attention.sliding_window"), self.size("sliding_window")?),
            Family::Qwen2 | Family::Qwen3 => {}
        }
        self.write_rope(family, model)
    }

    fn refuse_what_differs(&self, family: Family) -> Result<(), CheckpointError> {
        let no = Value::Bool(false);
        for name in ["mlp_bias", "use_sliding_window", "use_bidirectional_attention"] {
            self.only(name, &no)?;
        }
        self.only("partial_rotary_factor", &1.0.into())?;
        if family != Family::Qwen2 {
            self.only("attention_bias", &no)?;
        }
        if family != Family::Gemma3 {
            return self.only("hidden_act", &"silu".into());
        }
        self.only("hidden_activation", &"gelu_pytorch_tanh".into())?;
        for name in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if let Some(value) = self.get(name) {
                return Err(CheckpointError::unsupported(format!("{name} {value}")));
            }
        }
        // Both default to 256.
        let head_dim = self.size("head_dim")?;
        if self.get("query_pre_attn_scalar").and_then(Value::as_f64).unwrap_or(256.0) != head_dim as f64 {
            return Err(CheckpointError::unsupported("a query_pre_attn_scalar other than head_dim"));
        }
        for name in ["sliding_window_pattern", "_sliding_window_pattern"] {
            self.only(name, &gemma3::GLOBAL_PERIOD.into())?;
        }
        let layers = self.get("layer_types").and_then(Value::as_array).into_iter().flatten();
        let regular = layers.enumerate().all(|(layer, kind)| {
            let global = (layer + 1).is_multiple_of(gemma3::GLOBAL_PERIOD);
            kind == if global { "full_attention" } else { "sliding_attention" }
        });
        match regular {
            true => Ok(()),
            false => Err(CheckpointError::unsupported("another pattern of layer_types than one in six")),
        }
    }

    /// Older files have `rope_theta` and `rope_scaling`, newer ones `rope_parameters`; gemma has a
    /// set for each kind of layer.
    fn write_rope(&self, family: Family, model: &mut Assembly) -> Result<(), CheckpointError> {
        let object = |name: &str| self.get(name).and_then(Value::as_object);
        let mut parameters = object("rope_parameters");
        if family == Family::Gemma3 {
            let local = match parameters.and_then(|kinds| kinds.get("sliding_attention")) {
                Some(Value::Object(local)) => float(local, "rope_theta")?,
                _ if self.get("rope_local_base_freq").is_some() => self.float("rope_local_base_freq")?,
                _ => gemma3::LOCAL_ROPE_BASE,
            };
            if local != gemma3::LOCAL_ROPE_BASE {
                return Err(CheckpointError::unsupported(format!("a rope base of {local} in local layers")));
            }
            parameters = parameters.and_then(|kinds| kinds.get("full_attention")?.as_object());
        }
        let base = match parameters {
            Some(parameters) => float(parameters, "rope_theta")?,
            None if self.get("rope_theta").is_some() => self.float("rope_theta")?,
            None if family == Family::Gemma3 => gemma3::DEFAULT_ROPE_BASE,
            None => 10_000.0,
        };
        let word = family.word();
        model.float(&format!("{word}.rope.freq_base"), base);
        let Some(scaling) = parameters.or(object("rope_scaling")) else { return Ok(()) };
        let kind = scaling.get("rope_type").or(scaling.get("type")).and_then(Value::as_str);
        match kind {
            None | Some("default") => Ok(()),
            Some("linear") => {
                model.text(&format!("{word}.rope.scaling.type"), "linear");
                model.float(&format!("{word}.rope.scaling.factor"), float(scaling, "factor")?);
                Ok(())
            }
            Some("llama3") => {
                let head_dim = match self.optional_size("head_dim")? {
                    Some(head_dim) => head_dim,
                    None => self.size("hidden_size")? / self.size("num_attention_heads")?.max(1),
                };
                let factors = llama3_factors(head_dim, base, scaling)?;
                let bytes = factors.iter().flat_map(|factor| factor.to_le_bytes()).collect();
                Ok(model.made("rope_freqs.weight", QuantType::F32, vec![factors.len()], bytes)?)
            }
            Some(other) => Err(CheckpointError::unsupported(format!("rope scaling {other:?}"))),
        }
    }

    /// How 4-bit weights are stored, where there are any.
    pub(super) fn four_bit(&self) -> Result<Option<Scheme>, CheckpointError> {
        let Some(Value::Object(map)) = self.get("quantization_config") else { return Ok(None) };
        let quantization = Self { map: map.clone() };
        let unsupported = |what: String| Err(CheckpointError::unsupported(what));
        let method = match (quantization.text("quant_method"), quantization.text("checkpoint_format")) {
            (Some("gptq"), None | Some("gptq")) => Method::Gptq { zero_offset: 1 },
            (Some("gptq"), Some("gptq_v2")) => Method::Gptq { zero_offset: 0 },
            (Some("gptq"), Some(other)) => return unsupported(format!("the GPTQ format {other:?}")),
            (Some("awq"), _) => match quantization.text("version").map(str::to_ascii_lowercase).as_deref() {
                None | Some("gemm") => Method::Awq,
                Some(other) => return unsupported(format!("the AWQ version {other:?} (gemm is)")),
            },
            (Some(other), _) => return unsupported(format!("quantization by {other:?} (gptq and awq are)")),
            (None, _) => return Err(CheckpointError::damaged(FILE, "quant_method is missing")),
        };
        match quantization.optional_size("bits")?.or(quantization.optional_size("w_bit")?) {
            Some(4) => {}
            bits => return unsupported(format!("quantization to {bits:?} bits (4 are)")),
        }
        quantization.only("desc_act", &Value::Bool(false))?;
        let whole = Value::from(-1);
        let group = match quantization.get("group_size").or(quantization.get("q_group_size")) {
            None => return Err(CheckpointError::damaged(FILE, "group_size is missing")),
            Some(size) if *size == whole => None,
            Some(size) => match size.as_u64().and_then(|size| usize::try_from(size).ok()) {
                Some(size) if size > 0 && size.is_multiple_of(32) => Some(size),
                _ => return unsupported(format!("a group_size of {size} (multiples of 32 are)")),
            },
        };
        Ok(Some(Scheme { method, group }))
    }
}

fn float(map: &Map<String, Value>, name: &str) -> Result<f64, CheckpointError> {
    let number = map.get(name).and_then(Value::as_f64).filter(|number| number.is_finite());
    number.ok_or_else(|| CheckpointError::damaged(FILE, format!("{name} should be a number")))
}

/// What each frequency is divided by (Llama 3.1's stretching of long wavelengths).
fn llama3_factors(
    head_dim: u64,
    base: f64,
    scaling: &Map<String, Value>,
) -> Result<Vec<f32>, CheckpointError> {
    let [factor, low, high, context] =
        ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]
            .map(|name| float(scaling, name));
    let (factor, low, high, context) = (factor?, low?, high?, context?);
    if !(factor > 0.0 && low < high && context > 0.0) || head_dim > 1 << 16 {
        return Err(CheckpointError::damaged(FILE, "the rope scaling makes no sense"));
    }
    let factor_of = |pair: u64| {
        let wavelength = TAU * base.powf(2.0 * pair as f64 / head_dim as f64);
        let smooth = ((context / wavelength - low) / (high - low)).clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / factor + smooth)
    };
    Ok((0..head_dim / 2).map(|pair| factor_of(pair) as f32).collect())
}
