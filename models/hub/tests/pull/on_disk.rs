use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use understudy_hub::{Catalogue, Mirrors, Presence, PullEvent};

use crate::fake_client::FakeClient;
use crate::world::{World, content};

#[test]
fn a_file_put_there_by_hand_is_checked_once() {
    let world = World::new();
    std::fs::create_dir_all(world.path("")).unwrap();
    std::fs::write(world.path("tiny.gguf"), content()).unwrap();
    let model = world.catalogue.find("tiny").unwrap();
    assert_eq!(world.home().presence(model), Presence::Present { verified: false });

    let hashed =
        |events: &[PullEvent]| events.iter().any(|event| matches!(event, PullEvent::Verifying { .. }));
    let first = world.pull();
    assert!(first.result.unwrap().already);
    assert!(hashed(&first.events));
    assert_eq!(world.home().presence(model), Presence::Present { verified: true });
    assert!(!hashed(&world.pull().events));

    // Touched since: checked again.
    std::fs::write(world.path("tiny.gguf"), content()).unwrap();
    assert!(hashed(&world.pull().events));
}

#[test]
fn a_damaged_file_is_replaced_only_by_the_right_one() {
    let mut world = World::new();
    std::fs::create_dir_all(world.path("")).unwrap();
    let damaged = vec![3; content().len()];
    std::fs::write(world.path("tiny.gguf"), &damaged).unwrap();
    assert_eq!(world.pull().code(), "HUB_NO_CLIENT");
    assert!(std::fs::read(world.path("tiny.gguf")).unwrap() == damaged, "nothing better was there");

    FakeClient::with(&mut world, "");
    let told = world.pull();
    assert!(told.skipped().iter().any(|why| why.contains("other bytes")), "{:?}", told.skipped());
    world.assert_whole();
}

#[test]
fn a_full_disk_is_seen_before_anything_is_fetched() {
    let mut world = World::new();
    let client = FakeClient::with(&mut world, "");
    world.settings.free_space = Arc::new(|_| Ok(1000));
    let told = world.pull();
    assert_eq!(told.code(), "HUB_DISK_FULL");
    assert!(told.result.unwrap_err().to_string().contains("MiB needed"));
    assert!(client.asked().is_empty());
}

#[test]
fn a_home_that_cannot_be_written_is_said() {
    let world = World::new();
    // Root may write anywhere, but not a folder where a file is.
    std::fs::write(world.folder.path().join("home"), "a file").unwrap();
    let told = world.pull();
    assert_eq!(told.code(), "HUB_READ_ONLY");
    assert!(told.result.unwrap_err().help().contains("UNDERSTUDY_HOME"));
}

#[test]
fn the_users_files_in_the_home_are_used() {
    let world = World::new();
    let root = world.home().root().to_path_buf();
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("catalogue.toml"), "default_ladder = ['smollm2-135m']\n").unwrap();
    std::fs::write(root.join("mirrors.toml"), "enabled = false\n").unwrap();
    assert_eq!(Catalogue::load(&root).unwrap().default_ladder(), ["smollm2-135m"]);
    let mirrors = Mirrors::load(&root).unwrap();
    assert!(!mirrors.enabled() && mirrors.all().is_empty());

    std::fs::write(root.join("mirrors.toml"), "enabled = maybe\n").unwrap();
    assert_eq!(Mirrors::load(&root).unwrap_err().code(), "HUB_BAD_CATALOGUE");
}

#[test]
fn offline_fetches_nothing_and_says_so() {
    let mut world = World::new();
    let client = FakeClient::with(&mut world, "");
    world.settings.offline = true;
    let told = world.pull();
    assert_eq!(told.code(), "HUB_NO_SOURCE");
    assert_eq!(told.skipped(), ["offline by choice"; 2]);
    assert!(client.asked().is_empty());
}

#[test]
fn the_list_tells_what_is_here() {
    let world = World::new();
    world.leave_partial(&content()[..10]);
    let (home, puller) = (world.home(), world.puller());
    let of = |name: &str| {
        home.list(puller.catalogue()).into_iter().find(|line| line.model.name == name).unwrap().presence
    };
    assert_eq!(of("tiny"), Presence::Partial);
    assert_eq!(of("smollm2-135m"), Presence::Absent);
}

#[test]
fn an_unknown_name_writes_nothing() {
    let world = World::new();
    let error = world.puller().pull("tinny", &mut |_| {}, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.code(), "HUB_UNKNOWN_MODEL");
    assert!(error.to_string().contains("did you mean tiny"), "{error}");
    assert!(!world.home().root().exists());
}
