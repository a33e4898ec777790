//! Attacks on the port for nodes. During each, two honest nodes hear each other as if nothing were.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
    time::Instant,
};
use tokio_rustls::{TlsConnector, rustls};
use understudy_cluster::identity::{
    Clock as _, NodeCertificate, SystemClock,
    tls::{joining, server_name},
};
use understudy_proto::node::v1::{
    DenyList, Echo, Facts, Heartbeat, Hello, Leave, LinkMessage, PeerRecord, PeerRecords, ProtocolRange,
    RefusalReason, link_message::Kind,
};

use crate::{
    rogue::{PREFACE, Rogue, ends, is_served},
    town::Citizen,
};

/// A step of a handshake may take 3 s.
const PATIENCE: Duration = Duration::from_secs(5);
const DAY_S: u64 = 24 * 3600;
/// How long a node's certificate lasts.
const LASTS_S: u64 = 30 * DAY_S;

/// Two honest nodes, of which the first is attacked.
struct Town {
    first: Citizen,
    second: Citizen,
}

impl Town {
    async fn settle() -> Self {
        let (first, second) = (Citizen::settle(&[]).await, Citizen::settle(&[]).await);
        first.found().await;
        first.admit(&second).await;
        first.sees(1).await;
        second.sees(1).await;
        Self { first, second }
    }

