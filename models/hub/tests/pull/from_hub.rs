use std::time::{Duration, Instant};

use understudy_hub::{PullEvent, Source};

use crate::fake_client::FakeClient;
use crate::fake_hub::FakeHub;
use crate::world::{World, content, sha256};

fn world(hub: &FakeHub) -> World {
    let mut world = World::new();
    world.settings.hub_offline = false;
    world.settings.endpoint = Some(hub.serve());
    world
}

fn good_hub() -> FakeHub {
    FakeHub::of(content(), &sha256(&content()))
}

#[test]
fn a_model_comes_from_the_hub_and_is_there_at_once_the_second_time() {
    let hub = good_hub();
    let world = world(&hub);
    let told = world.pull();
    let pulled = told.result.unwrap();
    assert_eq!(pulled.source, Source::Hub { repo: "owner/tiny".into() });
    assert!(!pulled.already);
    world.assert_whole();
    assert!(told.events.iter().any(|event| matches!(
        event,
        PullEvent::Started { licence_note, .. } if licence_note == "Tiny terms: be kind."
    )));
    let total = content().len() as u64;
    assert!(told.events.contains(&PullEvent::Progress { done: total, total }));

    let requests = hub.seen().len();
    let again = world.pull();
    assert!(again.result.unwrap().already);
    assert_eq!(again.events.len(), 1, "only Done: {:?}", again.events);
    assert_eq!(hub.seen().len(), requests, "the network was used");
}

#[test]
fn a_cut_connection_is_continued_where_it_stopped() {
    let hub = good_hub().cut_after(&[1000, 2000]);
    let world = world(&hub);
    world.pull().result.unwrap();
    world.assert_whole();
    let path = "/owner/tiny/resolve/main/tiny.gguf";
    assert_eq!(
        hub.seen(),
        [
            format!("HEAD {path} -"),
            format!("GET {path} -"),
            format!("GET {path} bytes=1000-"),
            format!("GET {path} bytes=3000-"),
        ]
    );
}

#[test]
fn a_killed_pull_is_continued_by_the_next() {
    let hub = good_hub();
    let world = world(&hub);
    world.leave_partial(&content()[..12_345]);
    world.pull().result.unwrap();
    world.assert_whole();
    assert!(hub.seen()[1].ends_with("bytes=12345-"), "{:?}", hub.seen());
}

#[test]
fn a_hub_that_ignores_ranges_is_read_from_the_start() {
    let hub = FakeHub { ignores_ranges: true, ..good_hub() };
    let world = world(&hub);
    world.leave_partial(&content()[..12_345]);
    world.pull().result.unwrap();
    world.assert_whole();
}

#[test]
fn wrong_bytes_of_an_earlier_pull_cost_one_fresh_download() {
    let hub = good_hub();
    let world = world(&hub);
    world.leave_partial(&[7; 5000]);
    world.pull().result.unwrap();
    world.assert_whole();
}

#[test]
fn a_partial_of_another_digest_is_not_continued() {
    let hub = good_hub();
    let world = world(&hub);
    world.leave_partial(&[7; 5000]);
    std::fs::write(world.path("tiny.gguf.part.json"), r#"{"sha256":"00","source":"old"}"#).unwrap();
    world.pull().result.unwrap();
    world.assert_whole();
    assert!(hub.seen()[1].ends_with(" -"), "{:?}", hub.seen());
}

#[test]
fn another_advertised_digest_sends_the_pull_to_the_packages_before_any_byte() {
    let other = "0".repeat(64);
    for digest in [Some(other.as_str()), None] {
        let hub = FakeHub { digest: digest.map(str::to_owned), ..good_hub() };
        let mut world = world(&hub);
        FakeClient::with(&mut world, "");
        let told = world.pull();
        assert_eq!(told.result.as_ref().unwrap().source, Source::Packages { parts: 4 });
        world.assert_whole();
        assert!(hub.seen().iter().all(|request| request.starts_with("HEAD")), "{:?}", hub.seen());
        assert_eq!(told.skipped().len(), 1, "{:?}", told.skipped());
    }
}

#[test]
fn a_hub_that_lies_about_its_digest_leaves_no_file() {
    let hub = FakeHub::of(vec![1; content().len()], &sha256(&content()));
    let mut world = world(&hub);
    world.mirrors = world.mirrors.switched_off();
    let told = world.pull();
    assert_eq!(told.code(), "HUB_BAD_DIGEST");
    let text = told.result.unwrap_err().to_string();
    assert!(text.contains(&sha256(&content())) && text.contains(&sha256(&hub.body)), "{text}");
    assert!(!world.path("tiny.gguf").exists() && !world.path("tiny.gguf.part").exists());
}

#[test]
fn what_the_hub_refuses_is_said() {
    for status in ["404 Not Found", "401 Unauthorized", "500 Internal Server Error"] {
        let mut world = world(&FakeHub { status: Some(status), ..FakeHub::default() });
        world.mirrors = world.mirrors.switched_off();
        let told = world.pull();
        assert_eq!(told.code(), "HUB_NO_SOURCE");
        let text = told.result.unwrap_err().to_string();
        assert!(text.contains(status) && text.contains("mirrors are switched off"), "{text}");
    }
}

#[test]
fn a_hub_that_is_not_there_costs_seconds_at_most() {
    let mut world = World::new();
    world.settings.hub_offline = false;
    world.settings.endpoint = Some("http://127.0.0.1:1".to_owned());
    FakeClient::with(&mut world, "");
    let start = Instant::now();
    let told = world.pull();
    told.result.as_ref().unwrap();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert!(told.skipped()[0].starts_with("out of reach"), "{:?}", told.skipped());
}

#[test]
fn a_hub_that_keeps_failing_hands_over_to_the_packages() {
    let hub = good_hub().cut_after(&[150_000, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut world = world(&hub);
    let client = FakeClient::with(&mut world, "");
    world.pull().result.unwrap();
    world.assert_whole();
    assert_eq!(
        client.asked(),
        ["tiny-part2==1.0", "tiny-part3==1.0", "tiny-part4==1.0"],
        "whole parts are kept"
    );
}
