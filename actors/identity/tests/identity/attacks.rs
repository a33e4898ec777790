//! Somebody in the middle, somebody who recorded, somebody who sends anything at all.

use std::sync::LazyLock;

use proptest::prelude::*;
use understudy_identity::{
    Binding, InviteCode, Joiner, NodeKey, PairingError,
    invite::LASTS,
    pairing::{Next, framed},
    tls::joining,
};

use crate::world::{Connected, SESSION, World, connect, pair};

fn begin(code: &InviteCode, binding: Binding) -> (Joiner, Vec<u8>) {
    Joiner::start(code, &NodeKey::generate().unwrap(), "x", binding).unwrap()
}

fn bindings(connected: &Connected) -> (Binding, Binding) {
    (Binding::of(&connected.client).unwrap(), Binding::of(&connected.server).unwrap())
}

/// The attacker takes the joiner's TLS connection with a certificate of its own, makes another one to the
/// inviter, and passes every frame on unchanged.
#[test]
fn somebody_who_relays_between_two_tls_sessions_is_found_out() {
    let (world, attacker) = (World::new(), World::new());
    let code = world.invites.open(false).unwrap().code;
    for _ in 0..3 {
        let to_attacker = connect(joining().unwrap(), &attacker.doors(&attacker.first), true).ok().unwrap();
        let to_inviter = connect(joining().unwrap(), &world.doors(&world.first), true).ok().unwrap();
        let ((at_joiner, _), (_, at_inviter)) = (bindings(&to_attacker), bindings(&to_inviter));
        let (joiner, hello) = begin(&code, at_joiner);
        let outcome = pair(joiner, hello, world.inviter(at_inviter), |_, frame| frame);
        assert!(outcome.is_refused(), "{:?} {:?}", outcome.joiner, outcome.inviter);
    }
    assert!(!world.invites.any_open(), "and after three times the invite is gone");
}

/// Even with the inviter's own TLS key the attacker has two sessions.
#[test]
fn two_sessions_with_the_same_certificate_are_told_apart() {
    let world = World::new();
    let doors = world.doors(&world.first);
    let code = world.invites.open(false).unwrap().code;
    let sessions = [(); 2].map(|()| connect(joining().unwrap(), &doors, true).ok().unwrap());
    let [(at_joiner, same), (_, at_inviter)] = [bindings(&sessions[0]), bindings(&sessions[1])];
    assert!(at_joiner == same && at_joiner != at_inviter);
    let (joiner, hello) = begin(&code, at_joiner);
    assert!(pair(joiner, hello, world.inviter(at_inviter), |_, frame| frame).is_refused());
}

#[test]
fn frames_that_were_recorded_are_of_no_use() {
    let world = World::new();
    let code = world.invites.open(false).unwrap().code;
    let (joiner, hello) = begin(&code, *SESSION);
    let recorded = pair(joiner, hello, world.inviter(*SESSION), |_, frame| frame).frames;
    assert_eq!(recorded.len(), 6);

    // To an inviter, as the joiner; the invite with this label is open again, by luck with the same code.
    let code = world.invites.open(false).unwrap().code;
    let (_, own_hello) = begin(&code, *SESSION);
    let mut hello = recorded[0].clone();
    hello[2] = own_hello[2];
    let mut inviter = world.inviter(*SESSION);
    assert!(matches!(inviter.receive(&hello).next, Next::Wait));
    assert!(matches!(inviter.receive(&recorded[2]).next, Next::Failed(PairingError::Refused)));

    // To a joiner, as the inviter.
    let (mut joiner, _) = begin(&code, *SESSION);
    assert!(matches!(joiner.receive(&recorded[1]).next, Next::Wait));
    assert!(matches!(joiner.receive(&recorded[3]).next, Next::Failed(PairingError::Refused)));
}

/// Two joiners, two invites, one session each: what one inviter answers is handed to the other joiner.
#[test]
fn what_is_said_in_one_pairing_is_worth_nothing_in_another() {
    let world = World::new();
    let codes = [(); 2].map(|()| world.invites.open(false).unwrap().code);
    let mut joiners = codes.each_ref().map(|code| begin(code, *SESSION));
    let mut inviters = [world.inviter(*SESSION), world.inviter(*SESSION)];
    let answers = [0, 1].map(|i| inviters[i].receive(&joiners[i].1).send.unwrap());
    let proofs = [0, 1].map(|i| joiners[i].0.receive(&answers[1 - i]).send.unwrap());
    for (inviter, proof) in inviters.iter_mut().zip(&proofs) {
        assert!(matches!(inviter.receive(proof).next, Next::Failed(PairingError::Refused)));
    }
}

