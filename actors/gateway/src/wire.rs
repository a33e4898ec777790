//! Between the protos and the router's own types.

use understudy_backend::Priority;
use understudy_engine::{codec::ChatMessage, verbs::SamplerSpec};
use understudy_proto::v1::{self, generate_event::Event};
use understudy_router::{
    AnswerEvent, AnswerRequest, Decision, DecisionKind, Drafts, Finished, Ledger, Origin, Pattern,
    PolicySpec, TokenLogprob, ValidatorSpec,
};

use crate::constraint::pattern;
use crate::tools::{self, Tools};
use crate::{Failure, codes};

/// Reads a request. What the router checks itself is left to it.
///
/// # Errors
/// `PROMPT_EMPTY`, `POLICY_UNKNOWN`, `CONSTRAINT_INVALID` or `REQUEST_INVALID` with the field.
pub(crate) fn answer_request(
    mut request: v1::GenerateRequest,
    default_max_tokens: u32,
) -> Result<AnswerRequest, Failure> {
    let tools = Tools::of(&request)?;
    let constraint = request.constraint.take().map(pattern).transpose()?.or(tools.constraint);
    if request.stream_partial && !constraint.as_ref().is_some_and(Pattern::is_json) {
        return Err(invalid("stream_partial", "needs a constraint of JSON"));
    }
    Ok(AnswerRequest {
        policy: policy(&request)?,
        messages: conversation(request.messages, request.prompt)?,
        tools: tools.told,
        ladder: request.ladder,
        max_tokens: request.max_tokens.unwrap_or(default_max_tokens),
        sampler: SamplerSpec { lane: request.lane, ..request.sampling.map(sampler).unwrap_or_default() },
        top_logprobs: request.top_logprobs.map(|count| u8::try_from(count).unwrap_or(u8::MAX)),
        stop: request.stop,
        constraint,
        task: request.task,
        validators: request.validators.into_iter().map(validator).collect::<Result<_, _>>()?,
        collect_evidence: request.collect_evidence,
    })
}

fn validator(validator: v1::Validator) -> Result<ValidatorSpec, Failure> {
    Ok(match validator.kind {
        Some(v1::validator::Kind::Sql(run)) => ValidatorSpec::Sql { database: run.database.into() },
        Some(v1::validator::Kind::Matches(constraint)) => ValidatorSpec::Matches(pattern(constraint)?),
        Some(v1::validator::Kind::Python(tests)) => {
            ValidatorSpec::Python { before: tests.before, after: tests.after }
        }
        None => return Err(invalid("validators", "has one of no kind that this node knows")),
    })
}

fn conversation(messages: Vec<v1::Message>, prompt: String) -> Result<Vec<ChatMessage>, Failure> {
    if !prompt.is_empty() {
        if !messages.is_empty() {
            return Err(invalid("prompt", "is set together with messages; use one of them"));
        }
        return chat(vec![v1::Message { role: "user".into(), content: prompt, ..v1::Message::default() }]);
    }
    chat(messages)
}

/// Who goes first, as the request asks for it.
pub(crate) fn priority(request: &v1::GenerateRequest) -> Priority {
    match request.priority() {
        v1::Priority::Unspecified | v1::Priority::Interactive => Priority::Interactive,
        v1::Priority::Agent => Priority::Agent,
        v1::Priority::Batch => Priority::Batch,
    }
}

/// A conversation that ends with some text.
pub(crate) fn chat(messages: Vec<v1::Message>) -> Result<Vec<ChatMessage>, Failure> {
    // A tool may have nothing to say.
    let says_nothing = |last: &v1::Message| last.role != "tool" && last.content.trim().is_empty();
    if messages.last().is_none_or(says_nothing) {
        return Err(Failure::new(codes::PROMPT_EMPTY, "the prompt is empty").with_field("prompt", "is empty"));
    }
    tools::turns(messages)
}

/// The policy of a request, or what it means not to name one.
pub(crate) fn policy(request: &v1::GenerateRequest) -> Result<PolicySpec, Failure> {
    let word = match request.policy.trim() {
        "" if request.model.is_empty() => "cascade",
        "" => "direct",
        word => word,
    };
    let spec: PolicySpec =
        word.parse().map_err(|error: understudy_router::policy_spec::PolicyParseError| {
            let why = error.to_string();
            Failure::new(codes::POLICY_UNKNOWN, why.clone()).with_field("policy", why)
        })?;
    match spec.only_model() {
        _ if request.model.is_empty() => Ok(spec),
        Some(_) => Err(invalid("model", "is set, and the policy names one too")),
        None if spec.is_direct() => Ok(PolicySpec::direct(Some(request.model.clone()))),
        None => Err(invalid("model", "is for the policy direct; others take a ladder")),
    }
}

