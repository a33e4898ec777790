//! INV-R4: what arrives is checked, and nothing that arrives stops a node.

use std::sync::Arc;

use prost::Message as _;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use understudy_actors::scripted::ScriptedModels;
use understudy_backend::fake::{FakeBackend, FakeSlots};
use understudy_backend::{Backend, BackendError, OpenRequest};
use understudy_engine::EngineError;
use understudy_engine::codec::{ChatMessage, Codec, CodecError, Tool};
use understudy_engine::verbs::SamplerSpec;
use understudy_proto::node::v1::{self, verb_error::Kind, verbs_client::VerbsClient};
use understudy_remote::{CodecStore, MOST_MESSAGE_BYTES, Peer};

use crate::far::{Far, channel, connect, ctx, ids, open, serve};

type Raw = VerbsClient<tonic::transport::Channel>;

async fn raw(far: &Far) -> Raw {
    VerbsClient::new(channel(&serve(&far.service, Some(1)).await)).max_encoding_message_size(usize::MAX)
}

fn said(status: &Status) -> Option<Kind> {
    v1::VerbError::decode(status.details()).unwrap().kind
}

fn opening() -> v1::OpenRequest {
    let model = Some(v1::ModelRef { name: "m".into(), digest: String::new() });
    let seq = Some(v1::SeqRef { boot: 1, number: 7 });
    v1::OpenRequest { model, prompt: ids("q"), seq, ..Default::default() }
}

#[tokio::test]
async fn messages_that_are_none_are_refused_and_nothing_else_happens() {
    let fake = FakeBackend::new("m");
    let far = Far::new(FakeSlots::new().with(fake.clone())).await;
    let mut client = raw(&far).await;
    type Spoil = fn(&mut v1::OpenRequest);
    let spoils: [(&str, Spoil); 10] = [
        ("no name", |open| open.seq = None),
        ("a long name", |open| {
            open.context = Some(v1::RequestContext { tenant: "t".repeat(5000), ..Default::default() });
        }),
        ("no pattern", |open| open.gate = Some(v1::OpenGate::default())),
        ("a pattern of a later version", |open| {
            let pattern = v1::open_gate::Pattern::Constraint(understudy_proto::v1::Constraint::default());
            open.gate = Some(v1::OpenGate { pattern: Some(pattern), ..Default::default() });
        }),
        ("more emitted than there is", |open| {
            let kind = understudy_proto::v1::constraint::Kind::Regex("a*".into());
            let constraint = understudy_proto::v1::Constraint { kind: Some(kind) };
            let pattern = Some(v1::open_gate::Pattern::Constraint(constraint));
            open.gate = Some(v1::OpenGate { pattern, emitted: u64::MAX, left: 9 });
        }),
        ("emitted against its pattern", |open| {
            let kind = understudy_proto::v1::constraint::Kind::Regex("a*".into());
            let constraint = understudy_proto::v1::Constraint { kind: Some(kind) };
            let pattern = Some(v1::open_gate::Pattern::Constraint(constraint));
            open.gate = Some(v1::OpenGate { pattern, emitted: 1, left: 9 });
        }),
        ("a temperature that is none", |open| {
            open.sampler = Some(v1::Sampler { temperature: f32::NAN, ..Default::default() });
        }),
        ("biases without tokens", |open| {
            open.sampler = Some(v1::Sampler { biases: vec![1.0], ..Default::default() });
        }),
        ("tokens that are none", |open| open.prompt = vec![u32::MAX]),
        ("nothing", |open| open.prompt.clear()),
    ];
    for (what, spoil) in spoils {
        let mut request = opening();
        spoil(&mut request);
        let refused = client.open(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused:?}");
        assert!(said(&refused).is_some(), "{what}");
    }
    client.open(opening()).await.unwrap();
    let taken = client.open(opening()).await.unwrap_err();
    assert!(matches!(said(&taken), Some(Kind::InvalidArgument(_))), "{taken:?}");
    let seq = opening().seq;
    let endless = v1::ProposeRequest { seq, at: 1, k: u64::MAX, ..Default::default() };
    let refused = client.propose(endless).await.unwrap_err();
    assert!(matches!(said(&refused), Some(Kind::InvalidArgument(_))), "{refused:?}");
    let refused = client.extend(v1::ExtendRequest::default()).await.unwrap_err();
    assert_eq!(said(&refused), Some(Kind::StaleSeq(v1::Unit {})));
    let draft = v1::Draft { ids: vec![1], q: vec![v1::Weighted { tokens: vec![1], weights: vec![] }] };
    let odd = v1::VerifyRequest { seq, at: 1, draft: Some(draft), most: 3, ..Default::default() };
    let refused = client.verify(odd).await.unwrap_err();
    assert!(matches!(said(&refused), Some(Kind::InvalidArgument(_))), "{refused:?}");
    let stop = v1::run_request::Step::Stop(v1::RunStop {});
    for first in [v1::RunRequest { step: Some(stop) }, v1::RunRequest { step: None }] {
        let refused = client.run(tokio_stream::once(first)).await.unwrap_err();
        assert!(matches!(said(&refused), Some(Kind::InvalidArgument(_))), "{refused:?}");
    }
    assert!(client.run(tokio_stream::empty()).await.is_err());
    assert_eq!((fake.open_sequences(), far.service.open_sequences()), (1, 1), "the one that was opened");
}

