//! What becomes of answers when the network between two nodes is bad. Each test has a gateway and one other node, both
//! with the model, and proxies between them in both directions.

use std::{path::Path, time::Duration};

use tokio::{task::JoinSet, time::Instant};
use tokio_stream::StreamExt as _;
use understudy_agents::Client;
use understudy_proto::v1::generate_event::Event;

use crate::{
    SOON,
    faults::{answer, is_unbroken, request},
    process::{Kind, Place, Process, joined_at},
    proxy::{Cable, Direction},
    resuming,
    town::model,
};

/// How long a silent node is waited for, with room for a busy machine.
const VERDICT: Duration = Duration::from_millis(3_500);
/// Tokens of each answer.
const TOKENS: u32 = 300;

/// Two nodes that reach each other over a cable.
struct Pair {
    cable: Cable,
    /// The gateway, then the other.
    nodes: Vec<Process>,
    model: String,
}

impl Pair {
    async fn settle(folder: &Path, tick_ms: u64) -> Self {
        let model = model(folder, "m.gguf");
        let (cable, mut places) = (Cable::default(), [Place::free(), Place::free()]);
        for (place, towards) in places.iter_mut().zip([Direction::Back, Direction::There]) {
            let reached = cable.lead(&place.cluster, towards).await;
            place.words.push(format!("advertise={reached}"));
        }
        let kind = Kind { tick_ms, sequences: 32, models: vec![model.clone()] };
        let nodes = joined_at(folder, &places, &kind).await;
        Self { cable, nodes, model }
    }

    /// So many answers at once from the gateway.
    fn asks(&self, count: usize) -> Answers {
        asks(&self.nodes[0].client, &self.model, count)
    }

    async fn shares(&self) {
        shares(&self.nodes[0]).await;
    }