    fn address(&self) -> String {
        self.first.node.cluster().unwrap().addresses()[0].clone()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    /// From now until the guard is asked, the two must hold each other for alive.
    fn guard(&self) -> Guard {
        let id = |citizen: &Citizen| citizen.node.cluster().unwrap().watch().borrow().own.node;
        let (ids, nodes) = ([id(&self.second), id(&self.first)], [&self.first, &self.second]);
        let mut views = nodes.map(|citizen| citizen.node.cluster().unwrap().watch());
        let lives = async move {
            loop {
                for (view, id) in views.iter_mut().zip(ids) {
                    let life = view.borrow().node(id).map(|node| node.life);
                    assert_eq!(life, Some(understudy_cluster::Life::Alive), "an attack came between them");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        Guard(tokio::spawn(lives))
    }
}

struct Guard(tokio::task::JoinHandle<()>);

impl Guard {
    /// Two more seconds, in which a silence that the attack brought would show; then the verdict.
    async fn holds(self) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!self.0.is_finished(), "{:?}", self.0.await);
        self.0.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_silent_strangers_keep_nobody_out() {
    let town = Town::settle().await;
    let guard = town.guard();
    let mut strangers = Vec::new();
    for index in 0..100 {
        let mut stream = town.connect().await;
        if index % 2 == 1 {
            // The beginning of a hello of TLS that never comes.
            stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        }
        strangers.push(stream);
    }
    let begun = Instant::now();
    let third = Citizen::settle(&[]).await;
    town.first.admit(&third).await;
    third.sees(2).await;
    let entered = begun.elapsed();
    assert!(entered < Duration::from_secs(3), "{entered:?}");
    let mut last = Duration::ZERO;
    for stream in &mut strangers {
        ends(stream, PATIENCE).await;
        last = last.max(begun.elapsed());
    }
    assert!(last < PATIENCE, "{last:?}");
    guard.holds().await;
    println!(
        "among 100 silent strangers a node joins in {entered:?}; the last of them is gone after {last:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_ends_its_connection_only() {
    let town = Town::settle().await;
    let guard = town.guard();
    let rogue = Rogue::admitted(&town.first).await;
    let noise: Vec<u8> = (0..100_000).map(|_| fastrand::u8(..)).collect();
    let oversize_record = [&[0x16, 3, 1, 0xff, 0xff][..], &noise[..0xffff]].concat();
    let oversize_frame = [PREFACE, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1], &noise].concat();
    let before_tls = [&noise, &oversize_record, &b"GET / HTTP/1.1\r\n\r\n".to_vec(), &PREFACE.to_vec()];
    for bytes in before_tls {
        let mut stream = town.connect().await;
        // The node may end it before everything is written.
        let _ = stream.write_all(bytes).await;
        ends(&mut stream, PATIENCE).await;
    }
    for bytes in [&noise, &oversize_frame, &b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let mut stream = rogue.tls(None).await.unwrap();
        let _ = stream.write_all(bytes).await;
        ends(&mut stream, PATIENCE).await;
    }
    guard.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_begins_with_the_hello_of_its_certificate() {
    let town = Town::settle().await;
    let guard = town.guard();
    let rogue = Rogue::admitted(&town.first).await;
    let honest = rogue.hello();
    let second = town.second.files().open().unwrap().key.fingerprint();
    let other_id = Hello { node: second.node().0, ..honest.clone() };
    let other_key = Hello { fingerprint: second.as_bytes().to_vec(), ..honest.clone() };
    let other = Hello { node: other_id.node, ..other_key.clone() };
    let short = Hello { fingerprint: vec![1, 2, 3], ..honest.clone() };
    let firsts = [
        Kind::Hello(other_id),
        Kind::Hello(other_key),
        Kind::Hello(other),
        Kind::Hello(short),
        Kind::Heartbeat(beat(&honest, 1)),
        Kind::Leave(Leave { generation: u64::MAX }),
    ];
    for first in firsts {
        let what = format!("{first:?}");
        let refused = rogue.link(first).await.err().expect(&what);
        assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{what}");
    }
    assert!(rogue.link(Kind::Hello(honest)).await.unwrap().goes_on().await, "an honest one is let in");
    guard.holds().await;
}

fn beat(hello: &Hello, sequence: u64) -> Heartbeat {
    Heartbeat { sequence, generation: hello.generation, facts_seen: 0, gave_up: 0, echo: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_a_link_says_nothing() {
    let town = Town::settle().await;
    let guard = town.guard();
    let rogue = Rogue::admitted(&town.first).await;
    let hello = rogue.hello();
    let stranger = |n: u64| PeerRecord {
        node: n,
        fingerprint: vec![7; 32],
        generation: u64::MAX,
        addresses: (0..100).map(|port| format!("127.0.0.1:{}", 1 + port)).collect(),
        left: false,
    };
    let words = [
        vec![Kind::Hello(hello.clone()), Kind::Hello(hello.clone())],
        vec![Kind::Facts(Facts { version: u64::MAX, facts: vec![0xff; 200_000] })],
        vec![Kind::Facts(Facts { version: 1, facts: vec![0xff; 1000] }); 2],
        vec![Kind::Heartbeat(beat(&hello, 1)); 100],
        vec![Kind::Heartbeat(Heartbeat {
            sequence: u64::MAX,
            facts_seen: u64::MAX,
            echo: Some(Echo { sequence: u64::MAX, held_us: u64::MAX }),
            ..beat(&hello, 1)
        })],
        vec![Kind::Denied(DenyList { entries: vec![vec![0; 64]; 1000] })],
        vec![Kind::Peers(PeerRecords { peers: (0..150).map(stranger).collect() })],
    ];
    for words in words {
        let mut link = rogue.link(Kind::Hello(rogue.hello())).await.unwrap();
        let what = format!("{:.80}", format!("{:?}", words[0]));
        for word in words {
            link.say(word).await;
        }
        // Of a kind that this version does not know.
        link.say.send(LinkMessage { kind: None }).await.unwrap();
        assert!(link.goes_on().await, "{what}");
    }
    let mut link = rogue.link(Kind::Hello(rogue.hello())).await.unwrap();
    link.say(Kind::Facts(Facts { version: 1, facts: vec![0; 300 << 10] })).await;
    assert!(!link.goes_on().await, "a message that is too long ends the link");
    guard.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbouring_versions_link_and_others_are_told_why_not() {
    let town = Town::settle().await;
    let rogue = Rogue::admitted(&town.first).await;
    for (oldest, newest) in [(1, 1), (1, 2), (0, 1)] {
        let hello = Hello { protocol: Some(ProtocolRange { oldest, newest }), ..rogue.hello() };
        let mut link = rogue.link(Kind::Hello(hello)).await.unwrap();
        assert!(link.goes_on().await, "{oldest}..={newest}");
    }
    for (oldest, newest) in [(3, 3), (2, 3), (5, 4), (0, 0)] {
        let theirs = ProtocolRange { oldest, newest };
        let hello = Hello { protocol: Some(theirs), ..rogue.hello() };
        let mut link = rogue.link(Kind::Hello(hello)).await.unwrap();
        let why = loop {
            match link.hear().await {
                Some(Kind::Refusal(why)) => break why,
                Some(_) => {}
                None => panic!("{oldest}..={newest}: the link ends without a word"),
            }
        };
        assert_eq!(why.reason(), RefusalReason::Protocol);
        assert_eq!((why.ours, why.theirs), (Some(ProtocolRange { oldest: 1, newest: 1 }), Some(theirs)));
        assert!(!link.goes_on().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_good_certificates_open_the_door() {
    let town = Town::settle().await;
    let guard = town.guard();
    let mut rogue = Rogue::admitted(&town.first).await;
    assert!(rogue.is_let_in().await, "with a good one");

    let good = rogue.member.certificate.clone();
    let now = SystemClock.now_s();
    for (days, what) in [(40, "over"), (31, "over since yesterday")] {
        rogue.member.certificate = issued(&town, &rogue, now - days * DAY_S);
        assert!(!rogue.is_let_in().await, "one that is {what}");
    }
    rogue.member.certificate = issued(&town, &rogue, now + 5 * DAY_S);
    assert!(!rogue.is_let_in().await, "one of the day after tomorrow");

    // It ends while the connection is open.
    rogue.member.certificate = issued(&town, &rogue, now - LASTS_S + 3);
    let mut stream = rogue.tls(None).await.unwrap();
    assert!(is_served(&mut stream).await, "while it is good");
    println!("a certificate's last 3 s: closed after {:?}", ends(&mut stream, PATIENCE).await);

    let elsewhere = Citizen::settle(&[]).await;
    elsewhere.found().await;
    let mut other = Rogue::admitted(&elsewhere).await;
    other.address = town.address();
    assert!(!other.is_let_in().await, "one of another cluster");

    let mut config = rustls::ClientConfig::clone(&joining().unwrap());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(std::sync::Arc::new(config));
    if let Ok(mut stream) = connector.connect(server_name(), town.connect().await).await {
        assert!(!is_served(&mut stream).await, "without any");
    }

    rogue.member.certificate = good;
    let mut link = rogue.link(Kind::Hello(rogue.hello())).await.unwrap();
    assert!(link.goes_on().await);
    let begun = Instant::now();
    town.first.files().revoke(rogue.fingerprint(), "it is a rogue", &SystemClock).unwrap();
    while link.hear().await.is_some() {}
    let closed = begun.elapsed();
    assert!(closed < Duration::from_secs(2), "{closed:?}");
    assert!(!rogue.is_let_in().await, "a revoked one");
    // The other node hears of it from the first.
    rogue.address = town.second.node.cluster().unwrap().addresses()[0].clone();
    while rogue.is_let_in().await {
        assert!(begun.elapsed() < Duration::from_secs(2), "a revoked one, at the other node");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("a revoked node is cut off after {closed:?}");
    guard.holds().await;
}

/// A certificate for the rogue's key that was made at some other time.
fn issued(town: &Town, rogue: &Rogue, at_s: u64) -> NodeCertificate {
    let authority = town.first.files().open().unwrap().authority.unwrap();
    authority.issue(&rogue.member.key.request().unwrap(), at_s).unwrap()
}

/// Leads whoever connects to `target`, and keeps what was said to it.
async fn relay(target: String) -> (String, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>, AbortHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (kept, heard) = tokio::sync::mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&target).await.unwrap();
            let (mut near_read, mut near_write) = near.into_split();
            let (mut far_read, mut far_write) = far.into_split();
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(count) = near_read.read(&mut buffer).await {
                    let _ = kept.send(buffer[..count].to_vec());
                    if count == 0 || far_write.write_all(&buffer[..count]).await.is_err() {
                        return;
                    }
                }
            });
            tokio::spawn(async move { tokio::io::copy(&mut far_read, &mut near_write).await });
        }
    });
    (address, heard, serving.abort_handle())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_once_opens_nothing_a_second_time() {
    let town = Town::settle().await;
    let guard = town.guard();
    let mut rogue = Rogue::admitted(&town.first).await;
    let (address, mut said, relaying) = relay(town.address()).await;
    rogue.address = address;
    assert!(rogue.link(Kind::Hello(rogue.hello())).await.unwrap().goes_on().await);
    relaying.abort();
    let mut record = Vec::new();
    while let Ok(chunk) = said.try_recv() {
        record.extend(chunk);
    }
    let mut again = town.connect().await;
    let _ = again.write_all(&record).await;
    // Its answer to the hello, then its end: the proof that follows was for another session.
    ends(&mut again, PATIENCE).await;
    guard.holds().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_passes_for_nobody() {
    let town = Town::settle().await;
    let mut rogue = Rogue::admitted(&town.first).await;
    let first = town.first.files().open().unwrap().key.fingerprint();
    let second_at = town.second.node.cluster().unwrap().addresses()[0].clone();
    // Whoever wants the first and is led to the second notices.
    let (address, _said, relaying) = relay(second_at).await;
    rogue.address = address;
    let refused = rogue.tls(Some(first)).await.expect_err("it is the second");
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{refused}");
    // Whoever takes anybody learns that it is the second, by what no relay has.
    let stream = rogue.tls(None).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let second = town.second.files().open().unwrap().key.fingerprint();
    assert_eq!(NodeCertificate::parse(&shown).unwrap().fingerprint(), second);
    relaying.abort();
    // One that ends the session itself has only its own name to give: as in
    // `a_link_begins_with_the_hello_of_its_certificate`.
    assert_ne!(first, rogue.fingerprint());
    town.second.sees(1).await;
}
