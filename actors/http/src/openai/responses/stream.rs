//! A response as it comes: typed events, numbered.

use std::{collections::VecDeque, sync::Arc};

use futures::stream::{self, Stream};
use serde_json::{Value, json};
use understudy_gateway::Failure;

use super::{
    object::Frame,
    output::{Output, Told},
    store::Store,
};
use crate::{
    openai::{error, sse::Sent},
    telling::{Said, Telling},
};

/// `response.created` to `response.completed`, `response.incomplete` or `response.failed`.
pub(super) fn events(
    store: Arc<Store>,
    telling: Telling,
    frame: Frame,
) -> impl Stream<Item = Sent> + Send + 'static {
    let mut events = Events {
        output: Some(Output::new(&frame)),
        store,
        telling,
        frame,
        waiting: VecDeque::new(),
        next: 0,
    };
    let begun = events.frame.object("in_progress", &[]);
    events.tell(("response.created", json!({"response": begun})));
    events.tell(("response.in_progress", json!({"response": begun})));
    stream::unfold(events, async |mut events| events.next().await.map(|sent| (sent, events)))
}

struct Events {
    store: Arc<Store>,
    telling: Telling,
    frame: Frame,
    /// `None` after the end.
    output: Option<Output>,
    /// Of the last thing said.
    waiting: VecDeque<Sent>,
    /// Number of the next event.
    next: u64,
}

impl Events {
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(sent) = self.waiting.pop_front() {
                return Some(sent);
            }
            let mut output = self.output.take()?;
            match self.telling.next().await {
                Some(Ok(said)) => {
                    let is_end = matches!(said, Said::End(_));
                    output.hear(said).into_iter().for_each(|told| self.tell(told));
                    if is_end {
                        self.end(output);
                    } else {
                        self.output = Some(output);
                    }
                }
                Some(Err(failure)) => self.fail(&failure, &output),
                None => return None,
            }
        }
    }

    fn end(&mut self, output: Output) {
        let response = output.kept(&self.store, &self.frame);
        let kind = match response["status"].as_str() {
            Some("completed") => "response.completed",
            _ => "response.incomplete",
        };
        self.tell((kind, json!({"response": response})));
    }

    fn fail(&mut self, failure: &Failure, output: &Output) {
        let response = failed(&self.frame, failure, output);
        self.tell(("response.failed", json!({"response": response})));
    }

    fn tell(&mut self, (kind, mut event): Told) {
        event["type"] = kind.into();
        event["sequence_number"] = self.next.into();
        self.next += 1;
        self.waiting.push_back(Sent::Typed(kind, event));
    }
}

/// The response that failed, with what there is of it.
pub(super) fn failed(frame: &Frame, failure: &Failure, output: &Output) -> Value {
    let mut response = frame.object("failed", output.items());
    response["error"] = json!({"code": error::code(failure), "message": failure.message});
    response
}
