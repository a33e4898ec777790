//! What is told of tokens, and what names them: log-probabilities, bias, lanes.

use std::sync::Arc;

use understudy_backend::fake::{ByteCodec, FakeBackend, Reply};
use understudy_engine::codec::{ChatMessage, Codec, CodecError, Tool};
use understudy_engine::verbs::{SamplerSpec, TokenId};
use understudy_router::{AnswerEvent, AnswerRequest, Pattern, RouterError, TokenLogprob};

use crate::told::{Told, ask_for, question, says, sure, unsure};

fn telling(count: u8, policy: &str) -> AnswerRequest {
    AnswerRequest { top_logprobs: Some(count), ..question(policy) }
}

/// What a reader keeps: tokens of the text shown at the end. Checks each piece on the way.
fn kept(told: &Told) -> Vec<TokenLogprob> {
    let (mut kept, mut shown) = (Vec::<TokenLogprob>::new(), String::new());
    for event in &told.events {
        match event {
            AnswerEvent::Delta { text, logprobs, .. } => {
                shown.push_str(text);
                kept.extend(logprobs.iter().cloned());
            }
            AnswerEvent::Retracted { bytes, tokens, .. } => {
                shown.truncate(shown.len() - bytes);
                kept.truncate(kept.len() - *tokens as usize);
            }
            _ => {}
        }
        let spelled: Vec<u8> = kept.iter().flat_map(|token| token.bytes.clone()).collect();
        assert!(spelled.starts_with(shown.as_bytes()), "the tokens told are those of {shown:?}");
    }
    kept
}

fn spelled(tokens: &[TokenLogprob]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.bytes.clone()).collect();
    String::from_utf8(bytes).expect("whole characters")
}

#[tokio::test(start_paused = true)]
async fn every_token_of_the_text_is_told_once_whatever_was_held_back_or_withdrawn() {
    for (policy, stop) in [
        ("direct", None),
        ("direct", Some("ü!?")),
        ("speculate", None),
        ("cascade", None),
        ("cascade", Some("ü!?")),
        ("cascade+speculate", None),
    ] {
        let (small, large) = (says("small", unsure("für 🚀")), says("large", sure("grün — ü! 🚀")));
        let ladder = if policy == "direct" { vec![&large] } else { vec![&small, &large] };
        let request =
            AnswerRequest { stop: stop.into_iter().map(Into::into).collect(), ..telling(2, policy) };
        let told = ask_for(request, &ladder).await;
        let kept = kept(&told);
        assert_eq!(spelled(&kept), told.finished().text, "{policy}, {stop:?}");
        for token in &kept {
            let [first, second] = token.top.as_slice() else { panic!("two are asked for: {token:?}") };
            assert_eq!((first.id, first.logprob), (token.id, token.logprob));
            assert_eq!(second.bytes, ByteCodec.token_bytes(token.id + 1));
            assert!(second.logprob < first.logprob);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_tokens_of_a_stop_text_are_no_tokens_of_the_answer() {
    let request = AnswerRequest { stop: vec!["END".into()], ..telling(0, "direct") };
    let told = ask_for(request, &[&says("m", sure("ENough END of it"))]).await;
    let kept = kept(&told);
    assert_eq!((spelled(&kept).as_str(), told.finished().text.as_str()), ("ENough ", "ENough "));
    assert!(kept.iter().all(|token| token.top.is_empty() && token.logprob < 0.0));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_ask_is_told_nothing() {
    let told = ask_for(question("cascade"), &[&says("m", sure("four")), &says("n", sure("five"))]).await;
    assert!(kept_nothing(&told));
}

fn kept_nothing(told: &Told) -> bool {
    told.events
        .iter()
        .all(|event| !matches!(event, AnswerEvent::Delta { logprobs, .. } if !logprobs.is_empty()))
}

#[tokio::test(start_paused = true)]
async fn where_there_was_no_choice_a_token_is_certain() {
    let constraint = Some(Pattern::Regex("(yes|no), sir".into()));
    let request = AnswerRequest { constraint, ..telling(2, "direct") };
    let told = ask_for(request, &[&says("m", sure("no, sir"))]).await;
    let kept = kept(&told);
    assert_eq!(spelled(&kept), "no, sir");
    let certain: Vec<_> = kept.iter().map(|token| token.logprob == 0.0 && token.top.is_empty()).collect();
    assert_eq!(certain, [false, true, true, true, true, true, true]);
}

/// The same tokens, said to be others.
struct Foreign;

impl Codec for Foreign {
    fn render(&self, messages: &[ChatMessage], tools: &[Tool]) -> Result<String, CodecError> {
        ByteCodec.render(messages, tools)
    }
    fn encode_prompt(&self, rendered: &str) -> Result<Vec<TokenId>, CodecError> {
        ByteCodec.encode_prompt(rendered)
    }
    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, CodecError> {
        ByteCodec.encode_text(text)
    }
    fn token_bytes(&self, id: TokenId) -> &[u8] {
        static CODEC: ByteCodec = ByteCodec;
        CODEC.token_bytes(id)
    }
    fn is_end(&self, id: TokenId) -> bool {
        ByteCodec.is_end(id)
    }
    fn vocab_size(&self) -> usize {
        ByteCodec::VOCAB
    }
    fn digest(&self) -> &str {
        "foreign"
    }
}

fn biased(id: TokenId, policy: &str) -> AnswerRequest {
    let sampler = SamplerSpec { logit_bias: [(id, 1.0)].into(), ..SamplerSpec::default() };
    AnswerRequest { sampler, ..question(policy) }
}

#[tokio::test(start_paused = true)]
async fn a_bias_means_one_vocabulary_or_is_refused_before_anything_is_written() {
    let (small, large) = (says("small", sure("four")), says("large", sure("five")));
    let foreign = FakeBackend::new("foreign").spelled_by(Arc::new(Foreign));
    assert_eq!(ask_for(biased(65, "cascade"), &[&small, &large]).await.finished().text, "four");
    assert_eq!(ask_for(biased(65, "direct"), &[&foreign, &large]).await.finished().text, "ok");
    for (request, ladder, word) in [
        (biased(65, "cascade"), [&small, &foreign], "foreign"),
        (biased(65, "speculate"), [&foreign, &large], "large"),
        (biased(257, "cascade"), [&small, &large], "257"),
    ] {
        let told = ask_for(request, &ladder).await;
        let Err(RouterError::Invalid { field, why }) = &told.end else { panic!("{:?}", told.end) };
        assert_eq!(field, "sampling.logit_bias");
        assert!(why.contains(word), "{why}");
        assert!(told.shown.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_of_a_request_is_no_lane_of_its_candidates() {
    let model = FakeBackend::new("m")
        .when("", Reply::text("first"))
        .when_lane(1, Reply::text("a candidate"))
        .when_lane(1 << 16, Reply::text("second"));
    for (lane, text) in [(0, "first"), (1, "second"), (2, "first")] {
        let sampler = SamplerSpec { lane, ..SamplerSpec::default() };
        let told = ask_for(AnswerRequest { sampler, ..question("direct") }, &[&model]).await;
        assert_eq!(told.finished().text, text, "lane {lane}");
    }
}