fn sampler(sampling: v1::Sampling) -> SamplerSpec {
    let defaults = SamplerSpec::default();
    let mut bias: Vec<_> = sampling.logit_bias.into_iter().collect();
    bias.sort_unstable_by_key(|entry| entry.0);
    SamplerSpec {
        logit_bias: bias.into(),
        temperature: sampling.temperature,
        top_k: sampling.top_k,
        top_p: sampling.top_p.unwrap_or(defaults.top_p),
        min_p: sampling.min_p,
        repetition_penalty: sampling.repetition_penalty.unwrap_or(defaults.repetition_penalty),
        frequency_penalty: sampling.frequency_penalty,
        presence_penalty: sampling.presence_penalty,
        seed: sampling.seed.unwrap_or(defaults.seed),
        ..defaults
    }
}

pub(crate) fn invalid(field: &str, why: &str) -> Failure {
    Failure::new(codes::REQUEST_INVALID, format!("{field} {why}")).with_field(field, why)
}

/// An event as the wire has it.
pub(crate) fn generate_event(event: AnswerEvent) -> Event {
    match event {
        AnswerEvent::Started { request_id, policy, ladder } => {
            Event::Started(v1::Started { request_id, policy, ladder })
        }
        AnswerEvent::Loading { model, source, done, total } => {
            Event::Loading(v1::Loading { model, source, done_bytes: done, total_bytes: total })
        }
        AnswerEvent::Segment { author, start, why } => {
            Event::Segment(v1::Segment { author, start: start as u64, why })
        }
        AnswerEvent::Delta { model, text, tokens, origin, logprobs } => {
            let logprobs = logprobs.into_iter().map(token_logprob).collect();
            Event::Delta(v1::Delta { model, text, tokens, logprobs, origin: delta_origin(origin).into() })
        }
        AnswerEvent::Drafted(Drafts { drafter, target, drafted, accepted }) => {
            Event::Drafted(v1::Drafted { drafter, target, drafted, accepted })
        }
        AnswerEvent::Validated { model, found } => {
            Event::Validated(v1::Validated { model, validation: Some(validation(found)) })
        }
        AnswerEvent::Decided(decided) if decided.kind == DecisionKind::Escalate => {
            Event::Escalated(v1::Escalated { decision: Some(decision(decided)) })
        }
        AnswerEvent::Decided(decided) => Event::Decided(decision(decided)),
        AnswerEvent::Retracted { bytes, tokens, model, reason } => {
            Event::Retracted(v1::Retracted { bytes: bytes as u64, model, reason, tokens })
        }
        AnswerEvent::Finished(end) => Event::Finished(finished(*end)),
    }
}

fn delta_origin(origin: Origin) -> v1::DeltaOrigin {
    match origin {
        Origin::Written => v1::DeltaOrigin::Unspecified,
        Origin::Forced => v1::DeltaOrigin::Forced,
        Origin::Accepted => v1::DeltaOrigin::Accepted,
    }
}

fn token_logprob(told: TokenLogprob) -> v1::TokenLogprob {
    v1::TokenLogprob {
        id: told.id,
        token: told.bytes,
        logprob: told.logprob,
        top: told.top.into_iter().map(token_logprob).collect(),
    }
}

fn finished(end: Finished) -> v1::Finished {
    v1::Finished {
        finish_reason: end.reason.as_str().to_owned(),
        usage: Some(v1::Usage {
            prompt_tokens: end.prompt_tokens,
            completion_tokens: end.completion_tokens,
            cached_prompt_tokens: end.cached_prompt_tokens,
        }),
        timing: Some(v1::Timing {
            ttft_ms: end.ttft_ms,
            total_ms: end.total_ms,
            decode_tok_s: end.decode_tok_s,
        }),
        ledger: Some(ledger(end.ledger)),
        text: end.text,
        model: end.model,
        policy: end.policy,
        numerics: end.numerics,
        tool_calls: Vec::new(),
    }
}

