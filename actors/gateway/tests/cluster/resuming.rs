//! Callers whose gateway is lost, and who go on at another node.

use std::time::Duration;

use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tonic::Code;
use understudy_agents::{Client, ClientError, Events, Heard};
use understudy_backend::RequestCtx;
use understudy_proto::v1::{GenerateEvent, GenerateRequest, ResumeRequest, generate_event::Event};

use crate::{
    SOON, ask,
    process::{Kind, Process, joined},
    read,
    town::{Citizen, model},
};

const TOKENS: u32 = 200;

pub fn request(model: &str, id: &str) -> GenerateRequest {
    let request_id = id.to_owned();
    GenerateRequest {
        model: model.into(),
        request_id,
        max_tokens: Some(TOKENS),
        ..ask("tell me the alphabet")
    }
}

/// Reads on. Each event has the next place, and nothing is withdrawn.
async fn follow(heard: &mut Heard, mut events: Events<GenerateEvent>) -> Result<(), ClientError> {
    while let Some(event) = events.next().await {
        let event = event?;
        assert_eq!(event.sequence, heard.sequence() + 1);
        assert!(!matches!(event.event, Some(Event::Retracted(_))), "{event:?}");
        heard.follow(&event);
    }
    Ok(())
}

/// Asks, and reads until there is no more.
pub async fn lost(client: Client, request: GenerateRequest) -> (Heard, ClientError, Instant) {
    let mut heard = Heard::default();
    let events = client.generate(request, 2 * SOON).await.unwrap();
    let error = follow(&mut heard, events).await.expect_err("the gateway was killed");
    (heard, error, Instant::now())
}

/// Goes on by id and place alone, as long as the record reaches that far; else with the text.
pub async fn go_on(client: &Client, mut heard: Heard) -> (String, bool) {
    let by_place = ResumeRequest { text: None, ..heard.resume() };
    let (events, lagged) = match client.resume(by_place, 2 * SOON).await {
        Ok(events) => (events, false),
        Err(error) => {
            assert_eq!((error.code.as_str(), error.status), ("RESUME_GAP", Code::Aborted));
            (client.resume(heard.resume(), 2 * SOON).await.unwrap(), true)
        }
    };
    follow(&mut heard, events).await.unwrap();
    assert!(heard.is_over());
    (heard.text().to_owned(), lagged)
}

