//! Answers of a ledger with a label, to calibrate on again without generating anything.
//!
//! | label | from | says | mistakes |
//! |---|---|---|---|
//! | [`Source::Feedback`] | what was said of the answer; also of others with the same outcome | right or wrong | those of who said it |
//! | [`Source::Validators`] | a candidate's own validators | a failure means wrong, else a pass means right | a pass only says that nothing was found |
//! | [`Source::Agreement`] | the last rung's outcome | the same means right, another one wrong | the teacher's |
//!
//! The first that says something counts. Three rules keep labels honest:
//!
//! - A label by validators does not meet their verdicts again: `validator.*` leaves the example's evidence. Else a fit
//!   would learn that a label equals itself.
//! - A teacher that is known to be wrong teaches nothing but that whoever agrees is wrong too.
//! - Labels by agreement exist only where the teacher was asked, so mostly where a model was unsure. They are good for
//!   the order of answers (weights), not for how many are right. [`Judged::source`] lets a caller choose.

use std::collections::BTreeMap;
use std::io::BufRead;

use crate::{Candidate, Entry, LedgerError, RungCost};

/// Evidence that validators left.
const BY_VALIDATORS: &str = "validator.";

/// A judged answer with its label.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The request's id.
    pub request_id: String,
    /// The kind of task; may be empty.
    pub task: String,
    /// Model that answered.
    pub model: String,
    /// Whether this is the last rung.
    pub is_teacher: bool,
    /// What a calibration sees.
    pub evidence: BTreeMap<String, f64>,
    /// Whether the answer is right.
    pub ok: bool,
    /// Who says so.
    pub source: Source,
    /// What the answer comes to, or its digest.
    pub outcome: Option<String>,
    /// Tokens that the model wrote for it.
    pub tokens: f64,
    /// Bytes that it read.
    pub bytes: f64,
    /// Milliseconds that it took.
    pub ms: f64,
}

/// Who says whether an answer is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Somebody, later.
    Feedback,
    /// The answer's validators.
    Validators,
    /// The last rung, by its own answer.
    Agreement,
}

/// Reads entries as `understudy ledger export` writes them: one JSON object on each line.
///
/// # Errors
/// Each item: [`LedgerError::BadEntry`] with the line's number.
pub fn read(lines: impl BufRead) -> impl Iterator<Item = Result<Entry, LedgerError>> {
    lines.lines().zip(1..).filter_map(|(line, at)| {
        let bad = |why: String| LedgerError::BadEntry { at, why };
        match line {
            Ok(line) if line.trim().is_empty() => None,
            Ok(line) => Some(serde_json::from_str(&line).map_err(|error| bad(error.to_string()))),
            Err(error) => Some(Err(bad(error.to_string()))),
        }
    })
}

/// The candidates of a request that have a label.
pub fn judged(entry: &Entry) -> impl Iterator<Item = Judged> + '_ {
    entry.ledger.candidates.iter().filter_map(|candidate| {
        let (ok, source) = label(entry, candidate)?;
        let (tokens, bytes, ms) = cost(entry, candidate);
        let mut evidence = candidate.evidence.clone();
        if source == Source::Validators {
            evidence.retain(|name, _| !name.starts_with(BY_VALIDATORS));
        }
        Some(Judged {
            request_id: entry.request_id.clone(),
            task: entry.task.clone(),
            model: candidate.model.clone(),
            is_teacher: is_teacher(entry, candidate),
            evidence,
            ok,
            source,
            outcome: candidate.outcome.clone(),
            tokens,
            bytes,
            ms,
        })
    })
}

fn label(entry: &Entry, candidate: &Candidate) -> Option<(bool, Source)> {
    let told = told(entry, candidate).map(|ok| (ok, Source::Feedback));
    let tried = || validated(candidate).map(|ok| (ok, Source::Validators));
    let agreed = || agrees(entry, candidate).map(|ok| (ok, Source::Agreement));
    told.or_else(tried).or_else(agreed)
}

/// Feedback is on the answer that was shown, and on whatever comes to the same.
fn told(entry: &Entry, candidate: &Candidate) -> Option<bool> {
    let shown = entry.ledger.candidates.iter().find(|other| other.chosen)?;
    let is_meant = candidate.chosen || comes_to_same(candidate, shown) == Some(true);
    entry.told().filter(|_| is_meant)
}

fn validated(candidate: &Candidate) -> Option<bool> {
    let says = |verdict: &str| candidate.validators.iter().any(|found| found.verdict == verdict);
    match (says("fail"), says("pass")) {
        (true, _) => Some(false),
        (false, true) => Some(true),
        (false, false) => None,
    }
}

fn agrees(entry: &Entry, candidate: &Candidate) -> Option<bool> {
    if is_teacher(entry, candidate) {
        return None;
    }
    let teacher = entry.ledger.candidates.iter().rfind(|other| is_teacher(entry, other))?;
    let same = comes_to_same(candidate, teacher)?;
    let teacher_is_wrong = told(entry, teacher).or_else(|| validated(teacher)) == Some(false);
    match (teacher_is_wrong, same) {
        (true, true) => Some(false),
        // Two answers may be wrong in their own ways.
        (true, false) => None,
        (false, same) => Some(same),
    }
}

fn comes_to_same(one: &Candidate, other: &Candidate) -> Option<bool> {
    Some(one.outcome.as_ref()? == other.outcome.as_ref()?)
}

fn is_teacher(entry: &Entry, candidate: &Candidate) -> bool {
    entry.teacher() == Some(candidate.model.as_str())
}

