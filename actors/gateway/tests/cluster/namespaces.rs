//! Two nodes in network namespaces with a cable between them, which is pulled out. The test makes both and removes them;
//! it needs the rights to do so (root, on Linux) and says so where it has none.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    network::{asks, shares},
    process::{Kind, Place, joined_at},
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
    fn make() -> Option<Self> {
        let name = format!("us{}", std::process::id());
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
    if std::env::var_os(INSIDE).is_some() {
        return;
    }
    let Some(cabled) = Cabled::make() else {
        println!("SKIPPED: network namespaces cannot be made here (`ip netns add` needs root)");
        return;
    };
    let inside = Command::new("ip")
        .args(["netns", "exec", &format!("{}a", cabled.name)])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "namespaces::inside", "--ignored", "--nocapture"])
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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the test above, in a namespace"]
async fn inside() {
    let name = std::env::var(INSIDE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), "m.gguf");
    let place = |number: u8| Place { cluster: format!("10.77.0.{number}:7863"), ..Place::free() };
    let near = place(1);
    let mut far = place(2);
    far.before = ["ip", "netns", "exec", &format!("{name}b")].map(Into::into).to_vec();
    far.words.push("grpc=10.77.0.2".into());
    let kind = Kind { tick_ms: 10, sequences: 32, models: vec![model.clone()] };
    let mut nodes = joined_at(folder.path(), &[near, far], &kind).await;
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
