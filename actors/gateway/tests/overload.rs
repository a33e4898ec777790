//! What a client of a busy node sees: turns, refusals, limits, and the end of answers that nobody reads.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use common::{Harness, SOON, ask_small, read, refusal, start, start_with};
use tokio_stream::StreamExt as _;
use tonic::{Status, transport::Endpoint};
use tonic_types::StatusExt as _;
use understudy_agents::{Client, ClientError};
use understudy_backend::fake::{FakeBackend, Reply};
use understudy_gateway::{Caller, Failure, admission::tenant::TenantLimits, codes};
use understudy_proto::{
    names,
    v1::{Finished, GenerateRequest, Priority, TokenizeRequest, inference_client::InferenceClient},
};

type Answered = tokio::task::JoinHandle<Result<Finished, ClientError>>;

fn at(priority: Priority, prompt: &str) -> GenerateRequest {
    GenerateRequest { priority: priority.into(), ..ask_small(prompt) }
}

/// Asks in a task of its own, and comes back when the request waits.
async fn waits(harness: &Harness, client: &Client, request: GenerateRequest) -> Answered {
    let before = waiting(harness);
    let client = client.clone();
    let answered = tokio::spawn(async move {
        let events = client.generate(request, SOON).await?;
        read(events).await.1
    });
    harness.within(SOON, "waiting", |harness| waiting(harness) > before).await;
    answered
}

fn waiting(harness: &Harness) -> usize {
    harness.node.admission().snapshot().waiting.iter().sum()
}

#[tokio::test]
async fn who_waits_goes_by_priority_and_is_told_how_long_it_was() {
    let harness = start("[limits]\nrunning = 1").await;
    let client = harness.client().await;
    let mut first = client.generate(ask_small("slow"), SOON).await.unwrap();
    first.next().await.unwrap().unwrap();
    let batch = waits(&harness, &client, at(Priority::Batch, "slow")).await;
    let person = waits(&harness, &client, at(Priority::Interactive, "2+2")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(first);
    assert_eq!(person.await.unwrap().unwrap().text, "4");
    assert!(!batch.is_finished(), "batch takes ten seconds more");
    batch.abort();
    harness.within(SOON, "leaving", |harness| harness.node.in_flight() == 0).await;

    let address = format!("http://{}", harness.addresses.grpc);
    let mut client = InferenceClient::connect(address).await.unwrap();
    let answer = client.generate(ask_small("2+2")).await.unwrap();
    let queued: u64 =
        answer.metadata().get(names::QUEUED_METADATA).unwrap().to_str().unwrap().parse().unwrap();
    assert!(queued < 1_000_000, "{queued} us");
}

#[tokio::test]
async fn a_hopeless_wait_is_refused_at_once_and_a_wait_ends_at_its_deadline() {
    let harness = start("[limits]\nrunning = 1").await;
    let client = harness.client().await;
    let mut first = client.generate(ask_small("slow"), SOON).await.unwrap();
    first.next().await.unwrap().unwrap();
    // How long a place is held is not known yet.
    let begun = Instant::now();
    let error = client.generate(ask_small("2+2"), Duration::from_millis(800)).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.status), ("DEADLINE", tonic::Code::DeadlineExceeded), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(first);
    harness.within(SOON, "freeing the place", |h| h.node.in_flight() == 0).await;

    let mut second = client.generate(ask_small("slow"), SOON).await.unwrap();
    second.next().await.unwrap().unwrap();
    let begun = Instant::now();
    let error = client.generate(ask_small("2+2"), Duration::from_millis(300)).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.metadata["reason"].as_str()), ("OVERLOADED", "wait"), "{error:?}");
    assert!(error.retry_after.unwrap() > Duration::from_millis(500), "{:?}", error.retry_after);
    assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_full_queue_lets_batch_go_for_a_person() {
    let harness = start("[limits]\nrunning = 1\nmax_requests = 2").await;
    let client = harness.client().await;
    let mut first = client.generate(at(Priority::Batch, "slow"), SOON).await.unwrap();
    first.next().await.unwrap().unwrap();
    let batch = waits(&harness, &client, at(Priority::Batch, "2+2")).await;
    let error = refusal(&client, at(Priority::Batch, "2+2")).await;
    assert_eq!((error.code.as_str(), error.metadata["reason"].as_str()), ("OVERLOADED", "full"));
    let other = client.clone();
    let person =
        tokio::spawn(async move { other.generate(at(Priority::Interactive, "2+2"), SOON).await.unwrap() });
    let error = batch.await.unwrap().unwrap_err();
    assert_eq!((error.code.as_str(), error.metadata["reason"].as_str()), ("OVERLOADED", "displaced"));
    assert!(error.retry_after.is_some());
    drop(first);
    assert_eq!(read(person.await.unwrap()).await.0, "4");
}