fn ledger(account: Ledger) -> v1::Ledger {
    let span = |span: understudy_router::Span| v1::Span {
        author: span.author,
        start: span.start as u64,
        end: span.end as u64,
        tokens: span.tokens,
        why: span.why,
    };
    let rung = |rung: understudy_router::RungCost| v1::RungCost {
        model: rung.model,
        prompt_tokens: rung.prompt_tokens,
        tokens_kept: rung.tokens_kept,
        tokens_wasted: rung.tokens_wasted,
        forward_passes: rung.cost.forward_passes,
        bytes_read: rung.cost.bytes_read,
        ms: rung.wall_ms,
        row_steps: rung.cost.prefill_rows + rung.cost.decode_rows,
        tokens_drafted: rung.tokens_drafted,
    };
    let candidate = |judged: understudy_router::CandidateRecord| v1::Candidate {
        model: judged.model,
        chosen: judged.chosen,
        confidence: judged.confidence,
        evidence: judged.evidence.into_iter().collect(),
        outcome: judged.outcome,
        validators: judged.validators.into_iter().map(validation).collect(),
    };
    v1::Ledger {
        spans: account.spans.into_iter().map(span).collect(),
        rungs: account.rungs.into_iter().map(rung).collect(),
        drafted: account.drafted,
        accepted: account.accepted,
        forced: account.forced,
        decisions: account.decisions.into_iter().map(decision).collect(),
        candidates: account.candidates.into_iter().map(candidate).collect(),
        prompt: account.prompt.into_iter().collect(),
    }
}

fn validation(found: understudy_router::ValidatorRecord) -> v1::Validation {
    v1::Validation {
        name: found.name,
        verdict: found.verdict.as_str().to_owned(),
        detail: found.detail,
        ms: found.ms,
    }
}

fn decision(decided: Decision) -> v1::Decision {
    v1::Decision {
        kind: decided.kind.as_str().to_owned(),
        from: decided.from,
        to: decided.to.unwrap_or_default(),
        reason: decided.reason,
        confidence: decided.confidence,
        threshold: decided.threshold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(prompt: &str) -> v1::GenerateRequest {
        v1::GenerateRequest { prompt: prompt.into(), ..Default::default() }
    }

    #[test]
    fn unset_fields_take_their_defaults() {
        let request = answer_request(ask("hi"), 77).unwrap();
        assert_eq!(request.policy, "cascade".parse().unwrap());
        assert_eq!((request.max_tokens, &request.sampler), (77, &SamplerSpec::default()));
        assert_eq!(request.messages, [ChatMessage::new("user", "hi")]);
        let sampling = v1::Sampling { temperature: 0.5, ..Default::default() };
        let request =
            answer_request(v1::GenerateRequest { sampling: Some(sampling), ..ask("hi") }, 77).unwrap();
        assert_eq!(request.sampler, SamplerSpec { temperature: 0.5, ..Default::default() });
    }

    #[test]
    fn a_model_means_direct() {
        let with = |policy: &str, model: &str| v1::GenerateRequest {
            policy: policy.into(),
            model: model.into(),
            ..ask("hi")
        };
        let direct = |model: &str| PolicySpec::direct(Some(model.into()));
        assert_eq!(policy(&with("", "m")).unwrap(), direct("m"));
        assert_eq!(policy(&with("direct", "m")).unwrap(), direct("m"));
        assert_eq!(policy(&with("direct:model=n", "")).unwrap(), direct("n"));
        assert_eq!(
            policy(&with("cascade:threshold=0.6", "")).unwrap(),
            "cascade:threshold=0.6".parse().unwrap()
        );
        assert_eq!(policy(&with("cascade", "m")).unwrap_err().code, codes::REQUEST_INVALID);
        assert_eq!(policy(&with("direct:model=n", "m")).unwrap_err().code, codes::REQUEST_INVALID);
        assert_eq!(policy(&with("cascde", "")).unwrap_err().code, codes::POLICY_UNKNOWN);
    }

    #[test]
    fn contradictions_and_blanks_are_refused() {
        let message = |content: &str| v1::Message {
            role: "user".into(),
            content: content.into(),
            ..Default::default()
        };
        let both = v1::GenerateRequest { messages: vec![message("a")], ..ask("b") };
        assert_eq!(answer_request(both, 1).unwrap_err().fields[0].0, "prompt");
        assert_eq!(answer_request(ask(" \n"), 1).unwrap_err().code, codes::PROMPT_EMPTY);
        assert_eq!(answer_request(ask(""), 1).unwrap_err().code, codes::PROMPT_EMPTY);
        let empty = v1::GenerateRequest { constraint: Some(v1::Constraint { kind: None }), ..ask("b") };
        assert_eq!(answer_request(empty, 1).unwrap_err().code, codes::CONSTRAINT_INVALID);
    }
}
