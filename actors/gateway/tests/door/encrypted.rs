//! TLS: strangers without certificates, half-open handshakes, the wrong protocol, and certificates that change.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use understudy_agents::{Client, ClientError, Tls};
use understudy_gateway::caller::Scope;

use crate::town::{Answer, Town, answer, eventually};

/// An authority, and the files of a node that it vouches for.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        authority.write_node_files("node one");
        fs::write(authority.folder.path().join("ca.pem"), authority.issuer.pem()).unwrap();
        authority
    }

    /// A certificate for `localhost` with this name as well.
    fn write_node_files(&self, name: &str) {
        let (cert, key) = self.issue(&format!("{}.example", name.replace(' ', "-")), false, 2100);
        fs::write(self.folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(self.folder.path().join("cert.pem"), cert.pem()).unwrap();
    }

    fn issue(&self, name: &str, client: bool, until: i32) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        if client {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    fn settings(&self, more: &str) -> String {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        format!("[tls]\ncert = {:?}\nkey = {:?}\nreload_s = 1\n{more}", file("cert.pem"), file("key.pem"))
    }

    fn asking_for_certificates(&self) -> String {
        self.settings(&format!("client_ca = {:?}\n", self.folder.path().join("ca.pem").display().to_string()))
    }

    /// A certificate of a client with just this name.
    fn client_named(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Someone who trusts this authority, and shows a certificate if there is one.
    fn client(&self, shows: Option<(rcgen::Certificate, KeyPair)>, alpn: &[u8]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
                builder.with_client_auth_cert(vec![cert.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

async fn connect(client: &TlsConnector, addr: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    client.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn healthz(client: &TlsConnector, addr: SocketAddr) -> Result<Answer, std::io::Error> {
    get(client, addr, "/healthz", "").await
}

/// What a path has to say, or why there was no answer. With TLS 1.3 a refused client hears of it when it reads.
async fn get(
    client: &TlsConnector,
    addr: SocketAddr,
    path: &str,
    headers: &str,
) -> Result<Answer, std::io::Error> {
    let mut stream = connect(client, addr).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await?;
    let answer = answer(&mut stream).await;
    if answer.status == 0 { Err(std::io::ErrorKind::ConnectionReset.into()) } else { Ok(answer) }
}

#[tokio::test]
async fn both_addresses_are_encrypted() {
    let authority = Authority::new();
    let town = Town::open(&authority.settings("")).await;
    let client = authority.client(None, b"http/1.1");
    assert_eq!(healthz(&client, town.http()).await.unwrap().status, 200);
    // gRPC: a health check over HTTP/2.
    let stream = connect(&authority.client(None, b"h2"), town.grpc()).await.unwrap();
    let (mut calls, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = axum::http::Request::post("https://localhost/grpc.health.v1.Health/Check")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut body) = calls.send_request(request, false).unwrap();
    body.send_data(vec![0; 5].into(), true).unwrap();
    let mut response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let message = response.body_mut().data().await.unwrap().unwrap();
    assert_eq!(&message[..], [0, 0, 0, 0, 2, 8, 1], "serving");
}

#[tokio::test]
async fn the_wrong_protocol_is_shown_out() {
    let authority = Authority::new();
    let encrypted = Town::open(&authority.settings("[listen]\nhandshake_ms = 500\n")).await;
    for plain in [
        &b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\xff\xff",
    ] {
        let answer = crate::town::ask(encrypted.http(), plain).await;
        assert_eq!(answer.status, 0, "{answer:?}");
    }
    let client = authority.client(None, b"http/1.1");
    assert_eq!(healthz(&client, encrypted.http()).await.unwrap().status, 200);
    assert_eq!(encrypted.node.node.connections().await.failed_handshakes, 3);

    let plain = Town::open("").await;
    assert!(healthz(&client, plain.http()).await.is_err());
    plain.goes_on().await;
}

#[tokio::test]
async fn certificates_of_clients_are_checked() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let town = Town::open(&authority.asking_for_certificates()).await;
    let good = authority.issue("client.example", true, 2100);
    let expired = authority.issue("client.example", true, 2020);
    let of_another = stranger.issue("client.example", true, 2100);
    for (what, shows, ok) in [
        ("none", None, false),
        ("expired", Some(expired), false),
        ("of another authority", Some(of_another), false),
        ("good", Some(good), true),
    ] {
        let answer = healthz(&authority.client(shows, b"http/1.1"), town.http()).await;
        assert_eq!(answer.is_ok_and(|answer| answer.status == 200), ok, "{what}");
    }
    assert_eq!(town.node.node.connections().await.failed_handshakes, 3);
}

#[tokio::test]
async fn a_certificate_stands_for_the_key_of_its_name_where_that_is_set() {
    let authority = Authority::new();
    let stands = format!("{}client_names = true\n", authority.asking_for_certificates());
    for (settings, known) in [(stands, 200), (authority.asking_for_certificates(), 401)] {
        let holders: [(&str, &[Scope]); 2] =
            [("ci.example", &[Scope::Inference]), ("other.example", &[Scope::Inference])];
        let town = Town::with_keys(&settings, &holders).await;
        let other = format!("Authorization: Bearer {}\r\n", town.key("other.example"));
        let wrong = "Authorization: Bearer sk-us-guess\r\n";
        for (name, path, headers, status, tenant) in [
            ("ci.example", "/v1/who", "", known, "ci.example"),
            ("ci.example", "/understudy/log", "", if known == 200 { 403 } else { 401 }, ""),
            ("ci.example", "/v1/who", &*other, 200, "other.example"),
            ("ci.example", "/v1/who", wrong, 401, ""),
            ("CI.example", "/v1/who", "", 401, ""),
            ("nobody.example", "/v1/who", "", 401, ""),
        ] {
            let client = authority.client(Some(authority.client_named(name)), b"http/1.1");
            let answer = get(&client, town.http(), path, headers).await.unwrap();
            assert_eq!(answer.status, status, "{name} {path} {headers}: {answer:?}");
            if status == 200 {
                assert!(answer.body.starts_with(&format!("tenant={tenant} ")), "{answer:?}");
            }
        }
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn half_open_handshakes_hold_nobody_up() {
    let authority = Authority::new();
    let town = Town::open(&authority.settings("[listen]\nhandshake_ms = 1500\n")).await;
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(TcpStream::connect(town.http()).await.unwrap());
    }
    let client = authority.client(None, b"http/1.1");
    let begun = Instant::now();
    let stream = crate::town::connect_from(Ipv4Addr::new(127, 0, 0, 2).octets(), town.http()).await.unwrap();
    let mut stream = client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut stream).await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let counts = town.node.node.connections().await;
    assert!(counts.turned_handshakes >= 400 - 256, "{counts:?}");
    eventually("half-open handshakes end", async || town.node.node.connections().await.open == 0).await;
    assert_eq!(healthz(&client, town.http()).await.unwrap().status, 200);
    drop(silent);
}

#[tokio::test]
async fn new_certificates_are_taken_and_open_connections_stay() {
    let authority = Authority::new();
    let town = Town::open(&authority.settings("")).await;
    let client = authority.client(None, b"http/1.1");
    let shown = async || {
        let stream = connect(&client, town.http()).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let first: CertificateDer<'static> = shown().await;
    let mut open = connect(&client, town.http()).await.unwrap();
    fs::write(authority.folder.path().join("cert.pem"), "half a certif").unwrap();
    eventually("the broken file is noticed", async || town.log().contains("the old ones stay")).await;
    assert_eq!(shown().await, first);
    authority.write_node_files("node two");
    eventually("the new certificate is shown", async || shown().await != first).await;
    open.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut open).await.status, 200);
}

#[tokio::test]
async fn unusable_certificates_are_named_at_the_start() {
    let authority = Authority::new();
    let folder = authority.folder.path();
    for (cert, key) in [("missing.pem", "key.pem"), ("key.pem", "key.pem"), ("cert.pem", "ca.pem")] {
        let tls = understudy_gateway::config::Tls {
            cert: folder.join(cert),
            key: folder.join(key),
            client_ca: None,
            client_names: false,
            reload_s: 60,
        };
        let error = serve_with(tls).await;
        assert_eq!(error.code, understudy_gateway::codes::CONFIG_INVALID, "{cert} {key}");
        assert!(error.message.contains(&*Path::new(folder).to_string_lossy()), "{error}");
    }
}

async fn serve_with(tls: understudy_gateway::config::Tls) -> understudy_gateway::Failure {
    let harness = crate::common::start("").await;
    let parts = understudy_gateway::Parts {
        router: harness.node.router().clone(),
        slots: harness.node.slots().clone(),
        control: harness.control.clone(),
    };
    let mut config = understudy_gateway::NodeConfig { tls: Some(tls), ..Default::default() };
    config.listen.grpc.set_port(0);
    config.listen.http.set_port(0);
    understudy_gateway::Node::assemble(config, parts).serve(Default::default()).await.unwrap_err()
}

const SOON: Duration = Duration::from_secs(5);

/// What our own client has of a node at an address: the failure's code and words, if it fails.
async fn served(addr: &str, tls: Tls) -> Result<bool, ClientError> {
    Client::connect_with(addr, SOON, &tls).await?.is_serving("", SOON).await
}

#[tokio::test]
async fn our_own_client_asks_whom_it_trusts_and_says_why_not() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let trusting =
        |authority: &Authority| Tls::default().trusting(authority.issuer.pem().as_bytes()).unwrap();
    let showing = |(cert, key): (rcgen::Certificate, KeyPair)| {
        trusting(&authority).showing(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    };
    let shown = format!("{:?}", showing(authority.client_named("ci.example")));
    assert_eq!(shown, "Tls { authorities: true, identity: true }", "no key is printed");
    let town = Town::open(&authority.settings("")).await;
    let asks_for = Town::open(&authority.asking_for_certificates()).await;
    let plain = Town::open("").await;
    let at = |host: &str, town: &Town| format!("{host}:{}", town.grpc().port());
    let (untrusted, unreachable) = ("SERVER_UNTRUSTED", "SERVER_UNREACHABLE");
    for (what, addr, tls, expected) in [
        ("its authority", at("https://localhost", &town), trusting(&authority), Ok(true)),
        ("public ones", at("https://localhost", &town), Tls::default(), Err((untrusted, "UnknownIssuer"))),
        ("another", at("https://localhost", &town), trusting(&stranger), Err((untrusted, ""))),
        ("a name it has not", at("https://127.0.0.1", &town), trusting(&authority), Err((untrusted, "name"))),
        ("in the clear", at("http://localhost", &town), Tls::default(), Err((unreachable, ""))),
        (
            "TLS to a plain port",
            at("https://localhost", &plain),
            trusting(&authority),
            Err((unreachable, "no TLS")),
        ),
        (
            "without a certificate",
            at("https://localhost", &asks_for),
            trusting(&authority),
            Err((unreachable, "certificate that it trusts")),
        ),
        (
            "with a stranger's",
            at("https://localhost", &asks_for),
            showing(stranger.client_named("ci.example")),
            Err((unreachable, "certificate that it trusts")),
        ),
        (
            "with a good one",
            at("https://localhost", &asks_for),
            showing(authority.client_named("ci.example")),
            Ok(true),
        ),
    ] {
        match (served(&addr, tls).await, expected) {
            (Ok(serves), Ok(_)) => assert!(serves, "{what}"),
            (Err(error), Err((code, words))) => {
                assert_eq!(error.code, code, "{what}: {error:?}");
                assert!(error.message.contains(words), "{what}: {error:?}");
            }
            (got, _) => panic!("{what}: {got:?}"),
        }
    }
}