#[tokio::test]
async fn calls_of_nobody_are_refused() {
    let far = Far::new(FakeSlots::new().with(FakeBackend::new("m"))).await;
    let mut client = VerbsClient::new(channel(&serve(&far.service, None).await));
    let find = client.find(v1::FindRequest { model: "m".into(), context: None }).await.unwrap_err();
    let close = client.close(v1::CloseRequest::default()).await.unwrap_err();
    let run = client.run(tokio_stream::empty()).await.unwrap_err();
    for refused in [find, client.open(opening()).await.unwrap_err(), close, run] {
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn garbage_and_oversize_leave_the_node_as_it_was() {
    let far = Far::new(FakeSlots::new().with(FakeBackend::new("m").context(1 << 21))).await;
    let address = serve(&far.service, Some(1)).await;
    for round in 0..20_u8 {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        let preface: &[u8] = if round % 2 == 0 { b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" } else { b"" };
        let noise: Vec<u8> =
            (0..2000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> (round % 24)) as u8).collect();
        // The node may hang up before all is written.
        let _ = socket.write_all(&[preface, &noise].concat()).await;
    }
    let mut client = raw(&far).await;
    let huge = v1::OpenRequest { prompt: vec![65; MOST_MESSAGE_BYTES + 1], ..opening() };
    assert_eq!(client.open(huge).await.unwrap_err().code(), Code::OutOfRange);
    let backend = far.backend("m").await;
    let prompt = vec![65; MOST_MESSAGE_BYTES];
    let refused =
        backend.open(&ctx(), OpenRequest { prompt, sampler: SamplerSpec::default(), gate: None }).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, BackendError::Engine(EngineError::InvalidArgument(why)) if why.contains("bytes"))
    );
    assert!(open(&backend, &ctx(), "q").await.is_ok());
}

fn with_store(far: &Far, store: &Arc<CodecStore>) -> Peer {
    Peer { codecs: store.clone(), ..far.peer.clone() }
}

#[tokio::test]
async fn a_codec_is_fetched_once_and_checked_whenever_it_is_read() {
    let far = Far::new(FakeSlots::new().with(FakeBackend::new("m"))).await;
    let folder = tempfile::tempdir().unwrap();
    let store = || {
        let factory = Arc::new(ScriptedModels::default());
        Arc::new(CodecStore::new(Some(folder.path().join("codecs")), factory))
    };
    let kept = || std::fs::read_dir(folder.path().join("codecs")).unwrap().map(|entry| entry.unwrap().path());
    connect(&with_store(&far, &store()), "m").await.unwrap();
    let file = kept().next().unwrap();
    assert_eq!((kept().count(), std::fs::read(&file).unwrap()), (1, b"byte-codec".to_vec()));
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    connect(&with_store(&far, &store()), "m").await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), written, "it was there");
    for damage in [&b"byte-codec and more"[..], b""] {
        std::fs::write(&file, damage).unwrap();
        connect(&with_store(&far, &store()), "m").await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"byte-codec", "it was sent again");
    }
}

/// A codec that sends this, which is not what its digest says.
struct Sends(Option<&'static [u8]>);

impl Codec for Sends {
    fn render(&self, _: &[ChatMessage], _: &[Tool]) -> Result<String, CodecError> {
        Ok(String::new())
    }

    fn encode_prompt(&self, _: &str) -> Result<Vec<u32>, CodecError> {
        Ok(vec![0])
    }

    fn encode_text(&self, _: &str) -> Result<Vec<u32>, CodecError> {
        Ok(vec![0])
    }

    fn token_bytes(&self, _: u32) -> &[u8] {
        b""
    }

    fn is_end(&self, _: u32) -> bool {
        false
    }

    fn vocab_size(&self) -> usize {
        1
    }

    fn digest(&self) -> &str {
        "odd"
    }

    fn head(&self) -> Option<Vec<u8>> {
        self.0.map(<[u8]>::to_vec)
    }
}

#[tokio::test]
async fn codecs_that_are_not_what_was_announced_are_refused() {
    // What comes in several pieces is put together before it is looked at.
    static PIECES: [u8; 600 << 10] = [7; 600 << 10];
    let cases: [(Option<&[u8]>, &str); 4] = [
        (Some(b"byte-codec"), "announced"),
        (Some(b"noise"), "cannot be used"),
        (Some(&PIECES), "cannot be used"),
        (None, "cannot be sent"),
    ];
    for (head, word) in cases {
        let fake = FakeBackend::new("m").spelled_by(Arc::new(Sends(head)));
        let far = Far::new(FakeSlots::new().with(fake)).await;
        let refused = connect(&far.peer, "m").await.err().unwrap();
        assert!(
            matches!(&refused, BackendError::Unavailable { why, .. } if why.contains(word)),
            "{refused:?}"
        );
    }
}
