//! Several answers to one call, read side by side.

use futures::{
    future::{BoxFuture, FutureExt as _, try_join_all},
    stream::{self, BoxStream, StreamExt as _},
};
use understudy_gateway::{Failure, Inference};
use understudy_proto::v1::GenerateRequest;

use crate::{
    call::Call,
    telling::{Said, Telling, Told},
};

/// Most answers to one call. Each takes a place of the node.
pub(crate) const MOST_ANSWERS: usize = 16;

/// Answers by their place in the call. Each begins and goes on by itself: none waits for another, which might have the
/// place that it needs.
pub(crate) struct Fan(Vec<BoxFuture<'static, Result<Telling, Failure>>>);

/// What all of them say, as it comes.
pub(crate) type Voices = BoxStream<'static, (usize, Result<Said, Failure>)>;

impl Fan {
    /// # Errors
    /// What is wrong with the call's metadata.
    pub(crate) fn of(
        call: &Call,
        inference: &Inference,
        requests: Vec<GenerateRequest>,
        deadline_ms: Option<u64>,
        explains: bool,
    ) -> Result<Self, Failure> {
        let mut begun = Vec::new();
        for (nth, request) in requests.into_iter().enumerate() {
            let ctx = call.context(inference, nth, deadline_ms)?;
            let (inference, trace) = (inference.clone(), call.trace.clone());
            begun.push(
                async move { Telling::begin(&inference, ctx, request, explains, &trace).await }.boxed(),
            );
        }
        Ok(Self(begun))
    }

    /// All of each.
    ///
    /// # Errors
    /// That of the first that is refused or fails; the others are cancelled.
    pub(crate) async fn whole(self) -> Result<Vec<Told>, Failure> {
        try_join_all(self.0.into_iter().map(async |begun| begun.await?.whole().await)).await
    }

    /// Each as it comes, from the first word of one of them on: what is wrong with a request is mostly known by then,
    /// and can be told by a status.
    ///
    /// # Errors
    /// Why there is no first word.
    pub(crate) async fn voices(self) -> Result<Voices, Failure> {
        let voice = |(nth, begun): (usize, BoxFuture<'static, Result<Telling, Failure>>)| {
            let said = begun.map(|begun| match begun {
                Ok(telling) => telling.into_stream().boxed(),
                Err(failure) => stream::iter([Err(failure)]).boxed(),
            });
            said.flatten_stream().map(move |said| (nth, said)).boxed()
        };
        let mut voices = stream::select_all(self.0.into_iter().enumerate().map(voice));
        match voices.next().await {
            Some((_, Err(failure))) => Err(failure),
            first => Ok(stream::iter(first).chain(voices).boxed()),
        }
    }
}

/// The same request `n` times, each drawing its own random numbers from the request's seed.
pub(crate) fn repeated(request: &GenerateRequest, n: usize) -> Vec<GenerateRequest> {
    let lanes = (0..).take(n);
    lanes.map(|lane| GenerateRequest { lane, ..request.clone() }).collect()
}
