//! Real TLS handshakes between members, strangers and members that no longer are.

use std::{sync::Arc, time::Duration};

use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ED25519};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime},
    sign::{CertifiedKey, SingleCertAndKey},
};
use understudy_identity::{
    Clock as _, DenyList, Doors, Member, NodeCertificate, NodeKey, PeerIdentity, PeerProblem, Protocol,
    tls::{joining, server_name},
};

use crate::world::{DAY, Failed, HOUR, World, chosen, connect, connect_to};

/// Connects `client` to `server`, and tells what each of them finds.
fn meet(client: &Doors, server: &Doors) -> Result<(PeerIdentity, PeerIdentity), (PeerProblem, PeerProblem)> {
    let config = client.client(Protocol::Data, None).unwrap();
    match connect(config, server, false) {
        Ok(connected) => {
            assert_eq!(Protocol::of(&connected.server), Some(Protocol::Data));
            Ok((client.peer(&connected.client).unwrap(), server.peer(&connected.server).unwrap()))
        }
        Err(failed) => {
            let Failed { client, server } = *failed;
            let problem = |error| PeerProblem::from(&Option::expect(error, "each end is told"));
            Err((problem(client), problem(server)))
        }
    }
}

#[test]
fn members_meet_and_know_each_other() {
    let world = World::new();
    let (a, b) = (world.member(), world.member());
    let (at_a, at_b) = meet(&world.doors(&a), &world.doors(&b)).unwrap();
    assert_eq!(at_a.fingerprint, b.key.fingerprint());
    assert_eq!(at_b, PeerIdentity { fingerprint: a.key.fingerprint(), not_after: a.certificate.not_after() });
    assert_eq!(at_b.node(), a.certificate.node());
}

#[test]
fn whoever_is_no_member_now_is_refused_and_both_are_told_why() {
    let world = World::new();
    let here = world.first.certificate.clone();
    let now = world.clock.now_s();
    let (stranger, other) = (World::new(), World::new().member());
    let issued_at = |now_s: u64| {
        let key = NodeKey::generate().unwrap();
        let certificate = world.authority().issue(&key.request().unwrap(), now_s).unwrap();
        world.member_with(key, certificate)
    };
    let (expired, early) = (issued_at(now - 31 * DAY.as_secs()), issued_at(now + 3 * DAY.as_secs()));
    let revoked = world.member();
    let mut knows = DenyList::default();
    let denial = world.authority().deny(revoked.key.fingerprint(), "stolen", world.clock.now_ms()).unwrap();
    knows.merge(world.authority().certificate(), [denial], world.clock.now_ms());
    let server = world.doors(&world.first);
    server.deny(knows);

    // A member of another cluster that would take anybody of ours, so that only one side refuses.
    let mut foreign = other;
    foreign.authority_certificate = world.authority().certificate().clone();
    // The authority makes neither; whoever has its key might.
    let named_after_another = forged(&world, &here.node().dns_name());
    let of_another_name = forged(&world, "example.com");

    let expired_problem = PeerProblem::Expired { not_after: expired.certificate.not_after(), now };
    let early_problem = PeerProblem::NotYet { not_before: early.certificate.not_before(), now };
    let table = [
        ("expired", expired, expired_problem, PeerProblem::WeExpired),
        ("not yet valid", early, early_problem, PeerProblem::WeExpired),
        ("revoked", revoked, PeerProblem::Revoked, PeerProblem::WeAreRevoked),
        ("another cluster", foreign, PeerProblem::OtherCluster, PeerProblem::WeAreOfAnotherCluster),
    ];
    for (what, member, at_server, at_client) in table {
        let found = meet(&world.doors(&member), &server).expect_err(what);
        assert_eq!(found, (at_client, at_server), "{what}");
    }
    for (what, config) in [("a borrowed name", named_after_another), ("a foreign name", of_another_name)] {
        let Err(failed) = connect(config, &server, false) else { panic!("{what} was let in") };
        assert!(failed.server.is_some() && failed.client.is_some(), "{what}: {failed:?}");
    }
    // The other cluster's own nodes do not take ours either.
    let (at_client, _) = meet(&world.doors(&world.member()), &stranger.doors(&stranger.first)).unwrap_err();
    assert_eq!(at_client, PeerProblem::OtherCluster);
    // And one without a certificate.
    let mut config = (*joining().unwrap()).clone();
    config.alpn_protocols = vec![Protocol::Data.alpn().to_vec()];
    let failed = connect(Arc::new(config), &server, false).err().unwrap();
    assert_eq!(PeerProblem::from(&failed.server.unwrap()), PeerProblem::NoCertificate);
}

