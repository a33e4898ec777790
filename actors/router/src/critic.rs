//! A model's word on an answer: how much likelier it finds "Yes" than "No".

use understudy_backend::{BackendError, OpenRequest, RequestCtx};
use understudy_engine::codec::ChatMessage;
use understudy_engine::verbs::SamplerSpec;

use crate::RouterError;
use crate::desk::{Desk, Trouble};
use crate::prompt::beginning;

/// A critic that is lost is asked once more, elsewhere.
const TRIES: u32 = 2;

/// The probability, of both words together, that `critic` says "Yes" when it is asked whether the answer
/// is right. It is shown the beginnings of long questions and answers. `None`: it has no word on it, and the
/// answers that are there count for more than why.
pub(crate) async fn approval(
    desk: &mut Desk<'_>,
    critic: &str,
    answer: &str,
) -> Result<Option<f32>, Trouble> {
    let mut ctx = desk.job.ctx.clone();
    for _ in 0..TRIES {
        match word(desk, &mut ctx, critic, answer).await {
            Ok(word) => return Ok(Some(word)),
            Err(over @ Trouble::Over(_)) => return Err(over),
            // A name that stands for nothing is the caller's mistake.
            Err(wrong @ Trouble::Refused(RouterError::Backend(BackendError::UnknownModel { .. }))) => {
                return Err(wrong);
            }
            Err(trouble) => {
                tracing::warn!(request = %ctx.request_id, critic, ?trouble, "a critic could not be asked");
                ctx.attempt += 1;
            }
        }
    }
    Ok(None)
}

/// One try. The place that is asked is to be avoided by the next one.
async fn word(desk: &mut Desk<'_>, ctx: &mut RequestCtx, critic: &str, answer: &str) -> Result<f32, Trouble> {
    let job = desk.job;
    let (sender, _) = tokio::sync::mpsc::channel(1);
    let backend = ctx.bound(job.slots.backend(ctx, critic, sender)).await?;
    ctx.avoid.push(backend.node());
    let codec = backend.codec();
    let messages = question(&job.request.messages, answer);
    let prompt = codec
        .render(&messages, &[])
        .and_then(|text| codec.encode_prompt(&text))
        .map_err(RouterError::from)?;
    let words = ["Yes", "No"].map(|word| codec.encode_text(word).map_err(RouterError::from));
    let [yes, no] = words;
    let tokens = prompt.len();
    // Opened here, so that the account knows when the critic was asked.
    desk.books.account(critic);
    let opened =
        backend.open(ctx, OpenRequest { prompt, sampler: SamplerSpec::default(), gate: None }).await?;
    let scored = backend.score(ctx, opened.seq, vec![yes?, no?]).await;
    backend.close(opened.seq);
    let (scores, cost) = scored?;
    let account = desk.books.account(critic);
    if account.numerics.is_empty() {
        account.prompt_tokens = tokens;
        account.cached_prompt_tokens = opened.cached;
        account.numerics.clone_from(&backend.card().numerics);
    }
    account.cost += cost;
    account.heard();
    let [yes, no] = scores.as_slice() else {
        return Err(RouterError::Internal("a score is missing".into()).into());
    };
    Ok(1.0 / (1.0 + (no - yes).exp()))
}

fn question(messages: &[ChatMessage], answer: &str) -> Vec<ChatMessage> {
    let asked = messages.iter().rev().find(|message| message.role == "user");
    let asked = asked.map_or("", |message| message.content.as_str());
    let content = format!(
        "A question and an answer follow. Is the answer right? Say Yes or No.\n\nQuestion:\n{}\n\nAnswer:\n{}",
        beginning(asked),
        beginning(answer)
    );
    vec![ChatMessage::new("user", content)]
}