/// Tokens, bytes and milliseconds of the candidate's model, shared by its candidates.
fn cost(entry: &Entry, candidate: &Candidate) -> (f64, f64, f64) {
    let of_model = entry.ledger.candidates.iter().filter(|other| other.model == candidate.model).count();
    let share = 1.0 / of_model.max(1) as f64;
    let rung = entry.ledger.rungs.iter().find(|rung| rung.model == candidate.model);
    rung.map_or((0.0, 0.0, 0.0), |RungCost { tokens_kept, tokens_wasted, bytes_read, ms, .. }| {
        let tokens = f64::from(*tokens_kept) + f64::from(*tokens_wasted);
        (tokens * share, *bytes_read as f64 * share, ms * share)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Account, Feedback, Validation};

    fn candidate(model: &str, outcome: &str, verdict: Option<&str>) -> Candidate {
        let found = |verdict: &str| Validation {
            name: "sql".into(),
            verdict: verdict.into(),
            ..Validation::default()
        };
        let evidence = [("length", 3.0), ("validator.sql", 1.0), ("validator.sql.rows", 2.0)];
        Candidate {
            model: model.into(),
            outcome: Some(outcome.into()),
            evidence: evidence.map(|(name, value)| (name.to_owned(), value)).into(),
            validators: verdict.map(found).into_iter().collect(),
            ..Candidate::default()
        }
    }

    /// The last candidate is the answer.
    fn entry(mut candidates: Vec<Candidate>, told: Option<bool>) -> Entry {
        candidates.last_mut().unwrap().chosen = true;
        let feedback = told.map(|ok| Feedback { ok, source: "user".into(), time_ms: 0 });
        Entry {
            ladder: vec!["small".into(), "large".into()],
            ledger: Account {
                candidates,
                rungs: vec![RungCost {
                    model: "small".into(),
                    tokens_wasted: 8,
                    bytes_read: 80,
                    ..RungCost::default()
                }],
                ..Account::default()
            },
            feedback: feedback.into_iter().collect(),
            ..Entry::default()
        }
    }

    fn labels(entry: &Entry) -> Vec<(String, bool, Source)> {
        judged(entry).map(|judged| (judged.model, judged.ok, judged.source)).collect()
    }

    #[test]
    fn the_strongest_source_that_says_something_labels() {
        use Source::{Agreement, Feedback, Validators};
        let small = |outcome, verdict| candidate("small", outcome, verdict);
        let large = |outcome, verdict| candidate("large", outcome, verdict);
        type Labels<'a> = &'a [(&'a str, bool, Source)];
        let cases: &[(Vec<Candidate>, Option<bool>, Labels<'_>)] = &[
            (vec![small("4", None)], None, &[]),
            (vec![small("4", Some("unknown"))], None, &[]),
            (vec![small("4", Some("pass"))], None, &[("small", true, Validators)]),
            (vec![small("4", Some("pass"))], Some(false), &[("small", false, Feedback)]),
            (vec![small("4", None), large("4", None)], None, &[("small", true, Agreement)]),
            (vec![small("5", None), large("4", None)], None, &[("small", false, Agreement)]),
            (
                vec![small("5", None), large("4", None)],
                Some(true),
                &[("small", false, Agreement), ("large", true, Feedback)],
            ),
            (
                vec![small("4", None), large("4", None)],
                Some(true),
                &[("small", true, Feedback), ("large", true, Feedback)],
            ),
            // The teacher is wrong: whoever agrees is too, of others nothing is known.
            (vec![small("5", None), large("4", None)], Some(false), &[("large", false, Feedback)]),
            (vec![small("5", None), large("4", Some("fail"))], None, &[("large", false, Validators)]),
            (
                vec![small("4", None), large("4", Some("fail"))],
                None,
                &[("small", false, Agreement), ("large", false, Validators)],
            ),
        ];
        for (candidates, told, expected) in cases {
            let found = labels(&entry(candidates.clone(), *told));
            let found: Vec<_> =
                found.iter().map(|(model, ok, source)| (model.as_str(), *ok, *source)).collect();
            assert_eq!(&found, expected, "{candidates:?}, told {told:?}");
        }
    }

    #[test]
    fn validators_do_not_explain_the_labels_that_they_gave() {
        let by_validators = judged(&entry(vec![candidate("small", "4", Some("pass"))], None)).next().unwrap();
        assert_eq!(by_validators.evidence.keys().collect::<Vec<_>>(), ["length"]);
        let by_feedback =
            judged(&entry(vec![candidate("small", "4", Some("pass"))], Some(true))).next().unwrap();
        assert_eq!(by_feedback.evidence.len(), 3);
    }

    #[test]
    fn candidates_of_one_model_share_its_cost() {
        let several =
            entry(vec![candidate("small", "4", Some("pass")), candidate("small", "5", Some("fail"))], None);
        let costs: Vec<_> = judged(&several).map(|judged| (judged.tokens, judged.bytes)).collect();
        assert_eq!(costs, [(4.0, 40.0), (4.0, 40.0)]);
    }

    #[test]
    fn what_was_exported_is_read_again_and_a_bad_line_is_named() {
        let whole = entry(vec![candidate("small", "4", None)], Some(true));
        let lines = format!("{}\n\n{{\"time_ms\":\n", serde_json::to_string(&whole).unwrap());
        let mut read = read(lines.as_bytes());
        assert_eq!(read.next().unwrap().unwrap(), whole);
        assert!(read.next().unwrap().unwrap_err().to_string().starts_with("entry 3:"));
    }
}