/// A client with a certificate of our authority for a name of its choice.
fn forged(world: &World, name: &str) -> Arc<ClientConfig> {
    let (key, certificate) = made_with_the_authoritys_key(world, name);
    client_with(vec![certificate], &key)
}

/// What the authority itself never makes.
fn made_with_the_authoritys_key(world: &World, name: &str) -> (KeyPair, CertificateDer<'static>) {
    let issuer =
        Issuer::from_ca_cert_der(world.authority().certificate().der(), pair(&world.authority().key_der()));
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer.unwrap()).unwrap();
    (key, certificate.der().clone())
}

fn pair(key: &[u8]) -> KeyPair {
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key), &PKCS_ED25519).unwrap()
}

fn client_with(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ClientConfig> {
    // Its own judgement of the server is not what is tried here.
    let mut config = (*joining().unwrap()).clone();
    config.client_auth_cert_resolver = certified(chain, key);
    config.alpn_protocols = vec![Protocol::Data.alpn().to_vec()];
    Arc::new(config)
}

fn certified(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<SingleCertAndKey> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)))
}

/// A certificate is public: who shows it must have its key, in every protocol.
#[test]
fn a_copied_certificate_is_worth_nothing() {
    let world = World::new();
    let (member, client) = (world.member(), world.doors(&world.member()));
    let (copied, key) =
        (vec![member.certificate.der().clone()], KeyPair::generate_for(&PKCS_ED25519).unwrap());
    assert!(connect(client_with(copied.clone(), &key), &world.doors(&world.first), false).is_err());
    let configs = [client.client(Protocol::Data, None).unwrap(), joining().unwrap()];
    for config in configs {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider);
        let server = server.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
        let mut server = server.with_no_client_auth().with_cert_resolver(certified(copied.clone(), &key));
        server.alpn_protocols = config.alpn_protocols.clone();
        let failed = connect_to(config, server).err().unwrap();
        assert!(failed.client.is_some(), "{failed:?}");
    }
}

#[test]
fn a_member_cannot_make_members() {
    let world = World::new();
    let member = world.member();
    let issuer = Issuer::from_ca_cert_der(member.certificate.der(), pair(&member.key.to_der())).unwrap();
    let key = NodeKey::generate().unwrap();
    let own = pair(&key.to_der());
    let name = key.fingerprint().node().dns_name();
    let certificate = CertificateParams::new([name]).unwrap().signed_by(&own, &issuer).unwrap();
    let chains =
        [vec![certificate.der().clone()], vec![certificate.der().clone(), member.certificate.der().clone()]];
    for chain in chains {
        assert!(connect(client_with(chain, &own), &world.doors(&world.first), false).is_err());
    }
    // What is a good certificate is refused with anything behind it.
    let behind = vec![member.certificate.der().clone(), world.authority().certificate().der().clone()];
    let own = pair(&member.key.to_der());
    assert!(connect(client_with(behind, &own), &world.doors(&world.first), false).is_err());
}

/// Whoever trusts the authority by mistake, a browser for instance, trusts it for names of nodes only.
#[test]
fn a_certificate_for_elsewhere_is_worth_nothing() {
    let world = World::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(world.authority().certificate().der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    for (name, is_good) in
        [("a.node.understudy", true), ("example.com", false), ("node.understudy.com", false)]
    {
        let (_, certificate) = made_with_the_authoritys_key(&world, name);
        let server = rustls::pki_types::ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(world.clock.now_s()));
        let verified = verifier.verify_server_cert(&certificate, &[], &server, &[], now);
        assert_eq!(verified.is_ok(), is_good, "{name}: {verified:?}");
    }
}

#[test]
fn what_asynchronous_streams_say_is_understood_too() {
    let wrapped = std::io::Error::other(rustls::Error::NoCertificatesPresented);
    assert_eq!(PeerProblem::of_io(&wrapped), PeerProblem::NoCertificate);
    let other = PeerProblem::of_io(&std::io::ErrorKind::ConnectionReset.into());
    assert!(matches!(&other, PeerProblem::Tls(words) if words.contains("reset")), "{other}");
}

#[test]
fn a_client_that_means_a_certain_node_gets_that_one() {
    let world = World::new();
    let (client, server, other) = (world.member(), world.member(), world.member());
    let doors = world.doors(&client);
    let right = doors.client(Protocol::Data, Some(server.key.fingerprint())).unwrap();
    assert!(connect(right, &world.doors(&server), false).is_ok());
    let wrong = doors.client(Protocol::Data, Some(other.key.fingerprint())).unwrap();
    let failed = connect(wrong, &world.doors(&server), false).err().unwrap();
    assert_eq!(PeerProblem::from(&failed.client.unwrap()), PeerProblem::OtherNode);
}

