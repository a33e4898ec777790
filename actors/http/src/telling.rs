//! An answer as readers hear it who know text and calls, and nothing of drafts.
//!
//! All dialects are translations of what [`Telling`] says: text that stays, calls of tools, the end.

use std::collections::VecDeque;

use futures::stream::{self, Stream};
use serde_json::Value;
use understudy_backend::RequestCtx;
use understudy_gateway::{Answer, Failure, Inference};
use understudy_proto::v1::{
    Decision, Finished, GenerateRequest, TokenLogprob, ToolChoice, generate_event::Event,
};
use understudy_router::{CallPiece, CallReader, Settles};

use crate::{call::Trace, finality::Finality, finality::Piece, native};

/// What is heard of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    /// Our own event, where they were asked for.
    Event(Value),
    /// Text that stays. Its log-probabilities are of all tokens since the last ones, calls included.
    Text(Piece),
    /// A call begins.
    Call { index: usize, name: String },
    /// More of its arguments.
    Arguments { index: usize, json: String },
    /// The end.
    End(Box<Finished>),
}

/// A whole answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) text: String,
    pub(crate) logprobs: Vec<TokenLogprob>,
    pub(crate) calls: Vec<CallTold>,
    pub(crate) finished: Finished,
}

/// A call of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CallTold {
    pub(crate) name: String,
    /// A JSON object, unless the answer was cut off.
    pub(crate) arguments: String,
}

/// One answer. Dropping it cancels the request.
pub(crate) struct Telling {
    answer: Answer,
    finality: Finality,
    /// There, where tools may be called.
    calls: Option<CallReader>,
    explains: bool,
    said: VecDeque<Said>,
}

impl Telling {
    /// Asks for an answer; with `explains`, our own events are told too, at once. `trace` is told of its span.
    ///
    /// # Errors
    /// Whatever the request is refused with.
    pub(crate) async fn begin(
        inference: &Inference,
        ctx: RequestCtx,
        request: GenerateRequest,
        explains: bool,
        trace: &Trace,
    ) -> Result<Self, Failure> {
        // A policy that is none is refused below, where refusals are counted.
        let settles = Inference::policy(&request).map_or(Settles::AtEnd, |policy| policy.settles());
        let finality = Finality::of(settles);
        let may_call = !request.tools.is_empty() && request.tool_choice() != ToolChoice::None;
        let calls =
            may_call.then(|| CallReader::of_tools(request.tools.iter().map(|tool| tool.name.clone())));
        let answer = inference.generate(ctx, request).await?;
        trace.begun(answer.traceparent());
        Ok(Self { answer, finality, calls, explains, said: VecDeque::new() })
    }

    /// Waits for its first word: what is wrong with a request is mostly known by then, and can be told by a status.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn settle(&mut self) -> Result<(), Failure> {
        if let Some(first) = self.next().await {
            self.said.push_front(first?);
        }
        Ok(())
    }

    /// What is said next; `None` after the end or after an error.
    pub(crate) async fn next(&mut self) -> Option<Result<Said, Failure>> {
        loop {
            if let Some(said) = self.said.pop_front() {
                return Some(Ok(said));
            }
            let heard = match self.answer.next().await? {
                Ok(event) => self.hear(event.event),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = heard {
                return Some(Err(failure));
            }
        }
    }

    /// What is said, as a stream.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Said, Failure>> + Send + 'static {
        stream::unfold(self, async |mut telling| telling.next().await.map(|said| (said, telling)))
    }

    /// All of it.
    ///
    /// # Errors
    /// Why it was not completed.
    pub(crate) async fn whole(mut self) -> Result<Told, Failure> {
        let mut told = Told::default();
        while let Some(said) = self.next().await {
            match said? {
                Said::Event(_) => {}
                Said::Text(piece) => {
                    told.text.push_str(&piece.text);
                    told.logprobs.extend(piece.logprobs);
                }
                Said::Call { name, .. } => told.calls.push(CallTold { name, ..CallTold::default() }),
                Said::Arguments { json, .. } => {
                    told.calls.iter_mut().last().into_iter().for_each(|call| call.arguments.push_str(&json));
                }
                Said::End(finished) => told.finished = *finished,
            }
        }
        Ok(told)
    }

    fn hear(&mut self, event: Option<Event>) -> Result<(), Failure> {
        let Some(event) = event else { return Ok(()) };
        if self.explains {
            self.said.extend(native::event(&event).map(Said::Event));
        }
        match event {
            Event::Started(started) => self.finality.climbs(&started.ladder),
            Event::Delta(delta) => self.finality.wrote(delta),
            Event::Retracted(retracted) => self.finality.withdrew(retracted.bytes, retracted.tokens)?,
            Event::Decided(decision) => self.decided(&decision),
            Event::Escalated(escalated) => escalated.decision.iter().for_each(|one| self.decided(one)),
            Event::Finished(finished) => return self.end(finished),
            _ => {}
        }
        self.tell();
        Ok(())
    }

    fn decided(&mut self, decision: &Decision) {
        self.finality.decided(decision);
    }

    fn end(&mut self, finished: Finished) -> Result<(), Failure> {
        self.finality.end();
        self.tell();
        let rest = self.calls.as_mut().map(CallReader::finish).unwrap_or_default();
        self.said.extend(rest.into_iter().map(said));
        self.said.push_back(Said::End(Box::new(finished)));
        Ok(())
    }

    /// Tells what stays by now.
    fn tell(&mut self) {
        while let Some(piece) = self.finality.next() {
            let Some(calls) = &mut self.calls else {
                self.said.push_back(Said::Text(piece));
                continue;
            };
            let pieces = calls.push(&piece.text);
            // Tokens go out with the text that they are of, which may be a call's.
            if !piece.logprobs.is_empty() {
                self.said.push_back(Said::Text(Piece { text: String::new(), logprobs: piece.logprobs }));
            }
            self.said.extend(pieces.into_iter().map(said));
        }
    }
}

fn said(piece: CallPiece) -> Said {
    match piece {
        CallPiece::Text(text) => Said::Text(Piece { text, logprobs: Vec::new() }),
        CallPiece::Call { index, name } => Said::Call { index, name },
        CallPiece::Arguments { index, json } => Said::Arguments { index, json },
    }
}
