//! A node with a code becomes a member: over real TLS, and frame by frame.

use std::time::Duration;

use understudy_identity::{
    Binding, ClusterFiles, IdentityError, InviteCode, Joiner, ManualClock, NodeKey, PairingError, Protocol,
    invite::LASTS,
    pairing::{Next, STEP_LIMIT},
    tls::joining,
};

use crate::world::{DAY, SESSION, START_MS, World, connect, pair};

fn same(_: usize, frame: Vec<u8>) -> Vec<u8> {
    frame
}

#[test]
fn a_code_makes_a_member_that_others_let_in() {
    let world = World::new();
    let gate = world.doors(&world.first);
    let code = world.invites.open(false).unwrap().code;

    let connected = connect(joining().unwrap(), &gate, true).ok().unwrap();
    let (at_joiner, at_inviter) =
        (Binding::of(&connected.client).unwrap(), Binding::of(&connected.server).unwrap());
    let key = NodeKey::generate().unwrap();
    let typed: InviteCode = code.to_string().to_lowercase().parse().unwrap();
    let (joiner, hello) = Joiner::start(&typed, &key, "Mara's laptop", at_joiner).unwrap();
    let (welcome, guest) = pair(joiner, hello, world.inviter(at_inviter), same).welcome();

    assert_eq!((&*guest.name, guest.with_authority), ("Mara's laptop", false));
    assert_eq!(guest.certificate.fingerprint(), key.fingerprint());
    assert_eq!(welcome.inviter, world.first.key.fingerprint());
    assert_eq!(welcome.addresses, ["192.168.1.5:7863", "mac.local:7863"]);

    let home = tempfile::tempdir().unwrap();
    let files = ClusterFiles::at(home.path());
    let inviter = welcome.inviter;
    let member = files.join(key, welcome, &*world.clock).unwrap();
    assert_eq!(&*member.cluster_name, "lab");
    assert!(member.authority.is_none(), "the invite did not say so");
    assert_eq!(member.peers.len(), 2);

    let doors = world.doors(&member);
    let config = doors.client(Protocol::Data, Some(inviter)).unwrap();
    let connected = connect(config, &gate, false).ok().unwrap();
    assert_eq!(gate.peer(&connected.server).unwrap().fingerprint, member.key.fingerprint());
}

#[test]
fn a_machine_whose_clock_is_weeks_off_is_told_before_it_keeps_anything() {
    let world = World::new();
    let day_ms = u64::try_from(DAY.as_millis()).unwrap();
    let table = [
        (START_MS + 40 * day_ms, "ended on 2027-02-14"),
        (START_MS - 20 * day_ms, "begins on 2027-01-14 only"),
    ];
    for (here_ms, words) in table {
        let code = world.invites.open(false).unwrap().code;
        let key = NodeKey::generate().unwrap();
        let (joiner, hello) = Joiner::start(&code, &key, "x", *SESSION).unwrap();
        let (welcome, _) = pair(joiner, hello, world.inviter(*SESSION), same).welcome();
        let home = tempfile::tempdir().unwrap();
        let files = ClusterFiles::at(home.path());
        let told = files.join(key, welcome, &ManualClock::at_ms(here_ms)).unwrap_err().to_string();
        assert!(told.contains(words) && !files.is_member(), "{told}");
    }
}

#[test]
fn an_invite_with_the_authority_makes_a_node_that_can_invite() {
    let world = World::new();
    let code = world.invites.open(true).unwrap().code;
    let key = NodeKey::generate().unwrap();
    let (joiner, hello) = Joiner::start(&code, &key, "second", *SESSION).unwrap();
    let (welcome, guest) = pair(joiner, hello, world.inviter(*SESSION), same).welcome();
    assert!(guest.with_authority);
    let home = tempfile::tempdir().unwrap();
    let member = ClusterFiles::at(home.path()).join(key, welcome, &*world.clock).unwrap();
    let third = NodeKey::generate().unwrap().request().unwrap();
    let certificate = member.authority.unwrap().issue(&third, 1_800_000_000).unwrap();
    assert!(world.authority().certificate().has_signed(&certificate));
}

#[test]
fn what_is_wrong_with_a_code_is_not_told() {
    let slip = |code: &InviteCode| -> InviteCode {
        let text = code.to_string();
        let other = if text.ends_with('0') { "1" } else { "0" };
        format!("{}{other}", &text[..10]).parse().unwrap()
    };
    let nobodys = |code: &InviteCode| -> InviteCode {
        let text = code.to_string();
        let other = if text.starts_with('0') { "1" } else { "0" };
        format!("{other}{}", &text[1..]).parse().unwrap()
    };
    let attempt = |world: &World, code: &InviteCode| {
        let (joiner, hello) = Joiner::start(code, &NodeKey::generate().unwrap(), "x", *SESSION).unwrap();
        pair(joiner, hello, world.inviter(*SESSION), same)
    };
    let mut told = Vec::new();
    let mut refused = |what: &str, world: &World, code: &InviteCode| {
        let outcome = attempt(world, code);
        assert!(outcome.is_refused(), "{what}");
        told.push(outcome.frames.iter().map(|frame| (frame[0], frame.len())).collect::<Vec<_>>());
    };

    let world = World::new();
    let code = world.invites.open(false).unwrap().code;
    refused("no such label", &world, &nobodys(&code));
    refused("a slip", &world, &slip(&code));
    refused("a second slip", &world, &slip(&code));
    assert!(attempt(&world, &code).joiner.unwrap().is_ok(), "the third time it is right");
    refused("used", &world, &code);

    let code = world.invites.open(false).unwrap().code;
    for _ in 0..3 {
        refused("three slips", &world, &slip(&code));
    }
    refused("destroyed", &world, &code);

    let code = world.invites.open(false).unwrap().code;
    world.clock.advance(LASTS);
    refused("ended", &world, &code);

    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
}

