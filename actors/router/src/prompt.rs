//! What is known of a request before anything is written.

use understudy_calibration::Evidence;
use understudy_engine::codec::ChatMessage;
use understudy_grammars::Pattern;

use crate::desk::{Desk, Trouble};
use crate::{AnswerRequest, RouterError};

/// Shape of the request: lengths, what the question is made of, and which constraint it has.
pub(crate) fn shape(request: &AnswerRequest) -> Evidence {
    let question = question(&request.messages);
    let letters = question.chars().count().max(1) as f64;
    let share =
        |wanted: fn(char) -> bool| question.chars().filter(|letter| wanted(*letter)).count() as f64 / letters;
    let all: usize = request.messages.iter().map(|message| message.content.len()).sum();
    let mut evidence = Evidence::from([
        ("prompt.length".to_owned(), (1.0 + all as f64).ln()),
        ("prompt.question".to_owned(), (1.0 + question.len() as f64).ln()),
        ("prompt.words".to_owned(), (1.0 + question.split_whitespace().count() as f64).ln()),
        ("prompt.lines".to_owned(), (1.0 + question.lines().count() as f64).ln()),
        ("prompt.digits".to_owned(), share(|letter| letter.is_ascii_digit())),
        ("prompt.capitals".to_owned(), share(char::is_uppercase)),
        ("prompt.punctuation".to_owned(), share(|letter| letter.is_ascii_punctuation())),
        ("prompt.turns".to_owned(), request.messages.len() as f64),
    ]);
    if let Some(constraint) = &request.constraint {
        evidence.insert(format!("prompt.constraint.{}", constraint_name(constraint)), 1.0);
    }
    evidence
}

/// The word for a constraint's kind.
pub(crate) fn constraint_name(constraint: &Pattern) -> &'static str {
    match constraint {
        Pattern::Regex(_) => "regex",
        Pattern::Choice(_) => "choice",
        Pattern::Json(_) => "json",
        Pattern::Sql(_) => "sql",
        Pattern::Graphql(_) => "graphql",
        Pattern::Protobuf(_) => "protobuf",
        Pattern::Lark(_) => "lark",
        Pattern::Calls(_) => "calls",
    }
}

/// Bytes of questions and answers that are looked at.
const LONGEST: usize = 16_384;

/// As much of a text as is looked at: whole characters.
pub(crate) fn beginning(text: &str) -> &str {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// What the user said last.
pub(crate) fn question(messages: &[ChatMessage]) -> &str {
    messages.iter().rev().find(|message| message.role == "user").map_or("", |message| &message.content)
}

/// The question's vector by `embedder`, a number per name. A question longer than the model's context is cut.
pub(crate) async fn embedding(desk: &mut Desk<'_>, embedder: &str) -> Result<Evidence, Trouble> {
    let job = desk.job;
    let (sender, _) = tokio::sync::mpsc::channel(1);
    let backend = job.ctx.bound(job.slots.backend(&job.ctx, embedder, sender)).await?;
    let mut ids = backend.codec().encode_text(question(&job.request.messages)).map_err(RouterError::from)?;
    ids.truncate(backend.card().context);
    if ids.is_empty() {
        return Ok(Evidence::new());
    }
    let tokens = ids.len();
    let (values, cost) = job.ctx.bound(backend.embed(&job.ctx, ids)).await?;
    let account = desk.books.account(embedder);
    account.prompt_tokens = tokens;
    account.cost += cost;
    Ok(values
        .iter()
        .enumerate()
        .map(|(at, value)| (format!("embedding.{at:03}"), f64::from(*value)))
        .collect())
}

/// Everything before the answer, booked as the ledger's evidence of the prompt.
pub(crate) async fn evidence(desk: &mut Desk<'_>) -> Result<Evidence, Trouble> {
    let mut evidence = shape(&desk.job.request);
    if let Some(embedder) = &desk.job.config.embedder {
        evidence.extend(embedding(desk, embedder).await?);
    }
    desk.books.prompt.clone_from(&evidence);
    Ok(evidence)
}
