//! The value of a JSON answer while it is being written, as a client sees it.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::time::Duration;

use common::{Harness, SOON, ask, ask_small, event_of, refusal, start_with};
use tokio_stream::StreamExt as _;
use understudy_backend::fake::{FakeBackend, Reply};
use understudy_proto::v1::{
    Constraint, GenerateEvent, GenerateRequest, JsonSchema, Protobuf, Sql, constraint::Kind,
    generate_event::Event,
};

const CITY: &str = r#"{"name":"Paris","tags":["a","b"],"inhabitants":2100000}"#;

fn constraint(schema: &str) -> Constraint {
    Constraint { kind: Some(Kind::JsonSchema(JsonSchema { schema: schema.into(), ..Default::default() })) }
}

fn schema() -> Constraint {
    constraint(
        r#"{"type": "object", "properties": {"name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}}, "inhabitants": {"type": "integer"}},
        "required": ["name", "tags", "inhabitants"], "additionalProperties": false}"#,
    )
}

fn partially(request: GenerateRequest) -> GenerateRequest {
    GenerateRequest { constraint: Some(schema()), stream_partial: true, ..request }
}

/// `small` says the city, a byte at a time.
async fn city(pause: Duration) -> Harness {
    start_with("", FakeBackend::new("small").when("city", Reply::text(CITY).token_delay(pause))).await
}

/// All events, read as soon as they come.
async fn events_of(harness: &Harness, request: GenerateRequest) -> Vec<Event> {
    let events = harness.client().await.generate(request, SOON).await.unwrap();
    let events: Vec<Result<GenerateEvent, _>> = events.collect().await;
    events.into_iter().map(|event| event_of(event.unwrap())).collect()
}

#[tokio::test]
async fn each_value_is_whole_and_no_larger_than_its_text() {
    let harness = city(Duration::from_millis(3)).await;
    let events = events_of(&harness, partially(ask_small("city"))).await;
    let (mut text, mut values) = (String::new(), Vec::new());
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Delta(delta) => text.push_str(&delta.text),
            Event::Partial(partial) => {
                let value: serde_json::Value = serde_json::from_str(&partial.json).unwrap();
                assert!(matches!(events[at - 1], Event::Delta(_)), "at most one for a piece of text");
                if let Some(name) = value.get("name").and_then(|name| name.as_str()) {
                    assert!(text.contains(name), "{name} before {text}");
                }
                if let Some(open) = &partial.open {
                    assert!(value.pointer(open).is_some(), "{open} in {value}");
                }
                values.push(partial.clone());
            }
            _ => {}
        }
    }
    assert!(values.windows(2).all(|two| two[0] != two[1]), "{values:?}");
    let of = |json: &str| values.iter().find(|value| value.json == json);
    assert_eq!(of(r#"{"name":"Par"}"#).and_then(|value| value.open.as_deref()), Some("/name"));
    assert_eq!(
        of(r#"{"name":"Paris","tags":["a"]}"#).and_then(|value| value.open.as_deref()),
        Some("/tags/0")
    );
    let last = values.last().unwrap();
    assert_eq!((last.json.as_str(), &last.open), (CITY, &None));
    assert!(matches!(events.last(), Some(Event::Finished(end)) if end.text == CITY));
}

/// A number may go on as long as the answer does: it is there with the end.
#[tokio::test]
async fn a_number_is_known_when_the_answer_ends() {
    let harness = start_with("", FakeBackend::new("small").when("count", Reply::text("120"))).await;
    let constraint = Some(constraint(r#"{"type": "integer"}"#));
    let request = GenerateRequest { constraint, stream_partial: true, ..ask_small("count") };
    let events = events_of(&harness, request).await;
    let is_value = |event: &&Event| matches!(event, Event::Partial(_));
    let values: Vec<&Event> = events.iter().filter(is_value).collect();
    assert!(
        matches!(values[..], [Event::Partial(only)] if only.json == "120" && only.open.is_none()),
        "{values:?}"
    );
}

#[tokio::test]
async fn who_lags_skips_values_but_neither_text_nor_the_last_value() {
    let harness = city(Duration::ZERO).await;
    let mut answer = {
        let ctx = understudy_backend::RequestCtx::new("slow");
        harness.node.inference().generate(ctx, partially(ask_small("city"))).await.unwrap()
    };
    // The whole answer waits before the first of it is taken.
    harness.within(SOON, "the answer", |harness| harness.small.open_sequences() > 0).await;
    harness.within(SOON, "the answer", |harness| harness.small.open_sequences() == 0).await;
    let (mut text, mut values) = (String::new(), Vec::new());
    while let Some(event) = answer.next().await {
        match event_of(event.unwrap()) {
            Event::Delta(delta) => text.push_str(&delta.text),
            Event::Partial(partial) => values.push(partial.json),
            _ => {}
        }
    }
    assert_eq!((text.as_str(), values.as_slice()), (CITY, &[CITY.to_owned()][..]));
}

#[tokio::test]
async fn a_better_model_begins_its_value_anew() {
    let unsure = Reply::text(CITY).logprob(-3.0).signals(3.0, 0.05).token_delay(Duration::from_millis(3));
    let harness = start_with("", FakeBackend::new("small").when("unsure", unsure)).await;
    let events = events_of(&harness, partially(ask("unsure"))).await;
    let retracted = events.iter().position(|event| matches!(event, Event::Retracted(_))).unwrap();
    let values = |events: &[Event]| {
        let value = |event: &Event| match event {
            Event::Partial(partial) => Some(partial.json.clone()),
            _ => None,
        };
        events.iter().filter_map(value).collect::<Vec<_>>()
    };
    let (before, after) = (values(&events[..retracted]), values(&events[retracted..]));
    assert!(before.last().is_some_and(|value| value.starts_with(r#"{"name":"Par"#)), "{before:?}");
    let Some(Event::Finished(end)) = events.last() else { panic!("not finished") };
    assert_eq!(end.model, "large");
    let last: serde_json::Value = serde_json::from_str(after.last().unwrap()).unwrap();
    assert_eq!(last, serde_json::from_str::<serde_json::Value>(&end.text).unwrap());
}

#[tokio::test]
async fn nobody_hears_of_values_who_did_not_ask() {
    let harness = city(Duration::from_millis(1)).await;
    let request = GenerateRequest { stream_partial: false, ..partially(ask_small("city")) };
    let events = events_of(&harness, request).await;
    assert!(!events.iter().any(|event| matches!(event, Event::Partial(_))));
}

#[tokio::test]
async fn only_json_has_values() {
    let harness = city(Duration::ZERO).await;
    let client = harness.client().await;
    let message = Protobuf {
        files: [("m.proto".into(), "syntax = \"proto3\"; message M { int32 n = 1; }".into())].into(),
        message: "M".into(),
        ..Default::default()
    };
    let sql = Sql { schema: "create table t (a int)".into(), ..Default::default() };
    for kind in [Some(Kind::Sql(sql)), Some(Kind::Protobuf(message.clone())), None] {
        let constraint = kind.map(|kind| Constraint { kind: Some(kind) });
        let error = refusal(&client, GenerateRequest { constraint, ..partially(ask_small("city")) }).await;
        assert_eq!((error.code.as_str(), error.fields[0].0.as_str()), ("REQUEST_INVALID", "stream_partial"));
    }
    let kind = Some(Kind::Protobuf(Protobuf { json: true, ..message }));
    let request = GenerateRequest { constraint: Some(Constraint { kind }), ..partially(ask_small("city")) };
    let events = events_of(&harness, request).await;
    assert!(events.iter().any(|event| matches!(event, Event::Partial(_))), "{events:?}");
}