#[test]
fn an_invite_that_ends_while_it_is_used_has_ended() {
    let world = World::new();
    let code = world.invites.open(false).unwrap().code;
    let (joiner, hello) = Joiner::start(&code, &NodeKey::generate().unwrap(), "x", *SESSION).unwrap();
    let outcome = pair(joiner, hello, world.inviter(*SESSION), |number, frame| {
        if number == 2 {
            world.clock.advance(LASTS);
        }
        frame
    });
    assert!(outcome.is_refused());
    assert!(STEP_LIMIT < Duration::from_secs(10));
}

#[test]
fn a_key_that_was_turned_out_is_told_so_and_not_let_in() {
    let mut world = World::new();
    let key = NodeKey::generate().unwrap();
    world.files.revoke(key.fingerprint(), "stolen", &*world.clock).unwrap();
    world.first = world.files.open().unwrap();
    let code = world.invites.open(false).unwrap().code;
    let (joiner, hello) = Joiner::start(&code, &key, "x", *SESSION).unwrap();
    let outcome = pair(joiner, hello, world.inviter(*SESSION), same);
    let Some(Err(PairingError::NotWelcome(why))) = outcome.joiner else { panic!("{:?}", outcome.joiner) };
    assert!(why.contains("turned out") && why.contains("2027-01-15"), "{why}");
    let inviter = outcome.inviter.unwrap();
    assert!(matches!(inviter, Err(PairingError::Identity(IdentityError::Denied { .. }))));
}

#[test]
fn a_new_member_learns_the_newest_denials_however_many_there_are() {
    let mut world = World::new();
    let denials = (0u64..1000).map(|number| {
        let key = understudy_identity::Fingerprint::of_key(&number.to_be_bytes());
        world.authority().deny(key, &"x".repeat(100), 1_800_000_000_000 + number).unwrap()
    });
    world.files.keep_denials(denials, &*world.clock).unwrap();
    world.first = world.files.open().unwrap();
    let code = world.invites.open(true).unwrap().code;
    let key = NodeKey::generate().unwrap();
    let (joiner, hello) = Joiner::start(&code, &key, "x", *SESSION).unwrap();
    let (welcome, _) = pair(joiner, hello, world.inviter(*SESSION), same).welcome();
    assert!((100..300).contains(&welcome.denied.len()), "{}", welcome.denied.len());
    assert!(welcome.denied.iter().any(|denial| denial.when_ms == 1_800_000_000_999));
    let home = tempfile::tempdir().unwrap();
    let told = welcome.denied.len();
    let member = ClusterFiles::at(home.path()).join(key, welcome, &*world.clock).unwrap();
    assert_eq!(member.denied.len(), told);
}

#[test]
fn names_that_move_cursors_are_refused() {
    let code: InviteCode = "00000-00000".parse().unwrap();
    let long = "x".repeat(65);
    for name in ["", "a\nb", "\u{1b}[2J", &long] {
        let started = Joiner::start(&code, &NodeKey::generate().unwrap(), name, *SESSION);
        assert!(matches!(started, Err(IdentityError::BadName(_))), "{name:?}");
    }
}

#[test]
fn versions_that_do_not_fit_are_told() {
    let world = World::new();
    let code = world.invites.open(false).unwrap().code;
    let (joiner, hello) = Joiner::start(&code, &NodeKey::generate().unwrap(), "x", *SESSION).unwrap();
    let outcome = pair(joiner, hello, world.inviter(*SESSION), |number, mut frame| {
        if number == 0 {
            frame[1] = 9;
        }
        frame
    });
    assert!(matches!(outcome.inviter, Some(Err(PairingError::Version { theirs: 9 }))));
    assert!(matches!(outcome.joiner, Some(Err(PairingError::Version { theirs: 1 }))));
    assert!(world.invites.any_open(), "no try was counted");
}

#[test]
fn a_machine_that_is_done_does_nothing_more() {
    let world = World::new();
    let code = world.invites.open(false).unwrap().code;
    let (mut joiner, hello) = Joiner::start(&code, &NodeKey::generate().unwrap(), "x", *SESSION).unwrap();
    let mut inviter = world.inviter(*SESSION);
    let mut frame = hello.clone();
    loop {
        let answer = inviter.receive(&frame).send.unwrap();
        let reply = joiner.receive(&answer);
        if matches!(reply.next, Next::Done(_)) {
            break;
        }
        frame = reply.send.unwrap();
    }
    for frame in [hello, frame] {
        assert!(matches!(inviter.receive(&frame).next, Next::Failed(PairingError::OutOfOrder(_))));
        assert!(matches!(joiner.receive(&frame).next, Next::Failed(PairingError::OutOfOrder(_))));
    }
}
