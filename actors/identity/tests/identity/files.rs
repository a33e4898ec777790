//! The folder: made, read, damaged, open to others, left.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;
use understudy_identity::{
    Clock as _, ClusterFiles, Fingerprint, IdentityError, ManualClock, NodeKey, store::MOST_PEERS,
};

use crate::world::{DAY, START_MS, World};

fn folder() -> (TempDir, ClusterFiles, ManualClock) {
    let home = tempfile::tempdir().unwrap();
    let files = ClusterFiles::at(home.path().join("deep/cluster"));
    (home, files, ManualClock::at_ms(START_MS))
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_cluster_is_made_read_and_left() {
    let (_home, files, clock) = folder();
    assert!(!files.is_member() && files.key().is_none());
    assert!(matches!(files.open(), Err(IdentityError::NotMember)));
    assert!(matches!(files.leave(), Err(IdentityError::NotMember)));
    assert!(matches!(files.next_generation(&clock), Err(IdentityError::NotMember)));
    assert!(matches!(files.keep_peers(&[]), Err(IdentityError::NotMember)));
    for name in ["", "two\nlines"] {
        assert!(matches!(files.init(name, &clock), Err(IdentityError::BadName(_))));
    }
    let made = files.init("lab", &clock).unwrap();
    assert!(files.is_member() && made.mended.is_empty());
    let again = files.init("other", &clock).unwrap_err();
    assert!(matches!(&again, IdentityError::AlreadyMember { name } if name == "lab"), "{again}");
    let read = files.open().unwrap();
    assert_eq!(read.key.fingerprint(), made.key.fingerprint());
    assert_eq!((&read.certificate, files.key()), (&made.certificate, Some(made.key.fingerprint())));
    assert!(read.authority.is_some());

    assert!(files.leave().unwrap().had_authority);
    assert_eq!(names(files.path()), ["lock"]);
    assert!(matches!(files.leave(), Err(IdentityError::NotMember)));
    let next = files.init("next", &clock).unwrap();
    assert_ne!(next.key.fingerprint(), made.key.fingerprint());
}

#[test]
fn what_was_cut_short_is_cleaned_up() {
    let (_home, files, clock) = folder();
    let made = files.init("lab", &clock).unwrap();
    // A departure that ended after its first step: no member, and nothing of it is used for the next cluster.
    fs::remove_file(files.path().join("cluster.json")).unwrap();
    fs::write(files.path().join("node.key.new"), "half").unwrap();
    assert!(matches!(files.open(), Err(IdentityError::NotMember)));
    let next = files.init("next", &clock).unwrap();
    assert_ne!(next.authority_certificate, made.authority_certificate);
    assert!(!files.path().join("node.key.new").exists());
    fs::remove_file(files.path().join("cluster.json")).unwrap();
    files.leave().unwrap();
    assert_eq!(names(files.path()), ["lock"]);
}

#[test]
fn damage_names_the_file_and_what_to_do() {
    let (_home, files, clock) = folder();
    files.init("lab", &clock).unwrap();
    files.revoke(Fingerprint::of_key(b"x"), "lost", &clock).unwrap();
    files.next_generation(&clock).unwrap();
    let (_other_home, other, _) = folder();
    other.init("other", &clock).unwrap();
    other.revoke(Fingerprint::of_key(b"x"), "lost", &clock).unwrap();

    for name in [
        "node.key",
        "node.crt",
        "authority.crt",
        "authority.key",
        "cluster.json",
        "denied.json",
        "peers.json",
    ] {
        let path = files.path().join(name);
        let good = fs::read(&path).unwrap();
        for bad in [&b"damage"[..], &good[..good.len() / 2], &[]] {
            fs::write(&path, bad).unwrap();
            let error = files.open().unwrap_err();
            let told = error.to_string();
            assert!(
                matches!(&error, IdentityError::Damaged { path: named, .. } if *named == path),
                "{name}: {told}"
            );
            assert!(told.contains("cluster leave") && told.contains(name), "{told}");
        }
        // Whole, but of another cluster: the files do not fit together.
        if !["cluster.json", "peers.json"].contains(&name) {
            fs::write(&path, fs::read(other.path().join(name)).unwrap()).unwrap();
            assert!(matches!(files.open(), Err(IdentityError::Damaged { .. })), "{name}");
        }
        fs::write(&path, &good).unwrap();
        files.open().unwrap();
    }
    for name in ["node.key", "node.crt", "authority.crt"] {
        let path = files.path().join(name);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(files.open(), Err(IdentityError::Damaged { .. })), "{name}");
        fs::write(&path, &good).unwrap();
    }
    fs::write(files.path().join("generation"), "-1").unwrap();
    assert!(matches!(files.next_generation(&clock), Err(IdentityError::Damaged { .. })));
}

