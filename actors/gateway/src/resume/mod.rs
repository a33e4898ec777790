//! Answers that outlive their gateway: numbered, noted with another node, and told on there.
//!
//! | module | what it holds |
//! |---|---|
//! | [`course`] | the places of an answer's events, and what is noted of them |
//! | [`catch_up`] | an answer told again, to somebody who has its beginning |
//!
//! The request is answered anew where its caller comes to, with the same seed and under the same id. What was told
//! already is not told again.

mod catch_up;
pub(crate) mod course;

use prost::Message as _;
use understudy_backend::RequestCtx;
use understudy_proto::v1::{GenerateRequest, ResumeRequest};

use crate::{Answer, Failure, Inference, codes, wire::invalid};

/// Where an answer begins for its reader.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    /// The last event that the reader has; 0 for none.
    pub(crate) sequence: u64,
    /// The text that they have.
    pub(crate) text: String,
}

impl Inference {
    /// The rest of an answer whose node was lost. `ctx` names the request.
    ///
    /// # Errors
    /// `REQUEST_UNKNOWN`, `RESUME_GAP`, `REQUEST_INVALID` for one without an id and for an answer with
    /// log-probabilities; and those of [`generate`](Self::generate).
    pub async fn resume(&self, ctx: RequestCtx, asked: ResumeRequest) -> Result<Answer, Failure> {
        if asked.request_id.is_empty() {
            return Err(invalid("request_id", "is empty"));
        }
        if asked.last_sequence == 0 && asked.text.as_ref().is_some_and(|text| !text.is_empty()) {
            return Err(invalid("last_sequence", "is 0, so there is no text yet"));
        }
        let (request, beginning) = self.recalled(&ctx, asked).await?;
        self.generate_from(ctx, request, beginning).await
    }

    async fn recalled(
        &self,
        ctx: &RequestCtx,
        asked: ResumeRequest,
    ) -> Result<(GenerateRequest, Beginning), Failure> {
        // A visit that ends takes its request with it, and this one goes on.
        let visit = RequestCtx { cancel: ctx.cancel.child_token(), ..ctx.clone() };
        let _place = self.admission().visit(&visit)?;
        let ResumeRequest { request_id, last_sequence, text } = asked;
        // A caller who has the text needs the request only, and any record has that.
        let needed = if text.is_some() { 0 } else { last_sequence };
        let known = match self.cluster() {
            Some(cluster) => {
                let recall = async { Ok(cluster.recall(&ctx.tenant, &request_id, needed).await) };
                ctx.bound(recall).await?
            }
            None => None,
        };
        let Some(known) = known else {
            let message = format!("no node knows a request {request_id:?}");
            return Err(Failure::new(codes::REQUEST_UNKNOWN, message));
        };
        if known.sequence < needed {
            let message = format!("the request is known up to event {}, not {last_sequence}", known.sequence);
            return Err(Failure::new(codes::RESUME_GAP, message).with("sequence", known.sequence));
        }
        let request = GenerateRequest::decode(known.request.as_slice())
            .map_err(|error| Failure::new(codes::INTERNAL, format!("the request cannot be read: {error}")))?;
        if request.top_logprobs.is_some() {
            // They belong to tokens, and where a text is cut need not be where a token ends.
            return Err(invalid(
                "top_logprobs",
                "is set: an answer with log-probabilities cannot be resumed",
            ));
        }
        let text = text.unwrap_or(known.text);
        Ok((request, Beginning { sequence: last_sequence, text }))
    }
}
