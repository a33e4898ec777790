use std::sync::atomic::{AtomicBool, Ordering};

use understudy_actors::Constraints;
use understudy_backend::fake::FakeSlots;
use understudy_identity::{Authority, ClusterFiles, SystemClock};
use understudy_membership::{ClusterId, NodeId};

use super::*;

struct Nothing;

impl OwnFacts for Nothing {
    fn facts(&self) -> NodeFacts {
        NodeFacts::default()
    }
}

/// An agent of a cluster of one, and where news of its links go in.
fn agent(folder: &std::path::Path) -> (Agent, mpsc::Sender<LinkEvent>) {
    let files = ClusterFiles::at(folder);
    files.init("lab", &SystemClock).unwrap();
    let standing = Arc::new(Standing::open(files, Arc::new(SystemClock)).unwrap());
    let verbs =
        VerbService::new(Arc::new(FakeSlots::new()), Arc::new(Constraints::default()), Default::default());
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
