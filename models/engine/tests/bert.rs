//! Embeddings of `all-minilm-l6-v2` against those that transformers gives (tests/vectors/minilm.json).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use serde::Deserialize;
use support::{model_file, repository};
use understudy_engine::bert::{Bert, BertEngine, BertText};
use understudy_engine::codec::Codec;
use understudy_engine::tick::{Pulse, Tick, TickEngine};
use understudy_engine::verbs::*;
use understudy_engine::{ComputePool, EngineError};

#[derive(Deserialize)]
struct Vectors {
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
    ids: Vec<u32>,
    embedding: Vec<f32>,
}

fn sentences() -> Vec<Sentence> {
    let json = std::fs::read_to_string(repository().join("tests/vectors/minilm.json")).unwrap();
    serde_json::from_str::<Vectors>(&json).unwrap().sentences
}

fn open() -> (BertEngine, BertText) {
    let file = model_file("all-minilm-l6-v2", "model.safetensors");
    let model = Arc::new(Bert::open(&file).unwrap());
    let text = BertText::open(&file, model.config().vocab).unwrap();
    (BertEngine::new(model, Arc::new(ComputePool::new(2)), Pulse::default()), text)
}

fn answers(engine: &mut BertEngine) -> Vec<(JobId, Result<Outcome, EngineError>)> {
    let mut events = Vec::new();
    while engine.tick(&mut events) == Tick::Worked {}
    let done = |event| match event {
        JobEvent::Done { result, .. } => result,
        JobEvent::Step(step) => panic!("{step:?}"),
    };
    events.into_iter().map(|(job, event)| (job, done(event))).collect()
}

#[test]
fn sentences_have_the_references_ids_and_embeddings() {
    let (mut engine, text) = open();
    let sentences = sentences();
    for (job, sentence) in (0..).zip(&sentences) {
        let ids = text.encode_text(&sentence.text).unwrap();
        assert_eq!(ids, sentence.ids, "{}", sentence.text);
        engine.submit(JobId(job), Verb::Embed { ids });
    }
    let answers = answers(&mut engine);
    assert_eq!(answers.len(), sentences.len());
    for (sentence, (_, answer)) in sentences.iter().zip(answers) {
        let Ok(Outcome::Embedding(embedding)) = answer else { panic!("{answer:?}") };
        assert_eq!(embedding.len(), sentence.embedding.len());
        // The reference has six digits; all values are below one.
        let worst = embedding.iter().zip(&sentence.embedding).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-6, "{}: {worst}", sentence.text);
    }
}

#[test]
fn what_looks_like_a_special_token_is_text() {
    let (_, text) = open();
    let ids = text.encode_text("a [SEP] b").unwrap();
    assert_eq!(ids.iter().filter(|&&id| id == 102).count(), 1, "only the one at the end: {ids:?}");
}

#[test]
fn what_an_encoder_cannot_do_is_refused_by_name() {
    let (mut engine, _) = open();
    let open = OpenSpec { prompt: vec![101], ..OpenSpec::default() };
    engine.submit(JobId(1), Verb::Open(open));
    engine.submit(JobId(2), Verb::Embed { ids: Vec::new() });
    engine.submit(JobId(3), Verb::Embed { ids: vec![101; 513] });
    engine.submit(JobId(4), Verb::Embed { ids: vec![u32::MAX] });
    engine.submit(JobId(5), Verb::Embed { ids: vec![101, 102] });
    engine.cancel(JobId(5));
    let answers = answers(&mut engine);
    let error = |job| answers.iter().find(|(id, _)| *id == JobId(job)).unwrap().1.clone().unwrap_err();
    assert!(error(1).to_string().contains("does not generate"));
    assert_eq!(error(2), EngineError::Empty("the text"));
    assert_eq!(error(3), EngineError::ContextOverflow { tokens: 513, context: 512 });
    assert_eq!(error(4), EngineError::TokenOutOfRange { id: u32::MAX, vocab: 30522 });
    assert_eq!(error(5), EngineError::Cancelled);
}

#[test]
fn another_pooling_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(model_file("all-minilm-l6-v2", "config.json"), folder.path().join("config.json")).unwrap();
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    let pooling = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#;
    std::fs::write(folder.path().join("1_Pooling/config.json"), pooling).unwrap();
    let error = Bert::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("another pooling"), "{error}");
}

#[test]
fn what_is_sent_of_an_encoder_makes_the_same_tokens() {
    let (_, text) = open();
    let head = text.head().unwrap();
    let sent = BertText::from_head(&head).unwrap().unwrap();
    assert_eq!((sent.digest(), sent.vocab_size()), (text.digest(), text.vocab_size()));
    for sentence in sentences() {
        assert_eq!(sent.encode_text(&sentence.text).unwrap(), sentence.ids, "{}", sentence.text);
    }
    assert!(BertText::from_head(b"GGUF").is_none());
    let (mark, rest) = head.split_at(head.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    for damaged in
        [&rest[..2], &rest[..40], &[&[255; 4], &rest[4..]].concat(), &[&[1, 0, 0, 0], &rest[4..]].concat()]
    {
        assert!(BertText::from_head(&[mark, damaged].concat()).unwrap().is_err());
    }
}
