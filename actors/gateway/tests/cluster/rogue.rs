//! Somebody who speaks to a node's port by hand.

use std::{io, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;
use understudy_cluster::{
    identity::{
        Clock as _, ClusterFiles, Doors, Fingerprint, Member, NodeKey, Protocol, SystemClock,
        tls::server_name,
    },
    join,
};
use understudy_proto::node::v1::{
    Hello, LinkMessage, ProtocolRange, link_message::Kind, peers_client::PeersClient,
};

use crate::{SOON, town::Citizen};

/// What an HTTP/2 client says first: the preface and settings without any.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A member's identity in hands that do with it what they like.
pub struct Rogue {
    pub member: Member,
    /// Where the node that it attacks is.
    pub address: String,
    _home: tempfile::TempDir,
}

/// One link, spoken by hand.
pub struct ByHand {
    pub say: mpsc::Sender<LinkMessage>,
    pub heard: Streaming<LinkMessage>,
}

impl Rogue {
    /// Lets one in by the front door.
    pub async fn admitted(to: &Citizen) -> Self {
        let invited = to.client.invite(false, SOON).await.unwrap();
        let (key, home) = (NodeKey::generate().unwrap(), tempfile::tempdir().unwrap());
        let address = invited.addresses[0].clone();
        let welcome = join(&address, &invited.code.parse().unwrap(), &key, "rogue").await.unwrap();
        let files = ClusterFiles::at(home.path().join("cluster"));
        let member = files.join(key, *welcome, &SystemClock).unwrap();
        Self { member, address, _home: home }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.member.key.fingerprint()
    }

    /// A TLS session of its own with whoever is there, who must be `expected` if somebody is.
    pub async fn tls(&self, expected: Option<Fingerprint>) -> io::Result<TlsStream<TcpStream>> {
        let doors = Doors::new(&self.member, Arc::new(SystemClock)).unwrap();
        let config = doors.client(Protocol::Data, expected).unwrap();
        let stream = TcpStream::connect(&self.address).await?;
        TlsConnector::from(config).connect(server_name(), stream).await
    }

    /// Whether the node goes on talking after the handshake; in TLS 1.3 a client learns only then.
    pub async fn is_let_in(&self) -> bool {
        match self.tls(None).await {
            Ok(mut stream) => is_served(&mut stream).await,
            Err(_) => false,
        }
    }

    pub async fn peers(&self) -> PeersClient<Channel> {
        let mut only = Some(TokioIo::new(self.tls(None).await.unwrap()));
        let connector = service_fn(move |_: Uri| {
            std::future::ready(only.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
        });
        let endpoint = Endpoint::from_static("http://node.understudy");
        PeersClient::new(endpoint.connect_with_connector(connector).await.unwrap())
    }

    /// Its hello, if it is honest.
    pub fn hello(&self) -> Hello {
        Hello {
            node: self.fingerprint().node().0,
            fingerprint: self.fingerprint().as_bytes().to_vec(),
            generation: SystemClock.now_ms(),
            cluster: self.member.authority_certificate.cluster().0.to_vec(),
            protocol: Some(ProtocolRange { oldest: 1, newest: 1 }),
            name: "rogue".into(),
            addresses: vec!["127.0.0.1:1".into()],
            attempt: 1,
        }
    }

    /// Opens a link with these words; what the node says to that.
    pub async fn link(&self, first: Kind) -> Result<ByHand, Status> {
        let (say, said) = mpsc::channel(1024);
        say.send(wrap(first)).await.unwrap();
        let answered = self.peers().await.link(ReceiverStream::new(said)).await?;
        Ok(ByHand { say, heard: answered.into_inner() })
    }
}

impl ByHand {
    pub async fn say(&self, kind: Kind) {
        // A node that has closed the link hears nothing more.
        let _ = self.say.send(wrap(kind)).await;
    }

    /// The next message; `None` when the link has ended.
    pub async fn hear(&mut self) -> Option<Kind> {
        let heard = timeout(SOON, self.heard.message()).await.expect("a word or an end");
        heard.ok().flatten().map(|message| message.kind.expect("a kind"))
    }

    /// Whether the node still sends signs of life.
    pub async fn goes_on(&mut self) -> bool {
        // The heartbeats that were sent before do not count.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut beats = 0;
        while beats < 4 {
            match self.hear().await {
                Some(Kind::Heartbeat(_)) => beats += 1,
                Some(_) => {}
                None => return false,
            }
        }
        true
    }
}

pub fn wrap(kind: Kind) -> LinkMessage {
    LinkMessage { kind: Some(kind) }
}

/// Whether HTTP/2 begins.
pub async fn is_served(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut settings = [0; 9];
    stream.write_all(PREFACE).await.is_ok()
        && matches!(timeout(SOON, stream.read_exact(&mut settings)).await, Ok(Ok(_)))
}

/// How long until the other side ends the connection.
pub async fn ends(stream: &mut (impl AsyncRead + Unpin), within: Duration) -> Duration {
    let begun = tokio::time::Instant::now();
    let mut buffer = [0; 4096];
    let reading = async { while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {} };
    timeout(within, reading).await.expect("the node ends the connection");
    begun.elapsed()
}
