//! Admission in paused time.

use futures::{StreamExt as _, stream};
use understudy_proto::v1::{Delta, GenerateEvent, generate_event::Event};

use super::*;
use crate::admission::tenant::TenantLimits;

const SECOND: Duration = Duration::from_secs(1);

fn admission(running: usize, requests: usize) -> Admission {
    let (longest_wait, slow_reader) = (30 * SECOND, 30 * SECOND);
    Admission::new(Capacity { running, requests, longest_wait, slow_reader })
}

fn request(name: &str, priority: Priority) -> RequestCtx {
    RequestCtx { priority, ..RequestCtx::new(name) }
}

/// Asks for a place in a task of its own, and lets everybody get as far as they can.
async fn asks(admission: &Admission, ctx: RequestCtx) -> tokio::task::JoinHandle<Result<Place, Failure>> {
    let admission = admission.clone();
    let asking = tokio::spawn(async move { admission.enter(&ctx).await });
    settled().await;
    asking
}

async fn settled() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_when_its_request_ends_and_goes_to_who_waits() {
    let admission = admission(1, 3);
    let first = RequestCtx::new("1");
    let place = admission.enter(&first).await.unwrap();
    let batch = asks(&admission, request("2", Priority::Batch)).await;
    let person = asks(&admission, request("3", Priority::Interactive)).await;
    assert_eq!((admission.snapshot().running, admission.snapshot().waiting), (1, [1, 0, 1]));

    tokio::time::advance(SECOND).await;
    drop(place);
    settled().await;
    assert!(first.cancel.is_cancelled());
    assert!(person.is_finished() && !batch.is_finished(), "a person goes first");
    let place = person.await.unwrap().unwrap();
    assert_eq!(place.waited(), SECOND);
    drop(place);
    batch.await.unwrap().unwrap();
    settled().await;
    assert_eq!(admission.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_node_refuses_with_a_time_to_retry_or_lets_the_worst_go() {
    let admission = admission(1, 2);
    let _place = admission.enter(&RequestCtx::new("1")).await.unwrap();
    let batch = asks(&admission, request("2", Priority::Batch)).await;
    let refused = admission.enter(&request("3", Priority::Batch)).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after), (codes::OVERLOADED, Some(SHORTEST_RETRY)));
    let _person = asks(&admission, request("4", Priority::Interactive)).await;
    let displaced = batch.await.unwrap().unwrap_err();
    assert_eq!((displaced.code, displaced.metadata["reason"].as_str()), (codes::OVERLOADED, "displaced"));
    assert_eq!(admission.snapshot().refused, 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_leaves_at_the_deadline_when_cancelled_and_after_the_longest_wait() {
    let admission = admission(1, 9);
    let _place = admission.enter(&RequestCtx::new("1")).await.unwrap();
    let cancelled = RequestCtx::new("cancelled");
    let waiting = [
        (asks(&admission, RequestCtx::new("2").with_timeout(5 * SECOND)).await, codes::DEADLINE, 5),
        (asks(&admission, RequestCtx::new("3")).await, codes::OVERLOADED, 30),
        (asks(&admission, cancelled.clone()).await, codes::CANCELLED, 30),
    ];
    let aborted = asks(&admission, RequestCtx::new("4")).await;
    assert_eq!(admission.snapshot().waiting, [4, 0, 0]);
    aborted.abort();
    settled().await;
    assert_eq!(admission.snapshot().waiting, [3, 0, 0], "a caller that left waits no more");
    cancelled.cancel.cancel();
    let begun = Instant::now();
    for (waiting, code, seconds) in waiting {
        assert_eq!(waiting.await.unwrap().unwrap_err().code, code);
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    assert_eq!(admission.snapshot().waiting, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_be_too_long_is_refused_before_it_begins() {
    let admission = admission(1, 9);
    let place = admission.enter(&RequestCtx::new("1")).await.unwrap();
    tokio::time::advance(4 * SECOND).await;
    drop(place);
    settled().await;
    let _place = admission.enter(&RequestCtx::new("2")).await.unwrap();
    let refused = admission.enter(&RequestCtx::new("3").with_timeout(SECOND)).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after), (codes::OVERLOADED, Some(4 * SECOND)));
    let patient = asks(&admission, RequestCtx::new("4").with_timeout(5 * SECOND)).await;
    assert!(!patient.is_finished());
    assert_eq!(admission.snapshot().expected_wait[0], 8 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_stuck_response_loses_its_place_after_the_deadline() {
    let admission = admission(1, 1);
    let ctx = RequestCtx::new("1").with_timeout(SECOND);
    let _stuck = admission.enter(&ctx).await.unwrap();
    tokio::time::sleep(4 * SECOND).await;
    assert!(ctx.cancel.is_cancelled());
    assert_eq!(admission.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_does_not_come_is_cut_and_one_who_waits_is_not() {
    let event = || Ok(GenerateEvent { event: Some(Event::Delta(Delta::default())), sequence: 1 });
    let admission = admission(2, 2);
    let (idle, waits) = (RequestCtx::new("idle"), RequestCtx::new("waits"));
    let idle_place = admission.enter(&idle).await.unwrap();
    let idle_seat = idle_place.serve(stream::repeat_with(event).boxed());
    let waits_place = admission.enter(&waits).await.unwrap();
    let waits_seat = waits_place.serve(stream::once(async move { event() }).chain(stream::pending()).boxed());
    let next = async |seat: &Seat| std::future::poll_fn(|cx| seat.poll_next(cx)).await;

    tokio::time::sleep(20 * SECOND).await;
    assert!(next(&idle_seat).await.is_some(), "it came after all");
    assert!(next(&waits_seat).await.is_some());
    let waiting = tokio::spawn(async move { std::future::poll_fn(|cx| waits_seat.poll_next(cx)).await });
    tokio::time::sleep(29 * SECOND).await;
    assert!(!idle.cancel.is_cancelled());
    tokio::time::sleep(2 * SECOND).await;
    assert!(idle.cancel.is_cancelled());
    assert_eq!(idle_seat.cut(), Some(Cut::SlowReader(30 * SECOND)));
    assert!(next(&idle_seat).await.is_none(), "what it left is gone");
    tokio::time::sleep(300 * SECOND).await;
    assert!(!waits.cancel.is_cancelled() && !waiting.is_finished());
    assert_eq!(admission.snapshot().running, 1);
}

#[tokio::test(start_paused = true)]
async fn tenants_have_limits_and_the_local_user_has_none() {
    let admission = admission(9, 99);
    let limits = TenantLimits {
        requests_per_minute: Some(60),
        burst: 2,
        concurrency: Some(2),
        ..TenantLimits::default()
    };
    admission.meet(&Caller { tenant: "a".into(), limits, ..Caller::default() });
    let of = |tenant: &str| RequestCtx { tenant: tenant.into(), ..RequestCtx::new("r") };
    let first = admission.enter(&of("a")).await.unwrap();
    let second = admission.visit(&of("a")).unwrap();
    let refused = admission.enter(&of("a")).await.unwrap_err();
    assert_eq!(refused.quota.as_ref().unwrap().description, "2 requests at the same time");
    drop((first, second));
    settled().await;
    let refused = admission.enter(&of("a")).await.unwrap_err();
    assert_eq!((refused.code, refused.retry_after), (codes::TENANT_LIMIT, Some(SECOND)));
    assert_eq!(refused.quota.unwrap().subject, "tenant:a");
    for tenant in ["", "", "", "b", "b", "b"] {
        admission.enter(&of(tenant)).await.unwrap();
    }
    tokio::time::advance(SECOND).await;
    admission.enter(&of("a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tenant_in_debt_of_tokens_waits_until_it_is_paid_off() {
    let admission = admission(9, 99);
    let limits = TenantLimits { tokens_per_minute: Some(60), ..TenantLimits::default() };
    admission.meet(&Caller { tenant: "a".into(), limits, ..Caller::default() });
    let of = |tenant: &str| RequestCtx { tenant: tenant.into(), ..RequestCtx::new("r") };
    let first = admission.enter(&of("a")).await.unwrap();
    admission.charge("a", 70);
    admission.charge("", 1000);
    let refused = admission.visit(&of("a")).unwrap_err();
    assert_eq!((refused.code, refused.retry_after), (codes::TENANT_LIMIT, Some(10 * SECOND)));
    assert_eq!(refused.metadata["limit"], "tokens_per_minute");
    assert_eq!(refused.quota.unwrap().description, "60 tokens per minute");
    drop(first);
    for tenant in ["", "b"] {
        admission.enter(&of(tenant)).await.unwrap();
    }
    tokio::time::advance(9 * SECOND).await;
    let refused = admission.enter(&of("a")).await.unwrap_err();
    assert_eq!(refused.retry_after, Some(SECOND), "a refusal takes nothing");
    tokio::time::advance(SECOND).await;
    admission.enter(&of("a")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn draining_refuses_who_waits_then_cuts_who_runs() {
    let admission = admission(2, 4);
    let (quick, slow) = (RequestCtx::new("quick"), RequestCtx::new("slow"));
    let quick_place = admission.enter(&quick).await.unwrap();
    let _slow_place = admission.enter(&slow).await.unwrap();
    let waiting = asks(&admission, RequestCtx::new("waits")).await;
    tokio::spawn(async move {
        tokio::time::sleep(SECOND).await;
        drop(quick_place);
    });
    let (cut, refused) = tokio::join!(admission.drain(5 * SECOND), async {
        let refused = waiting.await.unwrap().unwrap_err();
        (refused.code, refused.retry_after.is_some(), slow.cancel.is_cancelled())
    });
    assert_eq!(refused, (codes::DRAINING, true, false), "before the patience is over");
    assert_eq!((cut, slow.cancel.is_cancelled()), (1, true));
    assert_eq!(admission.enter(&RequestCtx::new("late")).await.unwrap_err().code, codes::DRAINING);
    assert_eq!(admission.visit(&RequestCtx::new("late")).unwrap_err().code, codes::DRAINING);
}
