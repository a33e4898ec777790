//! Two nodes in network namespaces with a cable between them, which is pulled out. The test makes both and removes them;
//! it needs the rights to do so (root, on Linux) and says so where it has none.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use tokio::time::Instant;
use understudy_cluster::{
    discovery::{Announcement, Discovery},
    identity::{ClusterFiles, NodeKey, SystemClock},
    join,
};

use crate::{
    SOON,
    network::{asks, shares},
    process::{Kind, Place, Process, joined_at},
    town::model,
};

/// Set in the process that runs inside of the first namespace.
const INSIDE: &str = "UNDERSTUDY_NAMESPACES";
const VERDICT: Duration = Duration::from_millis(3_500);

fn ip(words: &str) -> bool {
    let run = Command::new("ip").args(words.split(' ')).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

/// Two namespaces and what joins them, removed at the end.
struct Cabled {
    name: String,
}

impl Cabled {
    /// `None` where that is not permitted.
    fn make(tag: &str) -> Option<Self> {
        // Names of devices have fifteen letters at most.
        let name = format!("{}{}", &tag[..1], std::process::id());
        let made = Self { name: name.clone() };
        let steps = [
            format!("netns add {name}a"),
            format!("netns add {name}b"),
            format!("link add {name}va netns {name}a type veth peer name {name}vb netns {name}b"),
        ];
        let sides = [("a", 1), ("b", 2)].into_iter().flat_map(|(side, number)| {
            [
                format!("-n {name}{side} addr add 10.77.0.{number}/24 dev {name}v{side}"),
                format!("-n {name}{side} link set lo up"),
                format!("-n {name}{side} link set {name}v{side} up"),
            ]
        });
        steps.into_iter().chain(sides).all(|step| ip(&step)).then_some(made)
    }
}

impl Drop for Cabled {
    fn drop(&mut self) {
        // Devices go with their namespaces.
        let _ = (ip(&format!("netns del {}a", self.name)), ip(&format!("netns del {}b", self.name)));
    }
}

#[test]
fn nodes_with_a_cable_between_them() {
    run_inside("cable", "namespaces::a_cable_is_pulled");
}

#[test]
fn nodes_that_find_each_other() {
    run_inside("find", "namespaces::announcements_are_heard");
}

/// Runs another test of this program in the first of two namespaces. The tag keeps their names apart.
fn run_inside(tag: &str, test: &str) {
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let Some(cabled) = Cabled::make(tag) else {
        println!("SKIPPED: network namespaces cannot be made here (`ip netns add` needs root)");
        return;
    };
    let inside = Command::new("ip")
        .args(["netns", "exec", &format!("{}a", cabled.name)])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(INSIDE, &cabled.name)
        .status()
        .unwrap();
    assert!(inside.success());
}

/// One side of the cable, or both.
fn pull(name: &str, sides: &[&str], how: &str) {
    for side in sides {
        assert!(ip(&format!("-n {name}{side} link set {name}v{side} {how}")));
    }
}

/// The two ends: here, and in the other namespace.
fn places(name: &str) -> [Place; 2] {
    let place = |number: u8| Place { cluster: format!("10.77.0.{number}:7863"), ..Place::free() };
    let mut far = place(2);
    far.before = ["ip", "netns", "exec", &format!("{name}b")].map(Into::into).to_vec();
    far.words.push("grpc=10.77.0.2".into());
    [place(1), far]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a test above, in a namespace"]
async fn a_cable_is_pulled() {
    let name = std::env::var(INSIDE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "m.gguf");
    let kind = Kind { tick_ms: 10, sequences: 32, models: vec![model.clone()] };
    let mut nodes = joined_at(folder.path(), &places(&name), &kind).await;
    asks(&nodes[0].client, &model, 24).are_whole().await;

    for sides in [&["a"][..], &["b"], &["a", "b"]] {
        let answers = asks(&nodes[0].client, &model, 24);
        shares(&nodes[0]).await;
        pull(&name, sides, "down");
        let pulled = Instant::now();
        while nodes[0].count("dead").await == 0 {
            assert!(pulled.elapsed() < VERDICT);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let dead = pulled.elapsed();
        let pause = answers.are_whole().await;
        assert!(pause < VERDICT + Duration::from_secs(1), "{pause:?}");
        asks(&nodes[0].client, &model, 4).are_whole().await;
        pull(&name, sides, "up");
        let plugged = Instant::now();
        nodes[0].sees(1).await;
        println!(
            "cable down at {sides:?}: dead after {dead:?}, longest pause {pause:?}, alive {:?} after it is up",
            plugged.elapsed()
        );
        asks(&nodes[0].client, &model, 8).are_whole().await;
    }

    let answers = asks(&nodes[0].client, &model, 24);
    shares(&nodes[0]).await;
    nodes[1].kill();
    let killed = Instant::now();
    while nodes[0].count("dead").await == 0 {
        assert!(killed.elapsed() < Duration::from_secs(1));
    }
    let dead = killed.elapsed();
    let pause = answers.are_whole().await;
    nodes[1].restart().await;
    nodes[0].sees(1).await;
    println!("kill -9 across the cable: dead after {dead:?}, longest pause {pause:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a test above, in a namespace"]
async fn announcements_are_heard() {
    let name = std::env::var(INSIDE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "m.gguf");
    let kind = Kind { tick_ms: 10, sequences: 32, models: vec![model.clone()] };
    let [mut near, mut far] = places(&name);
    near.words.push("discovery=on".into());
    let near = Process::start_at(&folder.path().join("near"), &kind, &near).await;
    let listening = Discovery::start(None).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(listening.seen(), [], "in no cluster it announces nothing");

    let own = near.files().init("town", &SystemClock).unwrap();
    let found = heard(&listening, 1).await.remove(0);
    assert_eq!(found.node, own.key.fingerprint().node().to_string());
    assert_eq!(
        (found.name.as_str(), &found.addresses[..]),
        ("near", &["10.77.0.1:7863".parse().unwrap()][..])
    );

    // The other joins where the announcement says, and forgets the address that it joined at.
    let invited = near.client.invite(false, SOON).await.unwrap();
    let key = NodeKey::generate().unwrap();
    let address = found.addresses[0].to_string();
    let welcome = join(&address, &invited.code.parse().unwrap(), &key, "far").await.unwrap();
    let files = ClusterFiles::at(folder.path().join("far").join("cluster"));
    files.join(key, *welcome, &SystemClock).unwrap();
    files.keep_peers(&[]).unwrap();
    let mut deaf = Process::start_at(&folder.path().join("far"), &kind, &far).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(near.count("alive").await, 0, "nobody told it where to go");
    deaf.kill();
    far.words.push("discovery=on".into());
    let _far = Process::start_at(&folder.path().join("far"), &kind, &far).await;
    let begun = Instant::now();
    near.sees(1).await;
    println!("found {:?} after its start", begun.elapsed());
    heard(&listening, 2).await;
    asks(&near.client, &model, 16).are_whole().await;

    // Whoever announces itself as this cluster's and is not let in stays outside.
    let rogue = Announcement {
        node: "0123456789abcdef".into(),
        name: "rogue".into(),
        cluster: found.cluster,
        addresses: vec!["10.77.0.1:1".parse().unwrap()],
    };
    let _rogue = Discovery::start(Some(&rogue)).unwrap();
    heard(&listening, 3).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = near.client.cluster_status(SOON).await.unwrap();
    assert_eq!(status.nodes.len(), 2, "{status:#?}");
}

/// The announcements, once there are so many.
async fn heard(listening: &Discovery, count: usize) -> Vec<Announcement> {
    let begun = Instant::now();
    loop {
        let seen = listening.seen();
        if seen.len() == count {
            return seen;
        }
        assert!(begun.elapsed() < SOON, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
