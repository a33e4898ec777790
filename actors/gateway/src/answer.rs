//! One answer on its way to its reader.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{
    FutureExt as _,
    stream::{self, BoxStream, Stream, StreamExt as _},
};
use understudy_proto::v1::{self, GenerateEvent, generate_event::Event};
use understudy_router::{AnswerEvent, RouterError};
use understudy_telemetry::Observation;

use crate::{
    Failure,
    admission::{Cut, Place, Seat},
    codes,
    meter::Metered,
    notes::Note,
    partials::Partials,
    resume::course::Course,
    tools::{self, Callable},
    wire,
};

/// One answer, event by event. Dropping it cancels the request. A reader who takes nothing for `timeouts.slow_reader_ms`
/// finds `SLOW_READER` in place of the rest.
#[derive(Debug)]
pub struct Answer {
    seat: Arc<Seat>,
    waited: Duration,
    traceparent: String,
    /// None after the last event or an error.
    place: Option<Place>,
}

impl Answer {
    pub(crate) fn new(telling: Telling, place: Place) -> Self {
        let traceparent = telling.observation.traceparent().to_owned();
        let seat = place.serve(telling.into_stream());
        Self { seat, waited: place.waited(), traceparent, place: Some(place) }
    }

    /// The header `traceparent` that names this request in its trace, for the answer's own headers.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// How long the request waited for its place.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The next event; `None` after the last one or after an error.
    pub async fn next(&mut self) -> Option<Result<GenerateEvent, Failure>> {
        let asking = Asking(self);
        std::future::poll_fn(|cx| asking.0.poll(cx)).await
    }

    /// The events as a stream; an answer is one itself.
    pub fn into_stream(self) -> impl Stream<Item = Result<GenerateEvent, Failure>> + Send + 'static {
        self
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<GenerateEvent, Failure>>> {
        if self.place.is_none() {
            return Poll::Ready(None);
        }
        let event = match ready!(self.seat.poll_next(cx)) {
            Some(event) => event,
            None => Err(Failure::new(codes::INTERNAL, "the answer ended without its last event")),
        };
        let event = event.map_err(|failure| explained(failure, self.seat.cut()));
        let more = matches!(&event, Ok(GenerateEvent { event: Some(event), .. }) if !matches!(event, Event::Finished(_)));
        if !more {
            // The place is free before the transport has said goodbye.
            self.place = None;
            self.seat.clear();
        }
        Poll::Ready(Some(event))
    }
}

impl Stream for Answer {
    type Item = Result<GenerateEvent, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

/// A reader who stops asking is as absent as one who does not come back.
struct Asking<'a>(&'a mut Answer);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.seat.left();
    }
}

/// Whoever was cut should hear why.
fn explained(failure: Failure, cut: Option<Cut>) -> Failure {
    match cut {
        Some(Cut::Drained) if failure.code == codes::CANCELLED => {
            Failure::new(codes::DRAINING, "the node stopped before the answer was complete")
        }
        Some(Cut::SlowReader(patience)) => {
            let message = format!("nothing of the answer was read for {} ms", patience.as_millis());
            Failure::new(codes::SLOW_READER, message)
        }
        Some(Cut::Overdue) => {
            Failure::new(codes::DEADLINE, "the rest of the answer was not read before the deadline")
        }
        _ => failure,
    }
}

/// What an answer is told from: the router's events, noted, with the values of a text in between.
pub(crate) struct Telling {
    /// Dropped before the end, they charge what the request took until it stopped.
    events: Metered,
    /// Its entry, if the node keeps a ledger.
    note: Option<Box<Note>>,
    /// Its metrics and its trace. Dropped before the end, it counts the request as abandoned.
    observation: Box<Observation>,
    /// Values of the text so far, if they are wanted.
    partials: Option<Partials>,
    /// Its request, if the answer may have calls.
    callable: Option<Callable>,
    course: Course,
    /// An event that waits for the last of them.
    held: Option<Result<AnswerEvent, RouterError>>,
}

/// What comes next in an answer.
enum Step {
    Event(Option<Result<AnswerEvent, RouterError>>),
    /// The value of its text.
    Value(v1::Partial),
}

impl Telling {
    pub(crate) fn new(
        events: Metered,
        note: Option<Box<Note>>,
        observation: Box<Observation>,
        partials: Option<Partials>,
        callable: Option<Callable>,
        course: Course,
    ) -> Self {
        Self { events, note, observation, partials, callable, course, held: None }
    }

    fn into_stream(self) -> BoxStream<'static, Result<GenerateEvent, Failure>> {
        stream::unfold(self, async |mut telling| telling.next().await.map(|event| (event, telling))).boxed()
    }

    async fn next(&mut self) -> Option<Result<GenerateEvent, Failure>> {
        loop {
            if let Some(event) = self.course.next() {
                return Some(Ok(event));
            }
            match self.written().await? {
                Ok(event) => self.course.take(event),
                Err(failure) => return Some(Err(failure)),
            }
        }
    }

    /// What the answer goes on with, whether its reader has it already or not.
    async fn written(&mut self) -> Option<Result<Event, Failure>> {
        Some(match self.step().await {
            Step::Value(partial) => Ok(Event::Partial(partial)),
            Step::Event(event) => match event? {
                Ok(event) => {
                    self.note.iter_mut().for_each(|note| note.follow(&event));
                    self.observation.follow(&event);
                    let mut event = wire::generate_event(event);
                    if let (Event::Finished(end), Some(asked)) = (&mut event, &self.callable) {
                        tools::conclude(asked, end);
                    }
                    Ok(event)
                }
                Err(error) => {
                    let failure = Failure::from(error);
                    self.observation.fail(failure.code.name);
                    Err(failure)
                }
            },
        })
    }

    /// The router's next event; before it, if there is time or it is the last, news of the value.
    async fn step(&mut self) -> Step {
        if let Some(held) = self.held.take() {
            return Step::Event(Some(held));
        }
        let Some(partials) = &mut self.partials else { return Step::Event(self.events.next().await) };
        let waiting = self.events.next().now_or_never();
        let event = match waiting {
            Some(event) => event,
            None => match partials.news() {
                Some(news) => return Step::Value(news),
                None => self.events.next().await,
            },
        };
        if let Some(Ok(event)) = &event {
            partials.follow(event);
        }
        if let Some(Ok(AnswerEvent::Finished(_))) = &event
            && let Some(news) = partials.news()
        {
            self.held = event;
            return Step::Value(news);
        }
        Step::Event(event)
    }
}
