//! The trace of a request at a collector.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind},
};
use tokio_stream::StreamExt as _;
use understudy_proto::v1::{
    Constraint, EmbedRequest, Finished, GenerateRequest, ScoreRequest, TokenizeRequest, Validator,
    constraint, generate_event::Event, inference_client::InferenceClient, validator,
};

use crate::collector::Collector;
use crate::common::{Harness, ask, start};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Over gRPC, as a caller that is traced; the answer's own header and its end.
async fn ask_as(harness: &Harness, traceparent: &str, request: GenerateRequest) -> (String, Finished) {
    let address = format!("http://{}", harness.addresses.grpc);
    let mut client = InferenceClient::connect(address).await.unwrap();
    let mut request = tonic::Request::new(request);
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    let response = client.generate(request).await.unwrap();
    let own = response.metadata().get("traceparent").unwrap().to_str().unwrap().to_owned();
    let mut events = response.into_inner();
    while let Some(event) = events.next().await {
        if let Some(Event::Finished(end)) = event.unwrap().event {
            return (own, end);
        }
    }
    panic!("the answer ended without its last event")
}

/// The first rung is unsure, a validator finds fault with it, and the second answers.
fn escalating() -> GenerateRequest {
    let certain = Constraint { kind: Some(constraint::Kind::Regex("certainly".into())) };
    let validator = Validator { kind: Some(validator::Kind::Matches(certain)) };
    GenerateRequest { validators: vec![validator], ..ask("unsure") }
}

fn exporting(protocol: &str, address: &str, more: &str) -> String {
    format!("[telemetry]\notlp_endpoint = {address:?}\notlp_protocol = {protocol:?}\n{more}\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: &AnyValue) -> String {
    match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::ArrayValue(array) => array.values.iter().map(text).collect::<Vec<_>>().join(","),
        other => format!("{other:?}"),
    }
}