/// Answers at the first of `nodes` whose gateway is killed amid them; goes on at each of `others` in turn.
async fn goes_on(nodes: &mut [Process], others: &[usize], name: &str) {
    let (whole, _) = read(nodes[0].client.generate(request(name, "whole"), SOON).await.unwrap()).await;
    assert_eq!(whole.len(), TOKENS as usize);
    let answers: Vec<_> = (0..8)
        .map(|n| tokio::spawn(lost(nodes[0].client.clone(), request(name, &format!("lost-{n}")))))
        .collect();
    tokio::time::sleep(Duration::from_millis(700)).await;
    if let [_, victim, _] = nodes
        && !others.contains(&1)
    {
        victim.kill();
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let killed = Instant::now();
    nodes[0].kill();
    let mut resumed = Vec::new();
    for (n, answer) in answers.into_iter().enumerate() {
        let (heard, error, at) = answer.await.unwrap();
        assert_eq!(
            (error.code.as_str(), error.status),
            ("SERVER_UNREACHABLE", Code::Unavailable),
            "{error:?}"
        );
        let noticed = at.saturating_duration_since(killed);
        assert!(noticed < Duration::from_secs(1), "{noticed:?}");
        let had = heard.text().len();
        assert!((1..TOKENS as usize).contains(&had), "it was killed amid the answer: {had}");
        println!("noticed after {noticed:?}, had {had} bytes");
        let other = nodes[others[n % others.len()]].client.clone();
        resumed.push(tokio::spawn(async move { go_on(&other, heard).await }));
    }
    for answer in resumed {
        let (text, lagged) = answer.await.unwrap();
        println!("lagged: {lagged}");
        assert_eq!(text, whole);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_gateway_is_killed_goes_on_at_any_other_node() {
    let folder = tempfile::tempdir().unwrap();
    let name = model(folder.path(), "m.gguf");
    let kind = Kind { tick_ms: 10, sequences: 32, models: vec![name.clone()] };
    let mut nodes = joined(folder.path(), 3, &kind).await;
    goes_on(&mut nodes, &[1, 2], &name).await;
}

/// One of the two others is the witness: once it is killed before the gateway, and once it stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_witness_is_replaced() {
    for victim in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let name = model(folder.path(), "m.gguf");
        let kind = Kind { tick_ms: 10, sequences: 32, models: vec![name.clone()] };
        let mut nodes = joined(folder.path(), 3, &kind).await;
        if victim == 2 {
            nodes.swap(1, 2);
        }
        goes_on(&mut nodes, &[2], &name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_known_and_ones_own_is_told_on() {
    let folder = tempfile::tempdir().unwrap();
    let name = model(folder.path(), "m.gguf");
    let models = std::slice::from_ref(&name);
    let (first, second) = (Citizen::settle(models).await, Citizen::settle(models).await);
    let resume = |id: &str, last_sequence, text: Option<&str>| ResumeRequest {
        request_id: id.into(),
        last_sequence,
        text: text.map(str::to_owned),
    };
    let refused = async |node: &Citizen, asked: ResumeRequest| match node.client.resume(asked, SOON).await {
        Ok(events) => panic!("it was answered: {:?}", read(events).await),
        Err(error) => (error.code, error.status),
    };
    let unknown = || ("REQUEST_UNKNOWN".to_owned(), Code::NotFound);
    assert_eq!(refused(&first, resume("a", 0, None)).await, unknown(), "it is in no cluster");
    first.found().await;
    first.admit(&second).await;
    first.sees(1).await;
    second.sees(1).await;

    let scripts = || first.scripts.iter().chain(&second.scripts);
    scripts().for_each(|script| script.tick_time(Duration::from_millis(2)));
    let mut events = first.client.generate(request(&name, "a"), SOON).await.unwrap();
    let (mut whole, mut had) = (Heard::default(), Heard::default());
    while let Some(event) = events.next().await {
        whole.follow(&event.unwrap());
        if had.text().len() < 60 {
            had = whole.clone();
        }
    }
    let whole = whole.text();
    assert!((60..150).contains(&had.text().len()));
    // An answer that has ended is known for a minute.
    let (rest, end) =
        read(second.client.resume(resume("a", had.sequence(), None), SOON).await.unwrap()).await;
    assert_eq!(end.unwrap().text, whole);
    assert_eq!(rest, whole[had.text().len()..]);
    let own = resume("a", had.sequence(), Some(&whole[..150]));
    let (rest, _) = read(second.client.resume(own, SOON).await.unwrap()).await;
    assert_eq!(rest, whole[150..], "the caller's own text counts");
    let gap = ("RESUME_GAP".to_owned(), Code::Aborted);
    assert_eq!(refused(&second, resume("a", 10_000, None)).await, gap);
    let mut events = second.client.resume(resume("a", 10_000, Some(whole)), SOON).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().sequence, 10_001);

    assert_eq!(refused(&second, resume("b", 0, None)).await, unknown());
    assert_eq!(refused(&second, resume("", 0, None)).await.0, "REQUEST_INVALID");
    let other = RequestCtx { tenant: "other".into(), ..RequestCtx::new("a").with_timeout(SOON) };
    let failure = second.node.inference().resume(other, resume("a", 0, None)).await.unwrap_err();
    assert_eq!(failure.code.name, "REQUEST_UNKNOWN", "it is another tenant's");

    let told = GenerateRequest { top_logprobs: Some(1), ..request(&name, "logprobs") };
    read(first.client.generate(told, SOON).await.unwrap()).await.1.unwrap();
    assert_eq!(refused(&first, resume("logprobs", 1, None)).await.0, "REQUEST_INVALID");
    second.node.drain().await;
    first.node.drain().await;
}