/// A joiner whose own words come back.
#[test]
fn a_mirror_is_no_inviter() {
    let code: InviteCode = "00000-00000".parse().unwrap();
    let (mut joiner, hello) = begin(&code, *SESSION);
    assert!(matches!(joiner.receive(&hello).next, Next::Failed(PairingError::OutOfOrder(_))));

    let world = World::new();
    let code = world.invites.open(false).unwrap().code;
    let (mut joiner, hello) = begin(&code, *SESSION);
    let answer = world.inviter(*SESSION).receive(&hello).send.unwrap();
    let proof = joiner.receive(&answer).send.unwrap();
    assert!(matches!(joiner.receive(&proof).next, Next::Failed(PairingError::Refused)), "its own proof");
}

/// Somebody who poses as the inviter without the code gets one proof, which fits no code but the right one; the
/// joiner says no more.
#[test]
fn a_false_inviter_gets_no_application() {
    let (world, attacker) = (World::new(), World::new());
    let code = world.invites.open(false).unwrap().code;
    let (mut joiner, hello) = begin(&code, *SESSION);
    let answer = attacker.inviter(*SESSION).receive(&hello).send.unwrap();
    let proof = joiner.receive(&answer).send.unwrap();
    let turn = joiner.receive(&proof.iter().map(|byte| byte ^ 1).collect::<Vec<_>>());
    assert!(turn.send.is_none() && matches!(turn.next, Next::Failed(_)));
}

/// What is secret is in none of the frames: of the joiner, who sends its public key only, and of the cluster,
/// whose words are sealed.
#[test]
fn secrets_are_sealed() {
    let world = World::new();
    let code = world.invites.open(true).unwrap().code;
    let key = NodeKey::generate().unwrap();
    let (joiner, hello) = Joiner::start(&code, &key, "x", *SESSION).unwrap();
    let frames = pair(joiner, hello, world.inviter(*SESSION), |_, frame| frame).frames;
    // PKCS #8 of Ed25519: 16 bytes of form, then the 32 that are secret.
    let (seed, authority_seed) = (&key.to_der()[16..48], &world.authority().key_der()[16..48]);
    let code = code.to_string();
    let secrets = [
        ("the node's key", seed),
        ("the authority's key", authority_seed),
        ("which cluster", world.first.authority_certificate.der()),
        ("the code", &code.as_bytes()[7..]),
    ];
    for (what, secret) in secrets {
        assert!(!frames.iter().any(|frame| frame.windows(secret.len()).any(|part| part == secret)), "{what}");
    }
    let request = key.request().unwrap();
    assert!(!request.windows(32).any(|part| part == seed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One bit anywhere: whoever receives it gets nothing, and neither does anybody after.
    #[test]
    fn a_changed_bit_ends_the_pairing(number in 0usize..6, place in any::<proptest::sample::Index>(), bit in 0u8..8) {
        // One for all cases: to make one is to write files.
        static WORLD: LazyLock<World> = LazyLock::new(World::new);
        let world = &*WORLD;
        // The invite of the case before is over.
        world.clock.advance(LASTS);
        let code = world.invites.open(false).unwrap().code;
        let (joiner, hello) = begin(&code, *SESSION);
        let outcome = pair(joiner, hello, world.inviter(*SESSION), |at, mut frame| {
            if at == number {
                let place = place.index(frame.len());
                frame[place] ^= 1 << bit;
            }
            frame
        });
        prop_assert!(!matches!(outcome.joiner, Some(Ok(_))), "the joiner at {number}");
        // The last frame is the inviter's: it cannot know that it did not arrive as it was.
        prop_assert!(number == 5 || !matches!(outcome.inviter, Some(Ok(_))), "the inviter at {number}");
    }

    #[test]
    fn garbage_ends_a_pairing_at_any_point(
        good in 0usize..3,
        kind in 0u8..8,
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        // One for all cases: to make one is to write files.
        static WORLD: LazyLock<World> = LazyLock::new(World::new);
        let world = &*WORLD;
        // The invite of the case before is over.
        world.clock.advance(LASTS);
        let code = world.invites.open(false).unwrap().code;
        let (mut joiner, hello) = begin(&code, *SESSION);
        let mut inviter = world.inviter(*SESSION);
        let garbage = [&[kind], &rest[..]].concat();
        let mut to_inviter = hello;
        for _ in 0..good {
            let answer = inviter.receive(&to_inviter).send.unwrap();
            if let Some(next) = joiner.receive(&answer).send {
                to_inviter = next;
            }
        }
        let at_inviter = inviter.receive(&garbage);
        prop_assert!(!matches!(at_inviter.next, Next::Done(_)));
        let at_joiner = joiner.receive(&garbage);
        prop_assert!(!matches!(at_joiner.next, Next::Done(_)));
        prop_assert!(framed(&garbage).len() == garbage.len() + 4);
        prop_assert!(inviter.receive(&[]).send.is_some_and(|frame| frame.len() == 1));
    }
}