    /// How long it takes until the gateway holds the other for dead.
    async fn dies(&self, within: Duration) -> Duration {
        let begun = Instant::now();
        while self.nodes[0].count("dead").await == 0 {
            assert!(begun.elapsed() < VERDICT || self.nodes[0].count("alive").await == 0);
            assert!(begun.elapsed() < within, "{:#?}", self.nodes[0].client.cluster_status(SOON).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    /// How long it takes until each holds the other for alive, with its model.
    async fn meet_again(&self) -> Duration {
        let begun = Instant::now();
        for node in &self.nodes {
            node.sees(1).await;
        }
        begun.elapsed()
    }
}

/// Waits until another node serves some of a gateway's answers.
pub async fn shares(gateway: &Process) {
    let begun = Instant::now();
    while !serves(gateway).await {
        assert!(begun.elapsed() < SOON, "the other node serves nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether another node serves some of a gateway's answers now.
pub async fn serves(gateway: &Process) -> bool {
    let status = gateway.client.cluster_status(SOON).await.unwrap();
    status.nodes[1..].iter().flat_map(|node| &node.models).any(|model| model.active > 0)
}

/// Answers under way.
pub struct Answers(JoinSet<(String, String, Duration)>);

pub fn asks(client: &Client, model: &str, count: usize) -> Answers {
    let one = |_| {
        let (client, request) = (client.clone(), request(model, TOKENS));
        async move { answer(&client, request).await }
    };
    Answers((0..count).map(one).collect())
}

impl Answers {
    /// All are whole; the longest pause between two pieces.
    pub async fn are_whole(mut self) -> Duration {
        let mut longest = Duration::ZERO;
        while let Some(answer) = self.0.join_next().await {
            let (text, reason, pause) = answer.unwrap();
            assert_eq!((text.len(), reason.as_str()), (TOKENS as usize, "length"));
            assert!(is_unbroken(&text), "{text}");
            longest = longest.max(pause);
        }
        longest
    }
}

async fn cut(which: &[Direction]) {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::settle(folder.path(), 10).await;
    let answers = pair.asks(24);
    pair.shares().await;
    which.iter().for_each(|direction| pair.cable.one(*direction, |way| way.is_cut = true));
    // A node that is heard but hears nothing ends the link itself after 3 s, and is dead as long after; it is suspect
    // and gets nothing new much earlier.
    let within = if which == [Direction::There] { 2 * VERDICT } else { VERDICT };
    let dead = pair.dies(within).await;
    let pause = answers.are_whole().await;
    assert!(pause < VERDICT + Duration::from_secs(1), "{pause:?}");
    // Cut off, the gateway goes on by itself.
    pair.asks(4).are_whole().await;
    pair.cable.mend();
    let again = pair.meet_again().await;
    let answers = pair.asks(24);
    pair.shares().await;
    answers.are_whole().await;
    println!("{which:?} cut: dead after {dead:?}, longest pause {pause:?}, alive {again:?} after mending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_to_the_other_node_loses_no_answer() {
    cut(&[Direction::There]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_from_the_other_node_loses_no_answer() {
    cut(&[Direction::Back]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_both_ways_loses_no_answer() {
    cut(&[Direction::There, Direction::Back]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_is_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::settle(folder.path(), 5).await;
    for (delay_ms, jitter_ms, loss_percent) in [(1, 0, 0), (50, 0, 0), (200, 0, 0), (20, 60, 0), (5, 0, 5)] {
        pair.cable.both(|way| {
            way.delay = Duration::from_millis(delay_ms);
            way.jitter = Duration::from_millis(jitter_ms);
            way.loss_percent = loss_percent;
        });
        // The round trip that the node knows becomes that of now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        let answers = pair.asks(24);
        let pause = answers.are_whole().await;
        let took = begun.elapsed();
        let status = pair.nodes[0].client.cluster_status(SOON).await.unwrap();
        let other = &status.nodes[1];
        println!(
            "{delay_ms} ms each way, {jitter_ms} ms uneven, {loss_percent} % lost: 24 answers in {took:?}, longest pause \
             {pause:?}, round trip {} us, {}",
            other.round_trip_us, other.state
        );
        assert_ne!(other.state, "dead");
        // A lost segment may be followed by another.
        assert!(pause < Duration::from_secs(3), "{pause:?}");
    }
    pair.cable.mend();
    pair.meet_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_end_nobody_tells_is_given_up_like_a_silent_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::settle(folder.path(), 10).await;
    let answers = pair.asks(24);
    pair.shares().await;
    pair.cable.both(|way| way.hides_ends = true);
    pair.nodes[1].kill();
    let dead = pair.dies(VERDICT).await;
    let pause = answers.are_whole().await;
    assert!(pause < VERDICT + Duration::from_secs(1), "{pause:?}");
    pair.nodes[1].restart().await;
    let again = pair.meet_again().await;
    println!("half-open: dead after {dead:?}, longest pause {pause:?}, alive {again:?} after its restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_come_twice_end_the_connection_and_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::settle(folder.path(), 10).await;
    for direction in [Direction::There, Direction::Back, Direction::There, Direction::Back] {
        let answers = pair.asks(24);
        pair.shares().await;
        pair.cable.one(direction, |way| way.repeats = true);
        let pause = answers.are_whole().await;
        pair.meet_again().await;
        println!("a record that comes twice, {direction:?}: longest pause {pause:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_everything_also_when_the_node_behind_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::settle(folder.path(), 5).await;
    let readers: JoinSet<String> = (0..8)
        .map(|_| {
            let (client, request) = (pair.nodes[0].client.clone(), request(&pair.model, TOKENS));
            async move {
                let mut events = client.generate(request, 3 * SOON).await.unwrap();
                let mut text = String::new();
                while let Some(event) = events.next().await {
                    match event.unwrap().event {
                        Some(Event::Delta(delta)) => {
                            text.push_str(&delta.text);
                            tokio::time::sleep(Duration::from_millis(25)).await;
                        }
                        Some(Event::Finished(finished)) => assert_eq!(finished.finish_reason, "length"),
                        _ => {}
                    }
                }
                text
            }
        })
        .collect();
    pair.shares().await;
    pair.cable.both(|way| way.is_cut = true);
    pair.dies(VERDICT).await;
    for text in readers.join_all().await {
        assert_eq!(text.len(), TOKENS as usize);
        assert!(is_unbroken(&text), "{text}");
    }
}

/// A laptop's lid, for a minute: of the gateway, and of the node behind it.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_slept_for_a_minute_go_on() {
    tokio::join!(a_gateway_sleeps(), the_node_behind_sleeps());
}

const ASLEEP: Duration = Duration::from_secs(60);

/// Its callers cannot tell that from its end: they go on at the other node, and it does no harm when it wakes.
async fn a_gateway_sleeps() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::settle(folder.path(), 20).await;
    let callers: JoinSet<_> = (0..8)
        .map(|n| {
            let (here, other) = (pair.nodes[0].client.clone(), pair.nodes[1].client.clone());
            let request = resuming::request(&pair.model, &format!("asleep-{n}"));
            async move {
                let (heard, error, at) = resuming::lost(here, request).await;
                assert_eq!(error.code, "SERVER_UNREACHABLE", "{error:?}");
                (at, resuming::go_on(&other, heard).await.0)
            }
        })
        .collect();
    pair.shares().await;
    pair.nodes[0].signal("STOP");
    let asleep = Instant::now();
    for (at, text) in callers.join_all().await {
        let noticed = at - asleep;
        println!("a gateway fell asleep: its caller noticed after {noticed:?}");
        assert!(noticed < Duration::from_secs(9) && is_unbroken(&text), "{noticed:?} {text}");
    }
    tokio::time::sleep_until(asleep + ASLEEP).await;
    pair.nodes[0].signal("CONT");
    let woken = Instant::now();
    // The other has given it up meanwhile; the connection between them may be made anew, within moments.
    let mut dead = 0;
    while woken.elapsed() < Duration::from_secs(2) {
        dead += pair.nodes[0].count("dead").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pair.meet_again().await;
    pair.asks(8).are_whole().await;
    println!("a gateway woke: the other was seen as dead {dead} times of 100");
}

async fn the_node_behind_sleeps() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::settle(folder.path(), 20).await;
    let answers = pair.asks(16);
    pair.shares().await;
    pair.nodes[1].signal("STOP");
    let begun = Instant::now();
    let pause = answers.are_whole().await;
    assert!(pause < VERDICT + Duration::from_secs(1), "{pause:?}");
    tokio::time::sleep_until(begun + ASLEEP).await;
    pair.nodes[1].signal("CONT");
    let again = pair.meet_again().await;
    println!("the node behind asleep for 60 s: longest pause {pause:?}, alive {again:?} after it woke");
    let answers = pair.asks(24);
    pair.shares().await;
    answers.are_whole().await;
}
