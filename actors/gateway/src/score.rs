//! How likely texts are: what `Score` does with a model.

use understudy_backend::{Backend, BackendError, OpenRequest, RequestCtx};
use understudy_engine::{
    EngineError,
    codec::{ChatMessage, Codec, CodecError},
    verbs::{SamplerSpec, TokenId},
};
use understudy_proto::v1::Message;

use crate::{
    Failure,
    wire::{self, invalid},
};

const MOST_CANDIDATES: usize = 64;

/// Tokens scored by one call of an engine, which holds the logits of all of them at once. A
/// longer candidate is scored piece by piece, which computes its rows twice.
const PIECE: usize = 63;

/// A checked request.
pub(crate) enum ScoreWork {
    /// Answers to a conversation.
    Answers { messages: Vec<ChatMessage>, candidates: Vec<String> },
    /// Tokens as they stand.
    Ids(Vec<TokenId>),
}

impl ScoreWork {
    /// # Errors
    /// `PROMPT_EMPTY`, `REQUEST_INVALID`.
    pub(crate) fn of(
        messages: Vec<Message>,
        candidates: Vec<String>,
        ids: Vec<TokenId>,
    ) -> Result<Self, Failure> {
        if !ids.is_empty() {
            return match messages.is_empty() && candidates.is_empty() {
                true => Ok(Self::Ids(ids)),
                false => Err(invalid("ids", "take the place of messages and candidates")),
            };
        }
        if !(1..=MOST_CANDIDATES).contains(&candidates.len()) || candidates.iter().any(String::is_empty) {
            return Err(invalid("candidates", "must be 1 to 64 texts, none empty"));
        }
        Ok(Self::Answers { messages: wire::chat(messages)?, candidates })
    }

    /// The prompt, and what may follow it. A lone id where the model wants no beginning token
    /// leaves nothing to score.
    ///
    /// # Errors
    /// The template or the tokenizer refuses.
    pub(crate) fn tokens(self, codec: &dyn Codec) -> Result<(Vec<TokenId>, Vec<Vec<TokenId>>), CodecError> {
        match self {
            Self::Answers { messages, candidates } => {
                let prompt = codec.encode_prompt(&codec.render(&messages, &[])?)?;
                let candidates: Result<_, _> =
                    candidates.iter().map(|text| codec.encode_text(text)).collect();
                Ok((prompt, candidates?))
            }
            Self::Ids(mut ids) => {
                let begin = codec.encode_prompt("")?;
                if !begin.is_empty() {
                    return Ok((begin, vec![ids]));
                }
                let rest = ids.split_off(1);
                Ok((ids, vec![rest]))
            }
        }
    }
}

/// What a caller can get wrong that only the model's side knows.
///
/// # Errors
/// `REQUEST_INVALID`, `CONTEXT_OVERFLOW`.
pub(crate) fn check(
    codec: &dyn Codec,
    context: usize,
    prompt: &[TokenId],
    candidates: &[Vec<TokenId>],
) -> Result<(), Failure> {
    let vocab = codec.vocab_size();
    if prompt.iter().chain(candidates.iter().flatten()).any(|&id| id as usize >= vocab) {
        return Err(invalid("ids", &format!("has an id outside of the model's {vocab} tokens")));
    }
    if candidates.iter().any(Vec::is_empty) {
        return Err(invalid("ids", "leaves no token to score: this model wants at least two"));
    }
    let longest = candidates.iter().map(Vec::len).max().unwrap_or(0);
    match prompt.len() + longest {
        tokens if tokens > context => {
            Err(BackendError::from(EngineError::ContextOverflow { tokens, context }).into())
        }
        _ => Ok(()),
    }
}

/// The sum of each candidate's log-probabilities after the prompt.
pub(crate) async fn logprobs(
    ctx: &RequestCtx,
    backend: &dyn Backend,
    prompt: Vec<TokenId>,
    candidates: Vec<Vec<TokenId>>,
) -> Result<Vec<f32>, BackendError> {
    let base = prompt.len();
    let open = OpenRequest { prompt, sampler: SamplerSpec::default(), gate: None };
    let opened = ctx.bound(backend.open(ctx, open)).await?;
    let work = async {
        if candidates.iter().all(|candidate| candidate.len() <= PIECE) {
            return Ok(backend.score(ctx, opened.seq, candidates).await?.0);
        }
        let mut sums = Vec::with_capacity(candidates.len());
        for candidate in &candidates {
            let mut sum = 0.0_f64;
            let mut at = base;
            let mut pieces = candidate.chunks(PIECE).peekable();
            while let Some(piece) = pieces.next() {
                let scored = backend.score(ctx, opened.seq, vec![piece.to_vec()]).await?.0;
                sum += scored.iter().copied().map(f64::from).sum::<f64>();
                if pieces.peek().is_some() {
                    at = backend.extend(ctx, opened.seq, at, piece.to_vec()).await?;
                }
            }
            backend.truncate(ctx, opened.seq, base).await?;
            sums.push(sum as f32);
        }
        Ok::<_, BackendError>(sums)
    };
    let scored = ctx.bound(work).await;
    backend.close(opened.seq);
    scored
}
