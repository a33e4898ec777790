//! What a verb is asked with.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use understudy_backend::{Priority, RequestCtx, RequestId, SeqId};
use understudy_engine::EngineError;
use understudy_engine::verbs::{
    Acceptance, Draft, RunSpec, SamplerSpec, SignalMode, StopWhen, TokenId, VerifySpec,
};
use understudy_proto::node::v1;

use super::count;

/// Most bytes of a context's texts. Requests of clients are bounded before they get here.
const LONGEST_WORD: usize = 1024;
/// A deadline further away is none.
const FURTHEST: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) fn context(ctx: &RequestCtx) -> v1::RequestContext {
    v1::RequestContext {
        request_id: ctx.request_id.0.clone(),
        attempt: ctx.attempt,
        tenant: ctx.tenant.clone(),
        priority: match ctx.priority {
            Priority::Interactive => v1::Priority::Interactive,
            Priority::Agent => v1::Priority::Agent,
            Priority::Batch => v1::Priority::Batch,
        }
        .into(),
        remaining_ms: ctx.remaining().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        traceparent: ctx.traceparent.clone().unwrap_or_default(),
    }
}

/// The context of a peer's request, cancelled by `cancel`.
pub(crate) fn ctx_of(
    context: Option<v1::RequestContext>,
    cancel: CancellationToken,
) -> Result<RequestCtx, EngineError> {
    let context = context.unwrap_or_default();
    let words = [&context.request_id, &context.tenant, &context.traceparent];
    if words.into_iter().any(|word| word.len() > LONGEST_WORD) {
        let why = format!("a text of the request's context is longer than {LONGEST_WORD} bytes");
        return Err(EngineError::InvalidArgument(why));
    }
    let left = context.remaining_ms.map(Duration::from_millis).filter(|left| *left < FURTHEST);
    Ok(RequestCtx {
        affinity: None,
        avoid: Vec::new(),
        request_id: RequestId(context.request_id),
        attempt: context.attempt,
        tenant: context.tenant,
        priority: match v1::Priority::try_from(context.priority) {
            Ok(v1::Priority::Batch) => Priority::Batch,
            Ok(v1::Priority::Agent) => Priority::Agent,
            Ok(v1::Priority::Unspecified | v1::Priority::Interactive) | Err(_) => Priority::Interactive,
        },
        deadline: left.map(|left| Instant::now() + left),
        cancel,
        traceparent: Some(context.traceparent).filter(|parent| !parent.is_empty()),
    })
}

/// Peers see numbers where engines have slots and generations.
pub(crate) fn seq_ref(seq: SeqId) -> v1::SeqRef {
    let number = u64::from(seq.key.slot) << 32 | u64::from(seq.key.generation);
    v1::SeqRef { boot: seq.boot, number }
}

pub(crate) fn sampler(spec: &SamplerSpec) -> v1::Sampler {
    let (bias_tokens, biases) = spec.logit_bias.iter().copied().unzip();
    v1::Sampler {
        temperature: spec.temperature,
        top_k: spec.top_k,
        top_p: spec.top_p,
        min_p: spec.min_p,
        repetition_penalty: spec.repetition_penalty,
        frequency_penalty: spec.frequency_penalty,
        presence_penalty: spec.presence_penalty,
        penalty_window: spec.penalty_window as u64,
        seed: spec.seed,
        lane: spec.lane,
        bias_tokens,
        biases,
        alternatives: spec.alternatives.into(),
    }
}

pub(crate) fn sampler_of(sampler: Option<v1::Sampler>) -> Result<SamplerSpec, EngineError> {
    let Some(sampler) = sampler else { return Ok(SamplerSpec::default()) };
    let floats = [
        sampler.temperature,
        sampler.top_p,
        sampler.min_p,
        sampler.repetition_penalty,
        sampler.frequency_penalty,
        sampler.presence_penalty,
    ];
    if floats.iter().chain(&sampler.biases).any(|number| !number.is_finite()) {
        return Err(EngineError::InvalidArgument("a sampler's number is not finite".into()));
    }
    Ok(SamplerSpec {
        temperature: sampler.temperature,
        top_k: sampler.top_k,
        top_p: sampler.top_p,
        min_p: sampler.min_p,
        repetition_penalty: sampler.repetition_penalty,
        frequency_penalty: sampler.frequency_penalty,
        presence_penalty: sampler.presence_penalty,
        penalty_window: count(sampler.penalty_window),
        seed: sampler.seed,
        lane: sampler.lane,
        logit_bias: paired(sampler.bias_tokens, sampler.biases)?.into(),
        alternatives: u8::try_from(sampler.alternatives).unwrap_or(u8::MAX),
    })
}

