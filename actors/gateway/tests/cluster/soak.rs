//! Many faults, one after another, while clients ask all the time.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};
use understudy_agents::Client;

use crate::{
    faults::{is_unbroken, request, tried},
    process::{Kind, Place, Process, joined, joined_at},
    proxy::{Cable, Direction},
    town::model,
};

const TOKENS: u32 = 300;
const CLIENTS: usize = 16;
/// Time between the end of a fault and the next one: an answer meets several.
const PACE: Duration = Duration::from_millis(500);

/// Those that clients ask.
const GATEWAYS: [usize; 2] = [0, 3];

/// What befalls a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Freeze,
    Panic,
    Hang,
    Cut,
}

/// A round. Engines break soon after their node was restarted: one that breaks again and again is restarted ever later, as
/// it should.
const ROUND: [Fault; 8] = [
    Fault::Kill,
    Fault::Freeze,
    Fault::Panic,
    Fault::Cut,
    Fault::Kill,
    Fault::Freeze,
    Fault::Hang,
    Fault::Cut,
];

/// Sequences that a node decodes at once: all nodes together have fewer places than there are clients, so some wait.
const PLACES: usize = 6;

/// Two gateways without models that only dial, the first and the last, and between them two nodes that they reach over
/// cables.
async fn settle(folder: &Path) -> (Vec<Process>, Vec<Cable>, String) {
    let model = model(folder, "m.gguf");
    let mut places = [Place::free(), Place::free(), Place::free(), Place::free()];
    let cables = vec![Cable::default(), Cable::default()];
    for (index, cable) in cables.iter().enumerate() {
        let reached = cable.lead(&places[index + 1].cluster, Direction::There).await;
        places[index + 1].words.push(format!("advertise={reached}"));
        GATEWAYS.iter().for_each(|&gateway| places[gateway].words.push(format!("peer={reached}")));
    }
    for gateway in GATEWAYS {
        // Nobody else dials it, so each way to a node is over that node's cable.
        places[gateway].words.push("advertise=127.0.0.1:1".into());
        places[gateway].models = Some(vec![]);
    }
    let kind = Kind { tick_ms: 5, sequences: PLACES, models: vec![model.clone()] };
    (joined_at(folder, &places, &kind).await, cables, model)
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    answers: AtomicUsize,
    longest: Mutex<Duration>,
    ended: AtomicBool,
    /// Some answer was not whole.
    failed: AtomicBool,
}

/// One client, which asks until the test ends.
async fn asks(client: Client, model: String, seen: Arc<Seen>) {
    while !seen.ended.load(Ordering::SeqCst) {
        let begun = Instant::now();
        let answer = tried(&client, request(&model, TOKENS)).await;
        let is_whole = answer.as_ref().is_ok_and(|(text, reason, _)| {
            text.len() == TOKENS as usize && reason == "length" && is_unbroken(text)
        });
        if !is_whole {
            println!("not whole after {:?}: {answer:?}", begun.elapsed());
            seen.failed.store(true, Ordering::SeqCst);
            return;
        }
        let (_, _, pause) = answer.unwrap();
        seen.answers.fetch_add(1, Ordering::SeqCst);
        let mut longest = seen.longest.lock().unwrap();
        *longest = longest.max(pause);
    }
}

async fn befall(node: &mut Process, cable: &Cable, fault: Fault, random: &mut fastrand::Rng) {
    // Below and above what makes a node suspect (1 s) and dead (3 s).
    let some_time = Duration::from_millis([200, 800, 1_500, 3_600][random.usize(0..4)]);
    match fault {
        Fault::Kill => {
            node.kill();
            tokio::time::sleep(Duration::from_millis(random.u64(0..300))).await;
            node.restart().await;
        }
        Fault::Freeze => {
            node.signal("STOP");
            tokio::time::sleep(some_time).await;
            node.signal("CONT");
        }
        Fault::Panic => breaks(node, &format!("panic {}", random.u8(0..60))).await,
        Fault::Hang => breaks(node, &format!("hang {}", random.u8(0..60))).await,
        Fault::Cut => {
            let which = random.u8(1..4);
            if which & 1 != 0 {
                cable.one(Direction::There, |way| way.is_cut = true);
            }
            if which & 2 != 0 {
                cable.one(Direction::Back, |way| way.is_cut = true);
            }
            tokio::time::sleep(some_time).await;
            cable.mend();
        }
    }
}