#[tokio::test]
async fn a_waiting_request_hears_at_once_that_the_node_drains() {
    let harness = start("[limits]\nrunning = 1\n[timeouts]\ndrain_ms = 3000").await;
    let client = harness.client().await;
    let request = GenerateRequest { max_tokens: Some(8), ..ask_small("slow") };
    let mut first = client.generate(request, SOON).await.unwrap();
    first.next().await.unwrap().unwrap();
    let waiting = waits(&harness, &client, ask_small("2+2")).await;
    let node = harness.node.clone();
    let draining = tokio::spawn(async move { node.drain().await });
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!((error.code.as_str(), error.status), ("DRAINING", tonic::Code::Unavailable));
    assert!(error.retry_after.is_some() && !draining.is_finished());
    assert_eq!(read(first).await.1.unwrap().finish_reason, "length", "what runs is finished");
    assert_eq!(draining.await.unwrap(), 0);
}

#[tokio::test]
async fn a_tenant_beyond_its_limits_hears_which_and_when_to_come_back() {
    let harness = start("").await;
    let inference = harness.node.inference();
    let limits = TenantLimits {
        requests_per_minute: Some(30),
        burst: 3,
        concurrency: Some(2),
        ..TenantLimits::default()
    };
    let caller = Caller { tenant: "a".into(), limits, ..Caller::default() };
    let tokenize = async |caller: &Caller| {
        let mut ctx = inference.context(&HeaderMap::new(), caller)?;
        inference.tokenize(&mut ctx, TokenizeRequest { text: "x".into(), ..Default::default() }).await
    };
    let slow = || inference.context(&HeaderMap::new(), &caller).unwrap();
    let answers = (
        inference.generate(slow(), ask_small("slow")).await.unwrap(),
        inference.generate(slow(), ask_small("slow")).await.unwrap(),
    );
    let refused = tokenize(&caller).await.unwrap_err();
    assert_eq!(limit(refused), ("2 requests at the same time".into(), Some(Duration::from_millis(500))));
    drop(answers);
    harness.within(SOON, "freeing the places", |h| h.node.in_flight() == 0).await;
    tokenize(&caller).await.unwrap();
    let (limit, retry) = limit(tokenize(&caller).await.unwrap_err());
    assert_eq!(limit, "30 requests per minute");
    assert!(retry.unwrap() <= Duration::from_secs(2) && retry.unwrap() > Duration::from_millis(500));
    for other in [Caller::default(), Caller { tenant: "b".into(), ..caller.clone() }] {
        tokenize(&other).await.unwrap();
    }
    assert_eq!(harness.node.admission().snapshot().refused, 2);
}

/// What its status says of the limit, and the time to try again.
fn limit(failure: Failure) -> (String, Option<Duration>) {
    assert_eq!(failure.code, codes::TENANT_LIMIT);
    let status = Status::from(failure);
    assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    let details = status.get_error_details();
    let violation = &details.quota_failure().unwrap().violations[0];
    assert_eq!(violation.subject, "tenant:a");
    (violation.description.clone(), details.retry_info().unwrap().retry_delay)
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_parked_then_cut_and_says_so() {
    let endless = FakeBackend::new("small").when("much", Reply::text("x".repeat(30_000))).context(40_000);
    let harness = start_with("[timeouts]\nslow_reader_ms = 700", endless).await;
    // Windows that hold a small part of it.
    let endpoint = Endpoint::from_shared(format!("http://{}", harness.addresses.grpc)).unwrap();
    let endpoint = endpoint.initial_stream_window_size(16_384).initial_connection_window_size(5 << 20);
    let mut client = InferenceClient::new(endpoint.connect().await.unwrap());
    let request = GenerateRequest { max_tokens: Some(30_000), ..ask_small("much") };
    let mut events = client.generate(request).await.unwrap().into_inner();
    let begun = Instant::now();
    harness.within(SOON, "cutting", |h| h.node.in_flight() == 0 && h.small.open_sequences() == 0).await;
    let took = begun.elapsed();
    let mut read = 0;
    let status = loop {
        match events.message().await {
            Ok(event) => read += usize::from(event.is_some()),
            Err(status) => break status,
        }
    };
    let error = ClientError::from(status);
    assert_eq!((error.code.as_str(), error.status), ("SLOW_READER", tonic::Code::Aborted), "{error:?}");
    assert!(took > Duration::from_millis(700), "{took:?}");
    assert!(read > 100 && read < 10_000, "{read} events");
}

#[tokio::test]
async fn a_reader_in_this_process_who_does_not_come_is_cut_too() {
    let harness = start("[timeouts]\nslow_reader_ms = 200").await;
    let ctx = understudy_backend::RequestCtx::new("idle");
    let mut answer = harness.node.inference().generate(ctx, ask_small("slow")).await.unwrap();
    harness.within(SOON, "cutting", |h| h.node.in_flight() == 0 && h.small.open_sequences() == 0).await;
    assert_eq!(answer.next().await.unwrap().unwrap_err().code, codes::SLOW_READER);
    assert!(answer.next().await.is_none());
}