fn all(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|pair| (pair.key.clone(), text(pair.value.as_ref().unwrap()))).collect()
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    all(&span.attributes)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_cascade_has_every_rung_with_the_costs_of_the_ledger() {
    for protocol in ["grpc", "http"] {
        let (collector, address) = Collector::listen(protocol).await;
        let harness = start(&exporting(protocol, &address, "service_name = \"mine\"")).await;
        let (own, end) = ask_as(&harness, CALLER, escalating()).await;
        harness.node.drain().await;

        let spans = collector.spans();
        let root = spans.iter().find(|span| span.kind == SpanKind::Server as i32).unwrap();
        assert_eq!(own, format!("00-{}-{}-01", hex(&root.trace_id), hex(&root.span_id)));
        assert_eq!(hex(&root.trace_id), CALLER[3..35], "it is the caller's trace");
        assert_eq!(hex(&root.parent_span_id), CALLER[36..52]);
        assert_eq!(root.name, "chat understudy/cascade");
        let of_root = attributes(root);
        let usage = end.usage.unwrap();
        for (key, value) in [
            ("gen_ai.provider.name", "understudy".to_owned()),
            ("gen_ai.response.model", "large".to_owned()),
            ("gen_ai.response.finish_reasons", "stop".to_owned()),
            ("gen_ai.usage.input_tokens", usage.prompt_tokens.to_string()),
            ("gen_ai.usage.output_tokens", usage.completion_tokens.to_string()),
        ] {
            assert_eq!(of_root[key], value, "{key}");
        }

        let ledger = end.ledger.unwrap();
        assert_eq!(ledger.rungs.len(), 2);
        let children: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == root.span_id).collect();
        assert_eq!(children.len(), spans.len() - 1, "every other span is the request's child");
        for rung in &ledger.rungs {
            let name = format!("chat {}", rung.model);
            let span = children.iter().find(|span| span.name == name).unwrap();
            let found = attributes(span);
            for (key, value) in [
                ("gen_ai.usage.input_tokens", u64::from(rung.prompt_tokens)),
                ("understudy.tokens_kept", rung.tokens_kept.into()),
                ("understudy.tokens_wasted", rung.tokens_wasted.into()),
                ("understudy.tokens_drafted", rung.tokens_drafted.into()),
                ("understudy.forward_passes", rung.forward_passes),
                ("understudy.row_steps", rung.row_steps),
                ("understudy.bytes_read", rung.bytes_read),
            ] {
                assert_eq!(found[key], value.to_string(), "{name}: {key}");
            }
            assert!(rung.row_steps > 0 && rung.bytes_read > 0);
            let took = (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e6;
            assert!((took - rung.ms).abs() < 0.01, "{name}: {took} ms, {} in the ledger", rung.ms);
            assert!(span.start_time_unix_nano >= root.start_time_unix_nano);
        }
        let validators = children.iter().filter(|span| span.name == "validate matches").count();
        let ran: usize = ledger.candidates.iter().map(|candidate| candidate.validators.len()).sum();
        assert_eq!((validators, ran > 0), (ran, true));

        let taken: Vec<_> = root.events.iter().map(|event| all(&event.attributes)).collect();
        let kinds: Vec<_> = taken.iter().map(|event| event["understudy.decision"].clone()).collect();
        assert_eq!(kinds, ledger.decisions.iter().map(|d| d.kind.clone()).collect::<Vec<_>>());
        assert_eq!(taken[0]["understudy.cause"], "low_confidence");

        assert_eq!(collector.services()[0], "mine");
        for name in ["gen_ai.server.request.duration", "understudy.cascade.decisions"] {
            assert!(collector.metrics().iter().any(|metric| metric == name), "{protocol}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_prompts_and_answers_leave_only_where_that_is_set() {
    for content in [false, true] {
        let (collector, address) = Collector::listen("grpc").await;
        let harness = start(&exporting("grpc", &address, &format!("content = {content}"))).await;
        ask_as(&harness, CALLER, GenerateRequest { prompt: "unsure of Zanzibar".into(), ..escalating() })
            .await;
        harness.node.drain().await;
        let told = format!("{:?}", collector.spans());
        for word in ["Zanzibar", "certainly"] {
            assert_eq!(told.contains(word), content, "{word}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_traced_is_the_callers_choice_and_then_the_ratios() {
    let (collector, address) = Collector::listen("grpc").await;
    let harness = start(&exporting("grpc", &address, "sample = 0.0")).await;
    let unsampled = CALLER.replace("-01", "-00");
    let (own, _) = ask_as(&harness, &unsampled, ask("2+2?")).await;
    assert!(own.starts_with(&CALLER[..36]) && own.ends_with("-00"), "{own}");
    let (own, _) = ask_as(&harness, "nonsense", ask("2+2?")).await;
    assert!(own.ends_with("-00"), "{own}");
    ask_as(&harness, CALLER, ask("2+2?")).await;
    harness.node.drain().await;
    let roots = collector.spans().iter().filter(|span| span.kind == SpanKind::Server as i32).count();
    assert_eq!(roots, 1, "only the caller that was sampled");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_with_one_answer_have_a_span_each() {
    let (collector, address) = Collector::listen("grpc").await;
    let harness = start(&exporting("grpc", &address, "")).await;
    let address = format!("http://{}", harness.addresses.grpc);
    let mut client = InferenceClient::connect(address).await.unwrap();
    macro_rules! own {
        ($verb:ident, $request:expr) => {{
            let mut request = tonic::Request::new($request);
            request.metadata_mut().insert("traceparent", CALLER.parse().unwrap());
            let answered = client.$verb(request).await;
            answered
                .map(|response| response.metadata().get("traceparent").unwrap().to_str().unwrap().to_owned())
        }};
    }
    let text = "hello".to_owned();
    let embedded = own!(embed, EmbedRequest { text: text.clone(), ..Default::default() }).unwrap();
    let ids = text.bytes().map(u32::from).collect();
    let scored = own!(score, ScoreRequest { ids, ..Default::default() }).unwrap();
    let model = "large".to_owned();
    let tokenized = own!(tokenize, TokenizeRequest { text, model }).unwrap();
    let refused = own!(score, ScoreRequest { model: "nobody".into(), ids: vec![1, 2], ..Default::default() });
    assert!(refused.is_err());
    harness.node.drain().await;

    let spans = collector.spans();
    assert_eq!(spans.len(), 4);
    for (name, own, tokens) in [
        ("embeddings small", Some(embedded), Some("5")),
        ("score small", Some(scored), Some("5")),
        ("tokenize large", Some(tokenized), None),
        ("score other", None, None),
    ] {
        let span = spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}"));
        assert_eq!(
            (span.kind, hex(&span.trace_id).as_str()),
            (SpanKind::Server as i32, &CALLER[3..35]),
            "{name}"
        );
        let found = attributes(span);
        let (operation, model) = name.split_once(' ').unwrap();
        assert_eq!((&*found["gen_ai.operation.name"], &*found["gen_ai.request.model"]), (operation, model));
        assert_eq!(found.get("gen_ai.usage.input_tokens").map(String::as_str), tokens, "{name}");
        assert_eq!(
            found.get("error.type").map(String::as_str),
            own.is_none().then_some("MODEL_UNKNOWN"),
            "{name}"
        );
        if let Some(own) = own {
            assert_eq!(own, format!("{}-{}-01", &CALLER[..35], hex(&span.span_id)), "{name}");
            assert_eq!(found["gen_ai.response.model"], model);
        }
    }
}
