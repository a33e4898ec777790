//! What the authority signs, and what it does not.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType};
use understudy_identity::{
    Authority, Clock as _, DenyList, IdentityError, NodeKey, certificate::RENEW_BEFORE_S,
};

use crate::world::{DAY, World};

#[test]
fn a_certificate_is_for_thirty_days_and_began_yesterday() {
    let world = World::new();
    let certificate = &world.first.certificate;
    let now = world.clock.now_s();
    assert_eq!(certificate.not_before(), now - DAY.as_secs());
    assert_eq!(certificate.not_after(), now + 30 * DAY.as_secs());
    assert_eq!(certificate.fingerprint(), world.first.key.fingerprint());
    for (later, wants) in [(0, false), (20 * DAY.as_secs(), false), (20 * DAY.as_secs() + 1, true)] {
        assert_eq!(certificate.wants_renewal(now + later), wants, "{later}");
    }
    assert_eq!(RENEW_BEFORE_S, 10 * DAY.as_secs());
}

#[test]
fn of_a_request_only_the_key_counts() {
    let world = World::new();
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.subject_alt_names = vec![SanType::DnsName("example.com".try_into().unwrap())];
    let greedy = params.serialize_request(&key).unwrap();
    // Reading it back checks that its only name is that of its key.
    let certificate = world.authority().issue(greedy.der(), world.clock.now_s()).unwrap();
    let text = String::from_utf8_lossy(certificate.der());
    assert!(!text.contains("example.com"));
    assert!(understudy_identity::AuthorityCertificate::parse(certificate.der()).is_err(), "no authority");
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let world = World::new();
    let good = NodeKey::generate().unwrap().request().unwrap();
    let mut unsigned = good.clone();
    *unsigned.last_mut().unwrap() ^= 1;
    // The place of the key within the request: another one, which did not sign.
    let mut of_another_key = good.clone();
    let at = good.len() - 64 - 40;
    of_another_key[at] ^= 1;
    let other_kind = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let other_kind = CertificateParams::default().serialize_request(&other_kind).unwrap().der().to_vec();
    let long = vec![0x30; 1 << 20];
    for request in [&[][..], b"request", &unsigned, &of_another_key, &other_kind, &long] {
        let refused = world.authority().issue(request, world.clock.now_s());
        assert!(matches!(refused, Err(IdentityError::BadRequest(_))), "{refused:?}");
    }
}

#[test]
fn renewal_is_for_members_as_long_as_they_are() {
    let world = World::new();
    let (member, other) = (world.member(), world.member());
    let request = member.key.request().unwrap();
    let none = DenyList::default();
    let renew = |old: &understudy_identity::NodeCertificate, request: &[u8], denied: &DenyList| {
        world.authority().renew(old, request, denied, world.clock.now_s())
    };
    world.clock.advance(DAY * 25);
    let renewed = renew(&member.certificate, &request, &none).unwrap();
    assert_eq!(renewed.fingerprint(), member.certificate.fingerprint());
    assert_eq!(renewed.not_after(), member.certificate.not_after() + 25 * DAY.as_secs());
    assert_ne!(renewed.der(), member.certificate.der());

    let mine = renew(&other.certificate, &request, &none);
    assert!(matches!(mine, Err(IdentityError::BadRequest(_))), "another's certificate");
    let foreign = World::new();
    let foreign = renew(&foreign.first.certificate, &foreign.first.key.request().unwrap(), &none);
    assert!(matches!(foreign, Err(IdentityError::OtherCluster)));

    let mut denied = DenyList::default();
    let denial = world.authority().deny(member.key.fingerprint(), "", world.clock.now_ms()).unwrap();
    denied.merge(world.authority().certificate(), [denial], world.clock.now_ms());
    let turned_out = renew(&member.certificate, &request, &denied);
    assert!(matches!(turned_out, Err(IdentityError::Denied { .. })));

    world.clock.advance(DAY * 5 + std::time::Duration::from_secs(1));
    let late = renew(&member.certificate, &request, &none).unwrap_err();
    assert!(late.to_string().contains("2027-02-14"), "{late}");
    world.clock.set_back(DAY * 32);
    let early = renew(&member.certificate, &request, &none);
    assert!(matches!(early, Err(IdentityError::NotYet { .. })));
}

#[test]
fn an_authority_is_loaded_with_its_own_key_only() {
    let (a, b) = (Authority::create(1_800_000_000).unwrap(), Authority::create(1_800_000_000).unwrap());
    assert!(Authority::load(&a.key_der(), a.certificate().clone()).is_ok());
    assert!(Authority::load(&b.key_der(), a.certificate().clone()).is_err());
    assert_ne!(a.certificate().cluster(), b.certificate().cluster());
}
