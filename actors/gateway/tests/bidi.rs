//! A steered conversation over a real connection.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::time::{Duration, Instant};

use common::{Harness, SOON, ask_small, event_of, start, start_with};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use understudy_backend::fake::{FakeBackend, Reply};
use understudy_proto::v1::{
    CancelAnswer, Finished, GenerateCommand, GenerateEvent, GenerateRequest, Tool, ToolChoice, ToolResult,
    generate_command::Command, generate_event::Event, inference_client::InferenceClient,
};

/// Both directions of one call.
struct Call {
    commands: mpsc::Sender<GenerateCommand>,
    events: Streaming<GenerateEvent>,
}

impl Call {
    async fn open(harness: &Harness, timeout: Duration) -> Self {
        let address = format!("http://{}", harness.addresses.grpc);
        let mut client = InferenceClient::connect(address).await.unwrap();
        let (commands, outgoing) = mpsc::channel(8);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        request.set_timeout(timeout);
        let events = client.generate_bidi(request).await.unwrap().into_inner();
        Self { commands, events }
    }

    async fn say(&self, command: Command) {
        self.commands.send(GenerateCommand { command: Some(command) }).await.unwrap();
    }

    async fn next(&mut self) -> Result<Option<Event>, Status> {
        let event = tokio::time::timeout(SOON, self.events.message()).await.expect("the call hangs");
        Ok(event?.map(event_of))
    }

    /// The text shown on the way, and the end.
    async fn finished(&mut self) -> Result<(String, Finished), Status> {
        let mut shown = String::new();
        loop {
            match self.next().await?.expect("an end") {
                Event::Delta(delta) => shown.push_str(&delta.text),
                Event::Finished(finished) => return Ok((shown, finished)),
                _ => {}
            }
        }
    }
}

fn result(id: &str) -> Command {
    Command::ToolResult(ToolResult { tool_call_id: id.into(), content: "7".into() })
}

#[tokio::test]
async fn one_answer_ends_the_call() {
    let harness = start("").await;
    let mut call = Call::open(&harness, SOON).await;
    call.say(Command::Start(ask_small("2+2"))).await;
    let (shown, finished) = call.finished().await.unwrap();
    assert_eq!((shown.as_str(), finished.text.as_str()), ("4", "4"));
    assert!(call.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_result_leads_to_the_next_answer() {
    let wish = "<tool_call>\n{\"name\": \"find\", \"arguments\": {}}\n</tool_call>";
    let small =
        FakeBackend::new("small").when("look", Reply::text(wish)).when("<tool>7\n", Reply::text("It is 7."));
    let harness = start_with("", small).await;
    let mut call = Call::open(&harness, SOON).await;
    let tools = vec![Tool { name: "find".into(), ..Default::default() }];
    let tool_choice = ToolChoice::Required.into();
    call.say(Command::Start(GenerateRequest { tools, tool_choice, ..ask_small("look") })).await;
    let (_, finished) = call.finished().await.unwrap();
    assert_eq!((finished.finish_reason.as_str(), finished.tool_calls.len()), ("tool_calls", 1));
    call.say(result(&finished.tool_calls[0].id)).await;
    assert_eq!(call.finished().await.unwrap().1.text, "It is 7.");
    assert!(call.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_cancelled_answer_keeps_its_text() {
    let harness = start("").await;
    let mut call = Call::open(&harness, SOON).await;
    call.say(Command::Start(ask_small("slow"))).await;
    while !matches!(call.next().await.unwrap(), Some(Event::Delta(_))) {}
    let begun = Instant::now();
    call.say(Command::Cancel(CancelAnswer {})).await;
    let (_, finished) = call.finished().await.unwrap();
    assert_eq!(finished.finish_reason, "cancelled");
    assert!(!finished.text.is_empty() && finished.text.len() < 100, "{:?}", finished.text);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(call.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_caller_that_closes_its_side_still_gets_the_answer() {
    let harness = start("").await;
    let Call { commands, events } = Call::open(&harness, SOON).await;
    commands.send(GenerateCommand { command: Some(Command::Start(ask_small("2+2"))) }).await.unwrap();
    drop(commands);
    let mut call = Call { commands: mpsc::channel(1).0, events };
    assert_eq!(call.finished().await.unwrap().1.text, "4");
    assert!(call.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_caller_that_leaves_frees_its_place() {
    let harness = start("").await;
    let mut call = Call::open(&harness, SOON).await;
    call.say(Command::Start(ask_small("slow"))).await;
    while !matches!(call.next().await.unwrap(), Some(Event::Delta(_))) {}
    drop(call);
    harness.within(Duration::from_secs(2), "leaving", |harness| harness.node.in_flight() == 0).await;
}

#[tokio::test]
async fn commands_at_the_wrong_time_are_refused() {
    let wrong: [(&str, &[Command]); 5] = [
        ("a result before anything", &[result("call_x")]),
        ("a cancellation before anything", &[Command::Cancel(CancelAnswer {})]),
        ("a second start", &[Command::Start(ask_small("slow")), Command::Start(ask_small("2+2"))]),
        ("a result of no call", &[Command::Start(ask_small("slow")), result("call_x")]),
        ("an empty prompt", &[Command::Start(GenerateRequest::default())]),
    ];
    let harness = start("").await;
    for (what, commands) in wrong {
        let mut call = Call::open(&harness, SOON).await;
        for command in commands {
            call.say(command.clone()).await;
        }
        let status = call.finished().await.expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
    }
    let mut call = Call::open(&harness, SOON).await;
    call.commands.send(GenerateCommand { command: None }).await.unwrap();
    assert_eq!(call.finished().await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_silent_caller_runs_into_its_deadline() {
    let harness = start("").await;
    let mut call = Call::open(&harness, Duration::from_millis(300)).await;
    let status = call.next().await.expect_err("silence");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}
