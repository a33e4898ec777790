//! Certificates that end soon, renewed by the node with the authority over the wire.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tonic::Code;
use understudy_cluster::identity::{
    Authority, Clock as _, Doors, NodeCertificate, NodeKey, Protocol, SystemClock, tls::server_name,
};
use understudy_proto::node::v1::RenewRequest;

use crate::{SOON, rogue::Rogue, town::Citizen};

const DAY_S: u64 = 86_400;

fn authority(of: &Citizen) -> Arc<Authority> {
    of.files().open().unwrap().authority.unwrap()
}

/// A certificate for this key, good for thirty days, that was made so many days ago.
fn made_days_ago(days: u64, authority: &Authority, key: &NodeKey) -> NodeCertificate {
    let made = SystemClock.now_s() - days * DAY_S;
    authority.issue(&key.request().unwrap(), made).unwrap()
}

/// The last second of the certificate that `there` shows to another member.
async fn shown_until(there: &Citizen, to: &Citizen) -> u64 {
    let address = to.client.cluster_status(SOON).await.unwrap().nodes[1].addresses[0].clone();
    let member = to.files().open().unwrap();
    let doors = Doors::new(&member, Arc::new(SystemClock)).unwrap();
    let expected = there.files().open().unwrap().key.fingerprint();
    let config = doors.client(Protocol::Data, Some(expected)).unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(config).connect(server_name(), stream).await.unwrap();
    doors.peer(stream.get_ref().1).unwrap().not_after
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_soon_is_renewed_by_the_node_with_the_authority() {
    let (first, second) = (Citizen::settle(&[]).await, Citizen::settle(&[]).await);
    first.found().await;
    first.welcome(&second).await;
    let member = second.files().open().unwrap();
    let old = made_days_ago(28, &authority(&first), &member.key);
    second.files().keep_certificate(&old).unwrap();
    second.node.cluster().unwrap().look().await.unwrap();
    second.sees(1).await;
    let met = Instant::now();
    let renewed = loop {
        let certificate = second.files().open().unwrap().certificate;
        if certificate != old {
            break certificate;
        }
        assert!(met.elapsed() < SOON, "it is still the old one");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    println!("renewed {:?} after they met", met.elapsed());
    assert_eq!(renewed.fingerprint(), old.fingerprint());
    assert!(renewed.not_after() > old.not_after() + 27 * DAY_S);
    first.sees(1).await;
    assert_eq!(shown_until(&second, &first).await, renewed.not_after(), "new connections get the new one");

    // The one with the authority helps itself, also where nobody else is there.
    let alone = Citizen::settle(&[]).await;
    let member = alone.files().init("alone", &SystemClock).unwrap();
    let old = made_days_ago(28, &authority(&alone), &member.key);
    alone.files().keep_certificate(&old).unwrap();
    alone.node.cluster().unwrap().look().await.unwrap();
    let begun = Instant::now();
    while alone.files().open().unwrap().certificate == old {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_renews_what_is_not_theirs() {
    let (first, second) = (Citizen::settle(&[]).await, Citizen::settle(&[]).await);
    first.found().await;
    first.admit(&second).await;
    first.sees(1).await;
    let mut rogue = Rogue::admitted(&first).await;
    let own = rogue.member.certificate.der().to_vec();
    let csr = rogue.member.key.request().unwrap();
    let others = second.files().open().unwrap().certificate.der().to_vec();
    let ended = made_days_ago(31, &authority(&first), &rogue.member.key).der().to_vec();
    let stranger = NodeKey::generate().unwrap().request().unwrap();
    let refused = async |rogue: &Rogue, certificate: &[u8], csr: &[u8]| {
        let ask = RenewRequest { csr: csr.to_vec(), certificate: certificate.to_vec() };
        rogue.peers().await.renew(ask).await.map(|renewed| renewed.into_inner().certificate.len())
    };
    assert!(refused(&rogue, &own, &csr).await.is_ok(), "its own it may");
    for (certificate, csr, code, why) in [
        (&others, &csr, Code::PermissionDenied, "its own certificate only"),
        (&own, &stranger, Code::FailedPrecondition, "another key"),
        (&ended, &csr, Code::FailedPrecondition, "ended"),
        (&b"garbage".to_vec(), &csr, Code::FailedPrecondition, "certificate"),
        (&own, &b"garbage".to_vec(), Code::FailedPrecondition, "request"),
    ] {
        let status = refused(&rogue, certificate, csr).await.expect_err(why);
        assert!(status.code() == code && status.message().contains(why), "{why}: {status:?}");
    }
    rogue.address = first.client.cluster_status(SOON).await.unwrap().nodes[1].addresses[0].clone();
    let status = refused(&rogue, &own, &csr).await.expect_err("no authority there");
    assert!(status.message().contains("is not on this node"), "{status:?}");
}