/// Two lists of the same length as one.
pub(crate) fn paired(tokens: Vec<TokenId>, numbers: Vec<f32>) -> Result<Vec<(TokenId, f32)>, EngineError> {
    match tokens.len() == numbers.len() {
        true => Ok(tokens.into_iter().zip(numbers).collect()),
        false => Err(EngineError::InvalidArgument(format!(
            "{} tokens have {} numbers",
            tokens.len(),
            numbers.len()
        ))),
    }
}

fn signals(mode: SignalMode) -> i32 {
    match mode {
        SignalMode::None => v1::SignalMode::None,
        SignalMode::Masked => v1::SignalMode::Masked,
        SignalMode::Full => v1::SignalMode::Full,
    }
    .into()
}

fn signals_of(mode: i32) -> SignalMode {
    match v1::SignalMode::try_from(mode) {
        Ok(v1::SignalMode::Full) => SignalMode::Full,
        Ok(v1::SignalMode::Masked) => SignalMode::Masked,
        Ok(v1::SignalMode::Unspecified | v1::SignalMode::None) | Err(_) => SignalMode::None,
    }
}

pub(crate) fn run_start(ctx: &RequestCtx, seq: SeqId, at: usize, spec: RunSpec) -> v1::RunStart {
    v1::RunStart {
        context: Some(context(ctx)),
        seq: Some(seq_ref(seq)),
        at: at as u64,
        max_tokens: spec.max_tokens,
        entropy_above: spec.stop_when.entropy_above,
        margin_below: spec.stop_when.margin_below,
        signals: signals(spec.signals),
    }
}

pub(crate) fn run_spec(start: &v1::RunStart) -> RunSpec {
    RunSpec {
        max_tokens: start.max_tokens,
        stop_when: StopWhen { entropy_above: start.entropy_above, margin_below: start.margin_below },
        signals: signals_of(start.signals),
    }
}

pub(crate) fn draft(draft: Draft) -> v1::Draft {
    let weighted = |q: Vec<(TokenId, f32)>| {
        let (tokens, weights) = q.into_iter().unzip();
        v1::Weighted { tokens, weights }
    };
    v1::Draft { ids: draft.ids, q: draft.q.into_iter().map(weighted).collect() }
}

pub(crate) fn draft_of(draft: Option<v1::Draft>) -> Result<Draft, EngineError> {
    let draft = draft.unwrap_or_default();
    let q = draft.q.into_iter().map(|q| paired(q.tokens, q.weights)).collect::<Result<Vec<_>, _>>()?;
    Ok(Draft { ids: draft.ids, q })
}

pub(crate) fn verify(ctx: &RequestCtx, seq: SeqId, at: usize, spec: VerifySpec) -> v1::VerifyRequest {
    v1::VerifyRequest {
        context: Some(context(ctx)),
        seq: Some(seq_ref(seq)),
        at: at as u64,
        lenient_alpha: match spec.acceptance {
            Acceptance::Exact => None,
            Acceptance::Lenient { alpha } => Some(alpha),
        },
        draft: Some(draft(spec.draft)),
        most: spec.most,
        signals: signals(spec.signals),
    }
}

pub(crate) fn verify_spec(request: v1::VerifyRequest) -> Result<VerifySpec, EngineError> {
    Ok(VerifySpec {
        draft: draft_of(request.draft)?,
        acceptance: request.lenient_alpha.map_or(Acceptance::Exact, |alpha| Acceptance::Lenient { alpha }),
        most: request.most,
        signals: signals_of(request.signals),
    })
}