#[test]
fn a_secret_in_a_damaged_file_is_not_repeated() {
    let (_home, files, clock) = folder();
    files.init("lab", &clock).unwrap();
    fs::write(files.path().join("node.key"), "5ec2e75ec2e7").unwrap();
    let told = files.open().unwrap_err().to_string();
    assert!(told.contains("node.key") && !told.contains("5ec2e7"), "{told}");
}

#[cfg(unix)]
#[test]
fn secrets_are_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let (_home, files, clock) = folder();
    files.init("lab", &clock).unwrap();
    files.next_generation(&clock).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(files.path()), 0o700);
    for name in names(files.path()) {
        assert_eq!(mode(&files.path().join(&name)), 0o600, "{name}");
    }

    let opened = [files.path().to_owned(), files.path().join("node.key"), files.path().join("authority.key")];
    for path in &opened {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mended = files.open().unwrap().mended;
    assert_eq!(mended, opened, "told, since somebody may have read them");
    assert_eq!([0o700, 0o600, 0o600], opened.each_ref().map(|path| mode(path)));
    assert!(files.open().unwrap().mended.is_empty());
}

#[test]
fn no_two_starts_have_the_same_generation() {
    let (_home, files, clock) = folder();
    files.init("lab", &clock).unwrap();
    assert_eq!(files.next_generation(&clock).unwrap(), START_MS);
    assert_eq!(files.next_generation(&clock).unwrap(), START_MS + 1, "within one millisecond");
    clock.set_back(DAY);
    assert_eq!(files.next_generation(&clock).unwrap(), START_MS + 2, "after the clock went back");
    clock.advance(DAY * 2);
    assert_eq!(files.next_generation(&clock).unwrap(), clock.now_ms());
    fs::write(files.path().join("generation"), u64::MAX.to_string()).unwrap();
    assert!(matches!(files.next_generation(&clock), Err(IdentityError::Damaged { .. })));
}

#[test]
fn renewed_certificates_denials_and_peers_are_kept() {
    let world = World::new();
    let (files, first) = (&world.files, &world.first);
    world.clock.advance(DAY * 25);
    let request = first.key.request().unwrap();
    let renewed = world.authority().issue(&request, world.clock.now_s()).unwrap();
    files.keep_certificate(&renewed).unwrap();
    assert_eq!(files.open().unwrap().certificate, renewed);
    assert!(files.keep_certificate(&world.member().certificate).is_err(), "another's");
    let foreign = World::new();
    let of_foreign = foreign.authority().issue(&request, world.clock.now_s()).unwrap();
    assert!(matches!(files.keep_certificate(&of_foreign), Err(IdentityError::OtherCluster)));

    let lost = Fingerprint::of_key(b"lost");
    let denial = files.revoke(lost, "lost", &*world.clock).unwrap();
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(files.revoke(lost, "again", &*world.clock).unwrap(), denial, "the first one stays");
    let of_foreign = foreign.authority().deny(Fingerprint::of_key(b"b"), "", START_MS).unwrap();
    assert_eq!(files.keep_denials([of_foreign], &*world.clock).unwrap().len(), 1);
    assert_eq!(files.open().unwrap().denied.get(&lost), Some(&denial));

    let peers: Vec<String> = (0..MOST_PEERS + 1).map(|number| format!("10.0.0.{number}:7863")).collect();
    files.keep_peers(&peers).unwrap();
    assert_eq!(files.open().unwrap().peers, peers[..MOST_PEERS]);
}

#[test]
fn a_member_without_the_authority_can_not_revoke() {
    let world = World::new();
    fs::remove_file(world.files.path().join("authority.key")).unwrap();
    let refused = world.files.revoke(NodeKey::generate().unwrap().fingerprint(), "", &*world.clock);
    assert!(matches!(refused, Err(IdentityError::NoAuthority)));
}
