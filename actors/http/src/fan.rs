//! Several answers to one call, read side by side.

use futures::{
    future::try_join_all,
    stream::{self, BoxStream, SelectAll, StreamExt as _},
};
use understudy_gateway::{Failure, Inference};
use understudy_proto::v1::GenerateRequest;

use crate::{
    call::Call,
    telling::{Said, Telling, Told},
};

/// Most answers to one call. Each takes a place of the node.
pub(crate) const MOST_ANSWERS: usize = 16;

/// Answers by their place in the call.
pub(crate) struct Fan(Vec<Telling>);

/// What all of them say, as it comes.
pub(crate) type Voices = SelectAll<BoxStream<'static, (usize, Result<Said, Failure>)>>;

impl Fan {
    /// Begins each in order. If one is refused, those before it are cancelled.
    ///
    /// # Errors
    /// What the refused one was refused with.
    pub(crate) fn begin(
        call: &Call,
        inference: &Inference,
        requests: Vec<GenerateRequest>,
        deadline_ms: Option<u64>,
        explains: bool,
    ) -> Result<Self, Failure> {
        let begin = |(nth, request)| {
            Telling::begin(inference, call.context(inference, nth, deadline_ms)?, request, explains)
        };
        Ok(Self(requests.into_iter().enumerate().map(begin).collect::<Result<_, Failure>>()?))
    }

    /// All of each.
    ///
    /// # Errors
    /// That of the first that fails; the others are cancelled.
    pub(crate) async fn whole(self) -> Result<Vec<Told>, Failure> {
        try_join_all(self.0.into_iter().map(Telling::whole)).await
    }

    /// Each as it comes, once all have begun.
    ///
    /// # Errors
    /// Why one did not begin.
    pub(crate) async fn voices(mut self) -> Result<Voices, Failure> {
        try_join_all(self.0.iter_mut().map(Telling::settle)).await?;
        let voice = |(nth, telling): (usize, Telling)| {
            let next = move |mut telling: Telling| async move {
                telling.next().await.map(|said| ((nth, said), telling))
            };
            stream::unfold(telling, next).boxed()
        };
        Ok(stream::select_all(self.0.into_iter().enumerate().map(voice)))
    }
}

/// The same request `n` times, each drawing its own random numbers from the request's seed.
pub(crate) fn repeated(request: &GenerateRequest, n: usize) -> Vec<GenerateRequest> {
    let lanes = (0..).take(n);
    lanes.map(|lane| GenerateRequest { lane, ..request.clone() }).collect()
}
