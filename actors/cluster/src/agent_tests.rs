use std::sync::atomic::{AtomicBool, Ordering};

use understudy_actors::Constraints;
use understudy_backend::fake::{FakeBackend, FakeSlots};
use understudy_identity::{Authority, ClusterFiles, SystemClock};
use understudy_membership::{Attempt, ClusterId, Direction, Heartbeat, Message, NodeId, Refusal};
use understudy_proto::node::v1::{ModelRef, OpenRequest, SeqRef, verbs_server::Verbs as _};

use super::*;
use crate::testing::Nothing;

/// An agent of a cluster of one, and where news of its links go in.
fn agent(folder: &std::path::Path) -> (Agent, mpsc::Sender<LinkEvent>) {
    let files = ClusterFiles::at(folder);
    files.init("lab", &SystemClock).unwrap();
    let standing = Arc::new(Standing::open(files, Arc::new(SystemClock)).unwrap());
    let slots = FakeSlots::new().with(FakeBackend::new("m"));
    let verbs = VerbService::new(Arc::new(slots), Arc::new(Constraints::default()), Default::default());
    let (sender, events) = mpsc::channel(crate::link::EVENTS);
    let agent = Agent {
        dialler: Arc::new(Dialler { standing: standing.clone() }),
        standing,
        verbs,
        facts: Arc::new(Nothing),
        ids: Arc::default(),
        sender: sender.clone(),
        events,
        wishes: mpsc::channel(1).1,
        losses: Losses::default(),
        view: watch::channel(Arc::default()).0,
        hello: watch::channel(me()).0,
        denied: watch::channel(0).0,
    };
    (agent, sender)
}

fn me() -> Identity {
    Identity {
        node: NodeId(1),
        fingerprint: Fingerprint([1; 32]),
        generation: 1,
        name: "mac".into(),
        addresses: Vec::new(),
        protocol: messages::PROTOCOLS,
        cluster: ClusterId([1; 16]),
    }
}

/// Whatever comes over links, and however fast, dials and verdicts are not held up.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_news_holds_no_timer_up() {
    let folder = tempfile::tempdir().unwrap();
    let (agent, sender) = agent(folder.path());
    let there = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::new(&there.local_addr().unwrap().to_string()).unwrap();
    // To judge one takes far longer than to send it, so that there is always another one.
    let foreign = Authority::create(1_800_000_000).unwrap();
    let forged = foreign.deny(understudy_identity::Fingerprint::of_key(b"x"), "", 1).unwrap().to_bytes();
    let news = move || LinkEvent::Denied { entries: vec![forged.clone()] };
    while sender.try_send(news()).is_ok() {}
    let is_over = Arc::new(AtomicBool::new(false));
    let flooding: Vec<_> = (0..2)
        .map(|_| {
            let (sender, is_over, news) = (sender.clone(), is_over.clone(), news.clone());
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    if sender.try_send(news()).is_err() {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let work = tokio::spawn(agent.run(MembershipConfig::default(), me(), vec![address]));
    let dialled = tokio::time::timeout(Duration::from_secs(5), there.accept()).await;
    is_over.store(true, Ordering::Relaxed);
    work.abort();
    flooding.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(dialled.is_ok(), "nobody was dialled in 5 s");
}

/// A peer opens a sequence here.
async fn opened(verbs: &VerbService, peer: &Identity, number: u64) {
    let model = Some(ModelRef { name: "m".into(), digest: String::new() });
    let seq = Some(SeqRef { boot: 1, number });
    let mut ask = tonic::Request::new(OpenRequest { model, prompt: vec![65], seq, ..Default::default() });
    ask.extensions_mut().insert(PeerNode(peer.node.0));
    verbs.open(ask).await.unwrap();
}

/// INV-M15, as the driver keeps it.
#[tokio::test(start_paused = true)]
async fn what_a_peer_had_open_ends_when_it_says_that_it_gave_this_node_up() {
    let folder = tempfile::tempdir().unwrap();
    let (agent, sender) = agent(folder.path());
    let verbs = agent.verbs.clone();
    let peer = Identity { node: NodeId(60), fingerprint: Fingerprint([60; 32]), ..me() };
    let work = tokio::spawn(agent.run(MembershipConfig::default(), me(), Vec::new()));
    let mut sequence = 0;
    let mut beat = |link: LinkId, gave_up: u64| {
        sequence += 1;
        let beat = Heartbeat { sequence, generation: 1, facts_seen: 0, gave_up, echo: None };
        LinkEvent::Received { link, message: Message::Heartbeat(beat) }
    };
    // Each link takes the place of the one before, which may have been refused; the peer gave this node up before the
    // third one and not before the others.
    let mut open = 0;
    for (link, refused, gave_up) in [(1, false, 0), (2, true, 0), (3, true, 1), (4, false, 1)] {
        if refused {
            let message = Message::Refuse(Refusal::Silent);
            sender.send(LinkEvent::Received { link: LinkId(link - 1), message }).await.ok().unwrap();
        }
        opened(&verbs, &peer, link).await;
        let (link, attempt, hello) = (LinkId(link), Attempt(link), peer.clone());
        let (direction, handle) = (Direction::Inbound, LinkHandle::to_nobody());
        sender.send(LinkEvent::Up { link, hello, direction, attempt, handle }).await.ok().unwrap();
        sender.send(beat(link, gave_up)).await.ok().unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        open = if link == LinkId(3) { 0 } else { open + 1 };
        assert_eq!(verbs.open_sequences(), open, "{link:?}");
        opened(&verbs, &peer, 100 + link.0).await;
        open += 1;
        sender.send(beat(link, gave_up)).await.ok().unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(verbs.open_sequences(), open, "{link:?}: it has said so before");
    }
    work.abort();
}
