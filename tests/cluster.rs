//! The cluster by its commands, and the script that shows one.

use std::process::Command;

use understudy_cluster::identity::ClusterFiles;

fn understudy() -> Command {
    Command::new(env!("CARGO_BIN_EXE_understudy"))
}

#[test]
fn commands_say_what_a_node_is_in() {
    let home = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let output = understudy().env("UNDERSTUDY_HOME", home.path()).args(args).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let refused = |args: &[&str], exit: i32, code: &str| {
        let (status, said) = run(args);
        assert!(
            status == Some(exit) && said.contains(&format!("error[{code}]")),
            "{args:?}: {status:?} {said}"
        );
    };
    refused(&["cluster", "leave"], 3, "CLUSTER_NONE");
    refused(&["cluster", "join", "no code", "--peer", "127.0.0.1:1"], 2, "REQUEST_INVALID");
    refused(&["cluster", "join", "K7QF2-M9XTB", "--peer", "127.0.0.1:1"], 3, "CLUSTER_UNREACHABLE");
    refused(&["cluster", "status", "--server", "127.0.0.1:1"], 3, "SERVER_UNREACHABLE");
    let (status, said) = run(&["cluster", "init", "--name", "lab"]);
    assert!(status == Some(0) && said.contains("\"lab\""), "{said}");
    refused(&["cluster", "init"], 2, "CLUSTER_MEMBER");
    refused(&["cluster", "join", "K7QF2-M9XTB"], 2, "CLUSTER_MEMBER");
    let own = ClusterFiles::at(home.path().join("cluster")).open().expect("a member").key.fingerprint();
    refused(&["cluster", "revoke", &own.to_string()], 2, "REQUEST_INVALID");
    let (status, said) = run(&["cluster", "revoke", &"0".repeat(64), "--reason", "lost"]);
    assert!(status == Some(0) && said.contains("0000000000000000"), "{said}");
    let (status, said) = run(&["cluster", "leave"]);
    assert!(status == Some(0) && said.contains("left"), "{said}");
    refused(&["cluster", "leave"], 3, "CLUSTER_NONE");
}

/// Two commands on each node join them, and one without the model answers.
#[cfg(unix)]
#[test]
fn the_demo_shows_three_nodes() {
    let begun = std::time::Instant::now();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo-cluster");
    let mut demo = Command::new(script);
    let output = demo.env("UNDERSTUDY", env!("CARGO_BIN_EXE_understudy")).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches(" alive ").count(), 2, "{said}");
    let answer = said.rsplit("answers all the same").next().unwrap_or_default();
    assert!(answer.split_whitespace().count() > 10, "{said}");
    assert!(begun.elapsed().as_secs() < 60);
}
