//! Failures of verbs: the same variant on both ends.

use prost::Message as _;
use tonic::{Code, Status};
use understudy_backend::BackendError;
use understudy_engine::EngineError;
use understudy_proto::node::v1::{self, verb_error::Kind};

use super::count;

/// What engines call empty; another word arrives as an invalid argument.
const EMPTY: [&str; 8] =
    ["prompt", "the prompt", "extension", "draft", "candidate", "the candidate list", "text", "the text"];

/// Most bytes of a text in a status: it travels in trailers, which peers bound (16 KiB with the default settings of
/// HTTP/2 here, encodings included).
const LONGEST: usize = 1024;

/// A failure as the status of a call.
pub(crate) fn status(error: &BackendError) -> Status {
    let details = v1::VerbError { kind: Some(kind(error)) }.encode_to_vec();
    Status::with_details(code(error), cut(&error.to_string()), details.into())
}

fn cut(text: &str) -> String {
    let mut borders = (0..=LONGEST.min(text.len())).rev();
    let end = borders.find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    text.get(..end).unwrap_or_default().to_owned()
}

/// What a status says of a verb. One that no verb made means that the outcome is unknown.
pub(crate) fn failure(model: &str, status: &Status) -> BackendError {
    let said = Some(status.details()).filter(|details| !details.is_empty());
    let said = said.and_then(|details| v1::VerbError::decode(details).ok());
    said.and_then(|error| error.kind).map_or_else(
        || lost(model, format!("its node failed: {:?} {}", status.code(), status.message())),
        of_kind,
    )
}

/// The outcome is unknown.
pub(crate) fn lost(model: &str, why: impl Into<String>) -> BackendError {
    BackendError::EngineLost { model: model.to_owned(), why: why.into() }
}

/// For people who look at the wire; our end reads the details.
fn code(error: &BackendError) -> Code {
    match error {
        BackendError::Engine(EngineError::StaleSeq) => Code::NotFound,
        BackendError::Engine(EngineError::SeqBusy | EngineError::LengthMismatch { .. }) => {
            Code::FailedPrecondition
        }
        BackendError::Engine(EngineError::OutOfKv(_)) | BackendError::Overloaded { .. } => {
            Code::ResourceExhausted
        }
        BackendError::Engine(EngineError::Cancelled) | BackendError::Cancelled => Code::Cancelled,
        BackendError::Engine(
            EngineError::DeadEnd | EngineError::NonFiniteLogits | EngineError::Device(_),
        ) => Code::Internal,
        BackendError::Engine(_) => Code::InvalidArgument,
        BackendError::Deadline => Code::DeadlineExceeded,
        BackendError::EngineLost { .. } => Code::Aborted,
        BackendError::Unavailable { .. } | BackendError::Load { .. } => Code::Unavailable,
        BackendError::UnknownModel { .. } => Code::NotFound,
    }
}

fn kind(error: &BackendError) -> Kind {
    let failure = |model: &String, why: &String| v1::ModelFailure { model: cut(model), why: cut(why) };
    match error {
        BackendError::Engine(error) => engine_kind(error),
        BackendError::Cancelled => Kind::Cancelled(v1::Unit {}),
        BackendError::Deadline => Kind::Deadline(v1::Unit {}),
        BackendError::EngineLost { model, why } => Kind::EngineLost(failure(model, why)),
        BackendError::Unavailable { model, why } => Kind::Unavailable(failure(model, why)),
        BackendError::Overloaded { model, waiting } => {
            Kind::Overloaded(v1::Overloaded { model: cut(model), waiting: *waiting as u64 })
        }
        BackendError::UnknownModel { name, suggestion } => Kind::UnknownModel(v1::UnknownModel {
            name: cut(name),
            suggestion: suggestion.as_deref().map(cut),
        }),
        BackendError::Load { model, why, code } => {
            Kind::Load(v1::LoadFailure { model: cut(model), why: cut(why), code: cut(code) })
        }
    }
}

fn engine_kind(error: &EngineError) -> Kind {
    match error {
        EngineError::StaleSeq => Kind::StaleSeq(v1::Unit {}),
        EngineError::LengthMismatch { expected, actual } => {
            Kind::LengthMismatch(v1::LengthMismatch { expected: *expected as u64, actual: *actual as u64 })
        }
        EngineError::Empty(what) => Kind::Empty((*what).to_owned()),
        EngineError::ContextOverflow { tokens, context } => {
            Kind::ContextOverflow(v1::ContextOverflow { tokens: *tokens as u64, context: *context as u64 })
        }
        EngineError::OutOfKv(why) => Kind::OutOfKv(cut(why)),
        EngineError::TokenOutOfRange { id, vocab } => {
            Kind::TokenOutOfRange(v1::TokenOutOfRange { id: *id, vocab: *vocab as u64 })
        }
        EngineError::SeqBusy => Kind::SeqBusy(v1::Unit {}),
        EngineError::DeadEnd => Kind::DeadEnd(v1::Unit {}),
        EngineError::NonFiniteLogits => Kind::NonFiniteLogits(v1::Unit {}),
        EngineError::Device(why) => Kind::Device(cut(why)),
        EngineError::Cancelled => Kind::JobCancelled(v1::Unit {}),
        EngineError::InvalidArgument(why) => Kind::InvalidArgument(cut(why)),
    }
}

