//! Models that work together from different nodes: a draft here for a target there, a target here with a draft there,
//! a teacher that writes segments for a specialist of another node. And what becomes of it when one of them goes.

use std::{path::Path, time::Duration};

use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use understudy_agents::Client;
use understudy_proto::v1::{Finished, GenerateRequest, generate_event::Event};

use crate::{
    SOON,
    faults::{is_unbroken, request},
    process::{Kind, Place, Process, joined_at},
    town::model,
};

const TOKENS: u32 = 400;
const SMALL: &str = "small.gguf";
const BIG: &str = "big.gguf";

/// Nodes with a model each, of which the first is asked. A pass of the big one takes as long as twenty of the small one.
async fn cast(folder: &Path, models: &[&String]) -> Vec<Process> {
    let place = |model: &&String| {
        let tick = if model.ends_with(BIG) { "tick=20" } else { "tick=1" };
        Place { models: Some(vec![(*model).clone()]), words: vec![tick.into()], ..Place::free() }
    };
    let places: Vec<Place> = models.iter().map(place).collect();
    let kind = Kind { tick_ms: 1, sequences: 32, models: vec![] };
    let nodes = joined_at(folder, &places, &kind).await;
    all_ready(&nodes).await;
    nodes
}

/// Waits until the first node knows that each of the others has its model ready.
async fn all_ready(nodes: &[Process]) {
    let begun = Instant::now();
    loop {
        let status = nodes[0].client.cluster_status(SOON).await.unwrap();
        let alive = status.nodes.iter().filter(|node| node.state == "alive");
        let ready = alive.flat_map(|node| &node.models).filter(|model| model.state == "ready").count();
        if ready == nodes.len() - 1 {
            return;
        }
        assert!(begun.elapsed() < SOON, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn played(policy: &str, ladder: [&String; 2]) -> GenerateRequest {
    GenerateRequest {
        policy: policy.into(),
        ladder: ladder.map(String::clone).to_vec(),
        ..request("", TOKENS)
    }
}

/// What was written, where by, and the longest pause.
#[derive(Debug)]
struct Told {
    text: String,
    pause: Duration,
    end: Finished,
}

/// Reads an answer; calls `amid` once so many bytes of it are there.
async fn told(client: &Client, request: GenerateRequest, at: usize, amid: impl FnOnce()) -> Told {
    let mut events = client.generate(request, 3 * SOON).await.unwrap();
    let (mut text, mut pause, mut last) = (String::new(), Duration::ZERO, Instant::now());
    let mut amid = Some(amid);
    while let Some(event) = events.next().await {
        match event.unwrap().event {
            Some(Event::Delta(delta)) => {
                text.push_str(&delta.text);
                (pause, last) = (pause.max(last.elapsed()), Instant::now());
                if text.len() >= at
                    && let Some(amid) = amid.take()
                {
                    amid();
                }
            }
            Some(Event::Retracted(_)) => panic!("nothing is withdrawn"),
            Some(Event::Finished(end)) => return Told { text, pause, end },
            _ => {}
        }
    }
    panic!("it has no end: {text}");
}

impl Told {
    #[track_caller]
    fn is_whole(&self) -> &Self {
        assert_eq!(self.end.finish_reason, "length", "{self:?}");
        assert_eq!(self.text.len(), TOKENS as usize, "{self:?}");
        assert!(is_unbroken(&self.text), "{self:?}");
        self
    }

    fn accepted(&self) -> u32 {
        self.end.ledger.as_ref().unwrap().accepted
    }
}

/// The two other nodes are killed, each amid an answer of its own: one of them is where the beginning was read.
async fn each_is_killed(
    nodes: &mut [Process],
    asked: impl Fn() -> GenerateRequest,
    undisturbed: &Told,
) -> [Told; 2] {
    let client = nodes[0].client.clone();
    let mut answers = Vec::new();
    for victim in [1, 2] {
        let killed = told(&client, asked(), 60, || nodes[victim].kill()).await;
        assert_eq!(killed.is_whole().text, undisturbed.text);
        assert!(killed.pause < Duration::from_secs(1), "{killed:?}");
        answers.push(killed);
        nodes[victim].restart().await;
        all_ready(nodes).await;
    }
    let log = std::fs::read_to_string(nodes[0].home.join("log")).unwrap();
    assert!(log.contains("engine lost, trying again"), "one of them served the answer:\n{log}");
    answers.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_here_speculates_for_a_target_there_and_for_its_twin_when_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (draft, target) = (model(folder.path(), SMALL), model(folder.path(), BIG));
    let mut nodes = cast(folder.path(), &[&draft, &target, &target]).await;
    let client = nodes[0].client.clone();
    let asked = || played("speculate:with=model", [&draft, &target]);
    let undisturbed = told(&client, asked(), 0, || ()).await;
    assert!(undisturbed.is_whole().accepted() > TOKENS / 4, "{undisturbed:?}");
    for killed in each_is_killed(&mut nodes, asked, &undisturbed).await {
        assert!(killed.accepted() > TOKENS / 4, "{killed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_here_goes_on_by_itself_without_its_draft_there() {
    let folder = tempfile::tempdir().unwrap();
    let (draft, target) = (model(folder.path(), SMALL), model(folder.path(), BIG));
    let mut nodes = cast(folder.path(), &[&target, &draft]).await;
    let client = nodes[0].client.clone();
    let asked = || played("speculate:with=model", [&draft, &target]);
    let undisturbed = told(&client, asked(), 0, || ()).await;
    assert!(undisturbed.is_whole().accepted() > TOKENS / 4, "{undisturbed:?}");
    let frozen = told(&client, asked(), 60, || nodes[1].signal("STOP")).await;
    assert_eq!(frozen.is_whole().text, undisturbed.text);
    println!("draft frozen: longest pause {:?}, {} accepted", frozen.pause, frozen.accepted());
    assert!(frozen.pause < Duration::from_secs(1), "a target waits for no verdict: {frozen:?}");
    nodes[1].signal("CONT");
    all_ready(&nodes).await;
    let killed = told(&client, asked(), 60, || nodes[1].kill()).await;
    assert_eq!(killed.is_whole().text, undisturbed.text);
    println!("draft killed: longest pause {:?}, {} accepted", killed.pause, killed.accepted());
    assert!(killed.pause < Duration::from_secs(1), "{killed:?}");
    let alone = told(&client, asked(), 0, || ()).await;
    assert_eq!(alone.is_whole().text, undisturbed.text);
    assert_eq!(alone.accepted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_teacher_that_is_killed_amid_its_segment_is_followed_by_its_twin() {
    let folder = tempfile::tempdir().unwrap();
    let (small, teacher) = (model(folder.path(), SMALL), model(folder.path(), BIG));
    let mut nodes = cast(folder.path(), &[&small, &teacher, &teacher]).await;
    let client = nodes[0].client.clone();
    let asked = || played("friend:entropy=0.05,max_teacher_share=0.9", [&small, &teacher]);
    let undisturbed = told(&client, asked(), 0, || ()).await;
    let ledger = undisturbed.is_whole().end.ledger.as_ref().unwrap();
    assert_eq!(ledger.spans.len(), 2, "the teacher writes a segment: {ledger:?}");
    each_is_killed(&mut nodes, asked, &undisturbed).await;
}
