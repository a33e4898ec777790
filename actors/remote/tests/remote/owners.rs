//! INV-R3: sequences belong to the peer that opened them.

use std::time::Duration;

use understudy_backend::fake::{FakeBackend, FakeSlots};
use understudy_backend::{Backend, BackendError, NodeId, SeqId};
use understudy_engine::EngineError;
use understudy_remote::Limits;

use crate::far::{Far, channel, connect, ctx, ids, open, peer, serve, until};

#[tokio::test]
async fn a_peer_reaches_no_sequence_of_another() {
    let fake = FakeBackend::new("m");
    let far = Far::new(FakeSlots::new().with(fake.clone())).await;
    let (ours, theirs) = (far.backend("m").await, serve(&far.service, Some(2)).await);
    let theirs = connect(&peer(&theirs), "m").await.unwrap();
    let seq = open(&ours, &ctx(), "q").await.unwrap();
    let stale = BackendError::from(EngineError::StaleSeq);
    assert_eq!(theirs.extend(&ctx(), seq, 1, ids("x")).await, Err(stale.clone()));
    assert_eq!(theirs.truncate(&ctx(), seq, 1).await, Err(stale.clone()));
    assert_eq!(theirs.fork(&ctx(), seq, 1).await, Err(stale.clone()));
    assert_eq!(theirs.run(&ctx(), seq, 1, crate::far::run_of(1)).await.err(), Some(stale.clone()));
    theirs.close(seq);
    let raw = understudy_proto::node::v1::SeqRef { boot: seq.boot, number: u64::from(seq.key.generation) };
    let mut client = understudy_proto::node::v1::verbs_client::VerbsClient::new(channel(
        &serve(&far.service, Some(2)).await,
    ));
    client.close(understudy_proto::node::v1::CloseRequest { seqs: vec![raw] }).await.unwrap();
    assert_eq!(ours.extend(&ctx(), seq, 1, ids("x")).await, Ok(2), "it is as it was");
    for other in [SeqId { boot: seq.boot + 1, ..seq }, SeqId { node: NodeId(5), ..seq }] {
        assert_eq!(ours.extend(&ctx(), other, 2, ids("x")).await, Err(stale.clone()));
    }
    assert_eq!(fake.open_sequences(), 1);
}

#[tokio::test]
async fn a_peer_has_so_many_sequences_and_no_more() {
    let limits = Limits { sequences_per_peer: 2, ..Limits::default() };
    let fake = FakeBackend::new("m");
    let far = Far::within(FakeSlots::new().with(fake.clone()), limits).await;
    let backend = far.backend("m").await;
    let first = open(&backend, &ctx(), "q").await.unwrap();
    backend.fork(&ctx(), first, 1).await.unwrap();
    let full = BackendError::Overloaded { model: "m".into(), waiting: 2 };
    assert_eq!(open(&backend, &ctx(), "q").await, Err(full.clone()));
    assert_eq!(backend.fork(&ctx(), first, 2).await, Err(full));
    assert!(open(&backend, &ctx(), "").await.is_err(), "a place that was not used");
    let theirs = connect(&peer(&serve(&far.service, Some(2)).await), "m").await.unwrap();
    assert!(open(&theirs, &ctx(), "q").await.is_ok(), "another peer has places of its own");
    backend.close(first);
    until("its place is free", || far.service.open_sequences() == 2).await;
    assert!(open(&backend, &ctx(), "q").await.is_ok());
}

#[tokio::test]
async fn what_is_not_used_is_closed() {
    let limits = Limits { lease: Duration::from_millis(200), ..Limits::default() };
    let reply =
        understudy_backend::fake::Reply::text("a long answer").token_delay(Duration::from_millis(100));
    let fake = FakeBackend::new("m").when("q", reply);
    let far = Far::within(FakeSlots::new().with(fake.clone()), limits).await;
    let backend = far.backend("m").await;
    let idle = open(&backend, &ctx(), "q").await.unwrap();
    let (used, mut run) = crate::far::running(&backend, &ctx(), 6).await;
    crate::far::read(&mut run).await;
    assert_eq!(backend.extend(&ctx(), idle, 1, ids("x")).await, Err(EngineError::StaleSeq.into()));
    assert_eq!(backend.truncate(&ctx(), used, 1).await, Ok(1), "a run is a use, and it took longer");
    assert_eq!(fake.open_sequences(), 1);
}