fn of_kind(kind: Kind) -> BackendError {
    let engine = match kind {
        Kind::Cancelled(_) => return BackendError::Cancelled,
        Kind::Deadline(_) => return BackendError::Deadline,
        Kind::EngineLost(v1::ModelFailure { model, why }) => return BackendError::EngineLost { model, why },
        Kind::Unavailable(v1::ModelFailure { model, why }) => {
            return BackendError::Unavailable { model, why };
        }
        Kind::Overloaded(v1::Overloaded { model, waiting }) => {
            return BackendError::Overloaded { model, waiting: count(waiting) };
        }
        Kind::UnknownModel(v1::UnknownModel { name, suggestion }) => {
            return BackendError::UnknownModel { name, suggestion };
        }
        Kind::Load(v1::LoadFailure { model, why, code }) => {
            return BackendError::Load { model, why, code };
        }
        Kind::StaleSeq(_) => EngineError::StaleSeq,
        Kind::LengthMismatch(v1::LengthMismatch { expected, actual }) => {
            EngineError::LengthMismatch { expected: count(expected), actual: count(actual) }
        }
        Kind::Empty(what) => match EMPTY.into_iter().find(|word| *word == what) {
            Some(word) => EngineError::Empty(word),
            None => EngineError::InvalidArgument(format!("{what} is empty")),
        },
        Kind::ContextOverflow(v1::ContextOverflow { tokens, context }) => {
            EngineError::ContextOverflow { tokens: count(tokens), context: count(context) }
        }
        Kind::OutOfKv(why) => EngineError::OutOfKv(why),
        Kind::TokenOutOfRange(v1::TokenOutOfRange { id, vocab }) => {
            EngineError::TokenOutOfRange { id, vocab: count(vocab) }
        }
        Kind::SeqBusy(_) => EngineError::SeqBusy,
        Kind::DeadEnd(_) => EngineError::DeadEnd,
        Kind::NonFiniteLogits(_) => EngineError::NonFiniteLogits,
        Kind::Device(why) => EngineError::Device(why),
        Kind::JobCancelled(_) => EngineError::Cancelled,
        Kind::InvalidArgument(why) => EngineError::InvalidArgument(why),
    };
    engine.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_arrives_as_it_was() {
        let (model, why) = ("m".to_owned(), "because".to_owned());
        let engine = [
            EngineError::StaleSeq,
            EngineError::LengthMismatch { expected: 3, actual: 4 },
            EngineError::ContextOverflow { tokens: 9, context: 8 },
            EngineError::OutOfKv(why.clone()),
            EngineError::TokenOutOfRange { id: 300, vocab: 257 },
            EngineError::SeqBusy,
            EngineError::DeadEnd,
            EngineError::NonFiniteLogits,
            EngineError::Device(why.clone()),
            EngineError::Cancelled,
            EngineError::InvalidArgument(why.clone()),
        ];
        let empty = EMPTY.map(EngineError::Empty);
        let backend = [
            BackendError::Cancelled,
            BackendError::Deadline,
            BackendError::EngineLost { model: model.clone(), why: why.clone() },
            BackendError::Unavailable { model: model.clone(), why: why.clone() },
            BackendError::Overloaded { model: model.clone(), waiting: 7 },
            BackendError::UnknownModel { name: model.clone(), suggestion: None },
            BackendError::UnknownModel { name: model.clone(), suggestion: Some(String::new()) },
            BackendError::Load { model: model.clone(), why: why.clone(), code: "HUB_NO_SOURCE".into() },
        ];
        let all = engine.into_iter().chain(empty).map(BackendError::from).chain(backend);
        for error in all {
            assert_eq!(failure("other", &status(&error)), error);
        }
    }

    #[test]
    fn what_no_verb_said_means_that_the_engine_is_lost() {
        let newer = v1::VerbError { kind: None }.encode_to_vec();
        for status in [
            Status::cancelled("by the transport"),
            Status::unavailable("connection refused"),
            Status::with_details(Code::Internal, "garbage", vec![255_u8; 9].into()),
            Status::with_details(Code::Internal, "a word of a later version", newer.into()),
        ] {
            let failed = failure("m", &status);
            assert!(matches!(&failed, BackendError::EngineLost { model, .. } if model == "m"), "{failed:?}");
        }
        let unknown = v1::VerbError { kind: Some(Kind::Empty("a later word".into())) }.encode_to_vec();
        let failed = failure("m", &Status::with_details(Code::Internal, "", unknown.into()));
        let invalid = EngineError::InvalidArgument("a later word is empty".into());
        assert_eq!(failed, BackendError::Engine(invalid));
    }
}
