//! An answer as it comes: chunks.

use std::collections::VecDeque;

use futures::stream::{self, Stream, StreamExt as _};
use serde_json::{Value, json};
use understudy_gateway::Failure;
use understudy_proto::v1::Finished;

use super::Frame;
use crate::{
    fan::Voices,
    finality::Piece,
    native,
    openai::{error, logprobs, sse::Sent, usage},
    telling::Said,
};

/// `chat.completion.chunk`s, and `[DONE]`. An answer that fails ends the stream with an error.
pub(super) fn chunks(voices: Voices, frame: Frame) -> impl Stream<Item = Sent> + Send + 'static {
    let chunks = Chunks { voices, frame, waiting: VecDeque::new(), ended: Vec::new(), is_over: false };
    stream::unfold(chunks, async |mut chunks| chunks.next().await.map(|sent| (sent, chunks)))
}

struct Chunks {
    voices: Voices,
    frame: Frame,
    /// Chunks of the last thing said: two at most.
    waiting: VecDeque<Sent>,
    ended: Vec<Finished>,
    is_over: bool,
}

impl Chunks {
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(sent) = self.waiting.pop_front() {
                return Some(sent);
            }
            if self.is_over {
                return None;
            }
            match self.voices.next().await {
                Some((nth, Ok(said))) => self.hear(nth, said),
                Some((_, Err(failure))) => self.fail(&failure),
                None => self.end(),
            }
        }
    }

    fn hear(&mut self, nth: usize, said: Said) {
        match said {
            Said::Event(event) => {
                let mut chunk = self.chunk(Vec::new());
                chunk["understudy"] = event;
                self.waiting.push_back(Sent::Data(chunk));
            }
            Said::Text(piece) => self.text(nth, piece),
            Said::Call { index, name } => {
                let call = json!({
                    "index": index, "id": self.frame.call_id(nth, index), "type": "function",
                    "function": {"name": name, "arguments": ""},
                });
                self.delta(nth, json!({"tool_calls": [call]}), Value::Null);
            }
            Said::Arguments { index, json } => {
                let call = json!({"index": index, "function": {"arguments": json}});
                self.delta(nth, json!({"tool_calls": [call]}), Value::Null);
            }
            Said::End(finished) => {
                let reason = usage::finish_reason(&finished);
                let choice = json!({"index": nth, "delta": {}, "logprobs": null, "finish_reason": reason});
                let mut chunk = self.chunk(vec![choice]);
                // Whoever asked for events has just been told the whole account.
                if !self.frame.explains {
                    chunk["understudy"] = native::answer(&finished, false);
                }
                self.waiting.push_back(Sent::Data(chunk));
                self.ended.push(*finished);
            }
        }
    }

    fn text(&mut self, nth: usize, piece: Piece) {
        let tokens = match self.frame.tells_tokens && !piece.logprobs.is_empty() {
            true => logprobs::content(&piece.logprobs),
            false => Value::Null,
        };
        self.delta(nth, json!({"content": piece.text}), tokens);
    }

    /// Each says first who speaks.
    fn delta(&mut self, nth: usize, mut delta: Value, tokens: Value) {
        delta["role"] = "assistant".into();
        let choice = json!({"index": nth, "delta": delta, "logprobs": tokens, "finish_reason": null});
        let chunk = self.chunk(vec![choice]);
        self.waiting.push_back(Sent::Data(chunk));
    }

    fn fail(&mut self, failure: &Failure) {
        self.waiting.push_back(Sent::Typed("error", error::body(failure)));
        self.is_over = true;
    }

    fn end(&mut self) {
        if self.frame.tells_usage {
            let mut chunk = self.chunk(Vec::new());
            chunk["usage"] = usage::json(usage::of(&self.ended));
            self.waiting.push_back(Sent::Data(chunk));
        }
        self.waiting.push_back(Sent::Done);
        self.is_over = true;
    }

    fn chunk(&self, choices: Vec<Value>) -> Value {
        let mut chunk = json!({
            "id": self.frame.id,
            "object": "chat.completion.chunk",
            "created": self.frame.created,
            "model": self.frame.model,
            "choices": choices,
        });
        if self.frame.tells_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }
}
