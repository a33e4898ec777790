//! How good an answer is, on what evidence.
//!
//! Evidence is what the tokens tell ([`Features`]), what the text says against the question
//! ([`wording`]), what became of the constraint, and what validators find. A calibrated profile turns it into a probability; without one the default
//! [`Weights`](crate::confidence::Weights) do, and a validator that fails is decisive.

use understudy_calibration::Evidence;
use understudy_calibration::evidence::AGREES;

use crate::candidate::Candidate;
use crate::confidence::Features;
use crate::desk::{Desk, Trouble};
use crate::prompt::question;
use crate::validators::{self, Finding};
use crate::wording;
use crate::{CandidateRecord, FinishReason, ValidatorRecord, Verdict};

/// What came of it.
pub(crate) struct Judgement {
    /// That it is right, 0 to 1.
    pub(crate) confidence: f32,
    /// What thresholds are compared with: with a profile the preference for it over the next rung's answer, else the
    /// confidence.
    pub(crate) preference: f32,
    /// What a validator found wrong, for people.
    pub(crate) doubt: Option<String>,
}

/// Judges a complete candidate and books what was found. One that was judged before is not judged again.
pub(crate) async fn judge(
    desk: &mut Desk<'_>,
    model: &str,
    candidate: &Candidate,
) -> Result<Judgement, Trouble> {
    if let Some((_, known)) = desk.books.candidates.iter().find(|(of, _)| *of == candidate.revision()) {
        let doubt = doubt(&known.validators);
        let (confidence, preference) = weigh(desk, model, candidate, &known.evidence, doubt.is_some());
        return Ok(Judgement { confidence, preference, doubt });
    }
    let mut evidence = of_tokens(desk, candidate);
    evidence.extend(wording::evidence(candidate.text(), question(&desk.job.request.messages)));
    let findings = validate(desk, model, candidate).await?;
    for finding in &findings {
        evidence.extend(finding.evidence());
    }
    let outcome = outcome(&findings, candidate.text());
    if let Some((_, other)) = desk.books.candidates.last() {
        let agrees = other.outcome.as_ref() == Some(&outcome);
        evidence.insert(AGREES.into(), f64::from(u8::from(agrees)));
    }
    let judged_ms = desk.screen.elapsed().as_secs_f64() * 1e3;
    let validators: Vec<_> = findings.iter().map(Finding::record).collect();
    let doubt = doubt(&validators);
    let (confidence, preference) = weigh(desk, model, candidate, &evidence, doubt.is_some());
    desk.books.candidates.push((
        candidate.revision(),
        CandidateRecord {
            model: model.to_owned(),
            chosen: false,
            confidence: Some(confidence),
            evidence,
            outcome: Some(outcome),
            validators,
            judged_ms,
        },
    ));
    Ok(Judgement { confidence, preference, doubt })
}

/// Tries a candidate by each of the request's validators, one after the other. Each verdict is announced at once.
async fn validate(desk: &Desk<'_>, model: &str, candidate: &Candidate) -> Result<Vec<Finding>, Trouble> {
    let mut findings = Vec::new();
    for spec in &desk.job.request.validators {
        let finding = validators::run(desk.job, spec, candidate.text()).await?;
        desk.validated(model, finding.record()).await?;
        findings.push(finding);
    }
    Ok(findings)
}

/// Confidence and preference, by the task's profile if it has one of this model.
fn weigh(
    desk: &Desk<'_>,
    model: &str,
    candidate: &Candidate,
    evidence: &Evidence,
    doubted: bool,
) -> (f32, f32) {
    let config = &desk.job.config;
    let profile = config.profile_of(&desk.job.request.task).and_then(|profile| profile.rung(model));
    let confidence = match profile {
        Some(rung) => {
            let (confidence, preference) = rung.judge(evidence);
            return (confidence as f32, preference as f32);
        }
        None if doubted => 0.0,
        None => config.weights.judge_candidate(candidate, is_truncated(candidate)),
    };
    (confidence, confidence)
}

fn is_truncated(candidate: &Candidate) -> bool {
    candidate.end == Some(FinishReason::Length)
}

/// What a validator found wrong.
fn doubt(validators: &[ValidatorRecord]) -> Option<String> {
    let failed = validators.iter().find(|found| found.verdict == Verdict::Fail);
    failed.map(|found| format!("{}: {}", found.name, found.detail))
}

/// What the tokens tell, and how the constraint ended.
fn of_tokens(desk: &Desk<'_>, candidate: &Candidate) -> Evidence {
    let mut evidence = Evidence::new();
    if let Some(features) = Features::of_candidate(candidate, is_truncated(candidate)) {
        evidence.extend(features.named().map(|(name, value)| (name.to_owned(), value)));
    }
    let tokens = candidate.tokens().len().max(1) as f64;
    if desk.job.request.constraint.is_some() {
        let forced = candidate.steps().filter(|step| step.forced).count() as f64;
        // Signals are over the allowed tokens: other features than those over all, never calibrated together.
        evidence.insert("masked".into(), 1.0);
        evidence.insert("forced_share".into(), forced / tokens);
    }
    evidence.insert("budget_used".into(), tokens / f64::from(desk.job.request.max_tokens.max(1)));
    evidence
}

/// What the answer comes to: what a validator computed, else its text.
fn outcome(findings: &[Finding], text: &str) -> String {
    let computed = findings.iter().find_map(|finding| finding.outcome.clone());
    computed.unwrap_or_else(|| text.split_whitespace().collect::<Vec<_>>().join(" "))
}
