//! What an answer costs its tenant: the tokens of its usage, prompt and text, charged when it has ended.
//!
//! A request that its reader leaves is charged too, for what it took until it stopped. One that fails has no account:
//! it is charged for the text that it told.

use understudy_router::{AnswerEvent, AnswerStream, Finished, RouterError};

use crate::Admission;

/// An answer's events, whose end is charged.
pub(crate) struct Metered {
    /// `None` after the end.
    events: Option<AnswerStream>,
    /// Tokens of the text so far.
    told: u64,
    bill: Bill,
}

/// To whom, and where it is noted.
#[derive(Clone)]
struct Bill {
    admission: Admission,
    tenant: String,
}

impl Metered {
    pub(crate) fn new(events: AnswerStream, admission: Admission, tenant: String) -> Self {
        Self { events: Some(events), told: 0, bill: Bill { admission, tenant } }
    }

    /// The next event; `None` after the end. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Result<AnswerEvent, RouterError>> {
        let event = self.events.as_mut()?.next().await;
        match &event {
            Some(Ok(AnswerEvent::Delta { tokens, .. })) => self.told += u64::from(*tokens),
            Some(Ok(AnswerEvent::Finished(end))) => self.end(usage(end)),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.end(self.told),
        }
        event
    }

    fn end(&mut self, tokens: u64) {
        self.events = None;
        self.bill.charge(tokens);
    }
}

impl Bill {
    fn charge(&self, tokens: u64) {
        self.admission.charge(&self.tenant, tokens);
    }
}

fn usage(end: &Finished) -> u64 {
    u64::from(end.prompt_tokens) + u64::from(end.completion_tokens)
}

impl Drop for Metered {
    /// The reader has left before the end. The request stops at its next step; a task waits for it, one at most for
    /// each request that the router admits.
    fn drop(&mut self) {
        let Some(events) = self.events.take().filter(|_| !self.bill.tenant.is_empty()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (told, bill) = (self.told, self.bill.clone());
        runtime.spawn(async move {
            let end = events.abandon().await;
            bill.charge(end.map_or(told, |end| usage(&end)));
        });
    }
}