#[test]
fn a_clock_that_is_an_hour_off_does_no_harm() {
    let world = World::new();
    // Made by an authority whose clock is an hour ahead, and shown to one that is an hour behind; and at the end
    // of its time, of which 29 days were used.
    let ahead = NodeKey::generate().unwrap();
    let at = world.clock.now_s() + HOUR.as_secs();
    let certificate = world.authority().issue(&ahead.request().unwrap(), at).unwrap();
    let ahead = world.doors(&world.member_with(ahead, certificate));
    let first = world.doors(&world.first);
    world.clock.set_back(HOUR);
    assert!(meet(&ahead, &first).is_ok());
    world.clock.advance(HOUR + DAY * 29 + HOUR);
    assert!(meet(&ahead, &first).is_ok());
}

#[test]
fn a_certificate_is_renewed_and_a_key_denied_behind_an_open_listener() {
    let world = World::new();
    let (server, client) = (world.member(), world.member());
    let (at_server, at_client) = (world.doors(&server), world.doors(&client));
    let (_, peer) = meet(&at_client, &at_server).unwrap();

    world.clock.advance(DAY * 21);
    let renew = |member: &Member| -> NodeCertificate {
        let request = member.key.request().unwrap();
        world
            .authority()
            .renew(&member.certificate, &request, &DenyList::default(), world.clock.now_s())
            .unwrap()
    };
    at_server.renew(&renew(&server)).unwrap();
    assert!(at_server.renew(&renew(&client)).is_err(), "not its own");
    at_client.renew(&renew(&client)).unwrap();
    world.clock.advance(DAY * 10);
    let (_, renewed) = meet(&at_client, &at_server).unwrap();
    assert!(renewed.not_after > peer.not_after);
    assert!(matches!(at_server.recheck(&peer), Err(PeerProblem::Expired { .. })));
    assert_eq!(at_server.recheck(&renewed), Ok(()));

    let denial = world.authority().deny(client.key.fingerprint(), "lost", world.clock.now_ms()).unwrap();
    let mut denied = DenyList::default();
    denied.merge(at_server.authority(), [denial], world.clock.now_ms());
    at_server.deny(denied);
    assert_eq!(at_server.recheck(&renewed), Err(PeerProblem::Revoked));
    assert_eq!(meet(&at_client, &at_server).unwrap_err(), (PeerProblem::WeAreRevoked, PeerProblem::Revoked));
    let called = meet(&at_server, &at_client).unwrap_err();
    assert_eq!(called, (PeerProblem::Revoked, PeerProblem::WeAreRevoked), "nor is it called");
}

#[test]
fn the_listener_takes_one_known_protocol_and_pairing_only_while_it_invites() {
    let world = World::new();
    let doors = world.doors(&world.first);
    let [data, join] = Protocol::ALL.map(Protocol::alpn);
    let table: [(&[&[u8]], bool, bool); 8] = [
        (&[data], false, true),
        (&[data], true, true),
        (&[join], true, true),
        (&[join], false, false),
        (&[join, data], true, false),
        (&[b"http/1.1"], true, false),
        (&[b"understudy-join/2"], true, false),
        (&[], true, false),
    ];
    for (offered, is_inviting, is_taken) in table {
        let mut config = (*joining().unwrap()).clone();
        config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(config), server_name()).unwrap();
        assert_eq!(chosen(&mut client, &doors, is_inviting).is_some(), is_taken, "{offered:?} {is_inviting}");
    }
    let connected = connect(joining().unwrap(), &doors, true).ok().unwrap();
    assert_eq!(Protocol::of(&connected.server), Some(Protocol::Join));
    assert_eq!(doors.peer(&connected.server), None);
}

#[test]
fn no_session_is_resumed_and_nothing_older_than_tls_13_is_spoken() {
    let world = World::new();
    let (client, server) = (world.doors(&world.member()), world.doors(&world.first));
    // A client that would resume, with what the first connection left it.
    let mut config = (*client.client(Protocol::Data, None).unwrap()).clone();
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    for _ in 0..2 {
        let connected = connect(config.clone(), &server, false).ok().unwrap();
        assert_eq!(connected.server.handshake_kind(), Some(HandshakeKind::Full));
    }
    let old = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut old = old;
    old.alpn_protocols = vec![Protocol::Data.alpn().to_vec()];
    let failed = connect(Arc::new(old), &server, false).err().unwrap();
    assert_eq!(PeerProblem::from(&failed.server.unwrap()), PeerProblem::OtherProtocol);
}
