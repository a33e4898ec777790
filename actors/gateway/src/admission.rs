//! How many requests a node holds, and how they end.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};
use understudy_backend::RequestCtx;

use crate::{Failure, codes, failure::RETRY_SOON};

/// A request is cut this long after its deadline. Policies end it *at* the deadline; this
/// frees the place of one whose reader takes nothing and so keeps its last events from going out.
const OVERTIME: Duration = Duration::from_secs(2);

/// Lets a bounded number of requests in, none while the node drains. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admission {
    places: Arc<Semaphore>,
    capacity: usize,
    draining: CancellationToken,
    cut: CancellationToken,
}

/// A request's place. Dropping it ends the request: its cancel token fires and the place
/// is free.
#[derive(Debug)]
pub struct Place {
    _ends_request: DropGuard,
}

impl Admission {
    /// `capacity` requests; one more is refused with `OVERLOADED`, none waits here.
    pub fn new(capacity: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// A place for this request.
    ///
    /// # Errors
    /// `DRAINING`, or `OVERLOADED` with a time to try again.
    pub fn enter(&self, ctx: &RequestCtx) -> Result<Place, Failure> {
        if self.draining.is_cancelled() {
            return Err(Failure::new(codes::DRAINING, "the node is stopping").retry_after(RETRY_SOON));
        }
        let permit = self.places.clone().try_acquire_owned().map_err(|_| {
            let message = format!("{} requests are in flight already", self.capacity);
            Failure::new(codes::OVERLOADED, message).with("limit", self.capacity).retry_after(RETRY_SOON)
        })?;
        let (cancel, deadline, cut) = (ctx.cancel.clone(), ctx.deadline, self.cut.clone());
        let ends_request = cancel.clone().drop_guard();
        // The permit lives here and not in the response: a response stuck in a connection
        // that nobody reads keeps existing.
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = cut.cancelled() => cancel.cancel(),
                () = overdue(deadline) => cancel.cancel(),
            }
            drop(permit);
        });
        Ok(Place { _ends_request: ends_request })
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.capacity - self.places.available_permits()
    }

    /// No more requests come in.
    pub fn close(&self) {
        self.draining.cancel();
    }

    /// Fires when the node begins to drain.
    pub fn closed(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Waits until no request is left, but no longer than `patience`; then cancels the rest
    /// and waits until they are gone. Answers how many were cut.
    pub async fn drain(&self, patience: Duration) -> usize {
        self.close();
        let all = u32::try_from(self.capacity).unwrap_or(u32::MAX);
        if tokio::time::timeout(patience, self.places.acquire_many(all)).await.is_ok() {
            return 0;
        }
        let left = self.in_flight();
        self.cut.cancel();
        // Places are freed by the tasks of `enter`, which nothing can hold up.
        let _all_free = self.places.acquire_many(all).await;
        left
    }

    /// Whether the rest was cancelled because the node's patience ended.
    pub fn was_cut(&self) -> bool {
        self.cut.is_cancelled()
    }
}

async fn overdue(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline + OVERTIME).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_is_free_again_when_its_request_ends() {
        let admission = Admission::new(1);
        let first = RequestCtx::new("1");
        let place = admission.enter(&first).unwrap();
        let refused = admission.enter(&RequestCtx::new("2")).unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (codes::OVERLOADED, Some(RETRY_SOON)));
        drop(place);
        assert!(first.cancel.is_cancelled());
        tokio::task::yield_now().await;
        assert!(admission.enter(&RequestCtx::new("3")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_response_loses_its_place_after_the_deadline() {
        let admission = Admission::new(1);
        let ctx = RequestCtx::new("1").with_timeout(Duration::from_secs(1));
        let _stuck = admission.enter(&ctx).unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert!(ctx.cancel.is_cancelled());
        assert_eq!(admission.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_waits_then_cuts() {
        let admission = Admission::new(4);
        let (quick, slow) = (RequestCtx::new("quick"), RequestCtx::new("slow"));
        let (quick_place, _slow_place) = (admission.enter(&quick).unwrap(), admission.enter(&slow).unwrap());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(quick_place);
        });
        assert_eq!(admission.drain(Duration::from_secs(5)).await, 1);
        assert!(slow.cancel.is_cancelled());
        assert_eq!(admission.enter(&RequestCtx::new("late")).unwrap_err().code, codes::DRAINING);
    }
}