/// Has the node's engine break in the next run that gets so far, and waits until it has another one.
async fn breaks(node: &mut Process, line: &str) {
    let loads = |node: &Process| {
        let log = std::fs::read_to_string(node.home.join("log")).unwrap();
        log.lines().filter(|line| line.contains("slot moved") && line.ends_with("\"ready\"")).count()
    };
    let (before, begun) = (loads(node), Instant::now());
    node.tell(line);
    while loads(node) == before {
        assert!(begun.elapsed() < Duration::from_secs(20), "{line}: the engine is not replaced");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_under_load_lose_nothing() {
    let count: usize = std::env::var("SOAK_FAULTS").map_or(16, |count| count.parse().unwrap());
    let seed = std::env::var("SOAK_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("SOAK_FAULTS={count} SOAK_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let (mut nodes, cables, model) = settle(folder.path()).await;
    let (seen, begun) = (Arc::new(Seen::default()), Instant::now());
    let clients: JoinSet<()> = (0..CLIENTS)
        .map(|n| asks(nodes[GATEWAYS[n % 2]].client.clone(), model.clone(), seen.clone()))
        .collect();
    let mut told: BTreeMap<Fault, usize> = BTreeMap::new();
    for index in 0..count {
        let (round, place) = (index / ROUND.len(), index % ROUND.len());
        let fault = ROUND[place];
        let hurt = match fault {
            Fault::Kill | Fault::Panic | Fault::Hang => 1 + (round + 2 * place / ROUND.len()) % 2,
            Fault::Freeze | Fault::Cut => random.usize(1..3),
        };
        println!("{:?} {fault:?} of n{hurt}", begun.elapsed());
        befall(&mut nodes[hurt], &cables[hurt - 1], fault, &mut random).await;
        *told.entry(fault).or_default() += 1;
        for gateway in GATEWAYS {
            nodes[gateway].sees(2).await;
        }
        tokio::time::sleep(PACE).await;
        if seen.failed.load(Ordering::SeqCst) {
            break;
        }
    }
    seen.ended.store(true, Ordering::SeqCst);
    let answers = tokio::time::timeout(Duration::from_secs(40), clients.join_all()).await;
    assert_eq!(answers.expect("none hangs").len(), CLIENTS);
    if seen.failed.load(Ordering::SeqCst) {
        for gateway in GATEWAYS {
            let log = std::fs::read_to_string(nodes[gateway].home.join("log")).unwrap();
            println!("a gateway's log:\n{log}");
        }
        panic!("an answer was not whole");
    }
    println!(
        "{told:?} in {:?}: {} answers of {TOKENS} tokens, longest pause {:?}",
        begun.elapsed(),
        seen.answers.load(Ordering::SeqCst),
        seen.longest.lock().unwrap()
    );
    assert!(seen.answers.load(Ordering::SeqCst) > count, "answers go on meanwhile");
}

/// A node whose clients may be turned away now, and how to reach it.
struct Desk {
    client: Mutex<Client>,
    is_away: AtomicBool,
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_restarted_one_after_another_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let name = model(folder.path(), "m.gguf");
    let kind = Kind { tick_ms: 5, sequences: 32, models: vec![name.clone()] };
    let mut nodes = joined(folder.path(), 3, &kind).await;
    let desk =
        |node: &Process| Desk { client: Mutex::new(node.client.clone()), is_away: AtomicBool::new(false) };
    let desks: Arc<Vec<Desk>> = Arc::new(nodes.iter().map(desk).collect());
    let (seen, away) = (Arc::new(Seen::default()), Arc::new(AtomicUsize::new(0)));
    let visit = |index: usize| {
        let (desks, seen, away, name) = (desks.clone(), seen.clone(), away.clone(), name.clone());
        async move {
            let desk = &desks[index % 3];
            while !seen.ended.load(Ordering::SeqCst) {
                let client = desk.client.lock().unwrap().clone();
                match tried(&client, request(&name, TOKENS)).await {
                    Ok((text, reason, pause)) => {
                        assert_eq!((text.len(), reason.as_str()), (TOKENS as usize, "length"), "{text}");
                        assert!(is_unbroken(&text), "{text}");
                        seen.answers.fetch_add(1, Ordering::SeqCst);
                        let mut longest = seen.longest.lock().unwrap();
                        *longest = longest.max(pause);
                    }
                    Err(error) => {
                        assert!(desk.is_away.load(Ordering::SeqCst), "of a node that stays: {error:?}");
                        away.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        }
    };
    let clients: JoinSet<()> = (0..12).map(visit).collect();
    let begun = Instant::now();
    for index in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        desks[index].is_away.store(true, Ordering::SeqCst);
        nodes[index].tell("drain");
        nodes[index].ends(Duration::from_secs(10)).await;
        nodes[index].restart().await;
        *desks[index].client.lock().unwrap() = nodes[index].client.clone();
        for node in &nodes {
            node.sees(2).await;
        }
        desks[index].is_away.store(false, Ordering::SeqCst);
    }
    seen.ended.store(true, Ordering::SeqCst);
    clients.join_all().await;
    println!(
        "three nodes restarted in {:?}: {} answers, 0 lost on nodes that stayed, {} turned away by nodes that went, \
         longest pause {:?}",
        begun.elapsed(),
        seen.answers.load(Ordering::SeqCst),
        away.load(Ordering::SeqCst),
        seen.longest.lock().unwrap()
    );
}
