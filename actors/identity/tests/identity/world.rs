//! A cluster in memory: members, their doors, TLS without sockets, pairings frame by frame.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, Error, ServerConnection,
    server::{Acceptor, ServerConfig},
};
use tempfile::TempDir;
use understudy_identity::{
    Authority, Binding, Clock as _, ClusterFiles, DenyList, Doors, Inviter, Invites, Joiner, ManualClock,
    Member, NodeKey, PairingError,
    pairing::{Guest, Host, Next, Welcome},
    tls::server_name,
};

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub const HOUR: Duration = Duration::from_secs(60 * 60);
/// 2027-01-15.
pub const START_MS: u64 = 1_800_000_000_000;

/// A cluster: its clock, its first member with the authority.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub files: ClusterFiles,
    pub first: Member,
    pub invites: Arc<Invites>,
    _home: TempDir,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::at_ms(START_MS));
        let home = tempfile::tempdir().unwrap();
        let files = ClusterFiles::at(home.path().join("cluster"));
        let first = files.init("lab", &*clock).unwrap();
        let invites = Arc::new(Invites::new(clock.clone()));
        Self { clock, files, first, invites, _home: home }
    }

    pub fn authority(&self) -> &Authority {
        self.first.authority.as_ref().unwrap()
    }

    /// A member without files.
    pub fn member(&self) -> Member {
        let key = NodeKey::generate().unwrap();
        let certificate = self.authority().issue(&key.request().unwrap(), self.clock.now_s()).unwrap();
        self.member_with(key, certificate)
    }

    pub fn member_with(&self, key: NodeKey, certificate: understudy_identity::NodeCertificate) -> Member {
        Member {
            key,
            certificate,
            authority_certificate: self.first.authority_certificate.clone(),
            authority: None,
            cluster_name: "lab".into(),
            denied: DenyList::default(),
            peers: vec![],
            mended: vec![],
        }
    }

    pub fn doors(&self, member: &Member) -> Doors {
        Doors::new(member, self.clock.clone()).unwrap()
    }

    pub fn host(&self) -> Arc<Host> {
        let addresses = vec!["192.168.1.5:7863".into(), "mac.local:7863".into()];
        Arc::new(Host::of(&self.first, self.invites.clone(), addresses, self.clock.clone()).unwrap())
    }

    pub fn inviter(&self, binding: Binding) -> Inviter {
        Inviter::new(self.host(), binding)
    }
}

/// A handshake that is over at both ends.
pub struct Connected {
    pub client: ClientConnection,
    pub server: ServerConnection,
}

/// What each end says about a handshake that failed.
#[derive(Debug)]
pub struct Failed {
    pub client: Option<Error>,
    pub server: Option<Error>,
}

/// What the listener chooses for a client.
pub fn chosen(client: &mut ClientConnection, doors: &Doors, is_inviting: bool) -> Option<Arc<ServerConfig>> {
    accepted(client).and_then(|accepted| doors.choose(&accepted.client_hello(), is_inviting))
}

fn accepted(client: &mut ClientConnection) -> Option<rustls::server::Accepted> {
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut &hello[..]).unwrap();
    acceptor.accept().ok().flatten()
}

/// Connects to a listener behind these doors.
pub fn connect(
    config: Arc<ClientConfig>,
    doors: &Doors,
    is_inviting: bool,
) -> Result<Connected, Box<Failed>> {
    let mut client = ClientConnection::new(config, server_name()).unwrap();
    let accepted = accepted(&mut client).expect("a ClientHello");
    let chosen = doors.choose(&accepted.client_hello(), is_inviting);
    let config = chosen.ok_or_else(|| Box::new(Failed { client: None, server: None }))?;
    let server = match accepted.into_connection(config) {
        Ok(server) => server,
        Err((error, mut alert)) => {
            let mut bytes = Vec::new();
            alert.write_all(&mut bytes).unwrap();
            client.read_tls(&mut &bytes[..]).unwrap();
            return Err(Box::new(Failed { client: client.process_new_packets().err(), server: Some(error) }));
        }
    };
    finish(client, server)
}

/// Connects to a server that is none of ours.
pub fn connect_to(client: Arc<ClientConfig>, server: ServerConfig) -> Result<Connected, Box<Failed>> {
    let client = ClientConnection::new(client, server_name()).unwrap();
    finish(client, ServerConnection::new(Arc::new(server)).unwrap())
}

fn finish(mut client: ClientConnection, mut server: ServerConnection) -> Result<Connected, Box<Failed>> {
    let mut failed = Failed { client: None, server: None };
    // A handshake of TLS 1.3 has two flights each way, then there may be an alert.
    for _ in 0..4 {
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |bytes| client.read_tls(bytes));
        failed.client = failed.client.or(client.process_new_packets().err());
        bytes.clear();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        feed(&bytes, |bytes| server.read_tls(bytes));
        failed.server = failed.server.or(server.process_new_packets().err());
    }
    match failed {
        Failed { client: None, server: None } => {
            assert!(!client.is_handshaking() && !server.is_handshaking());
            Ok(Connected { client, server })
        }
        failed => Err(Box::new(failed)),
    }
}

fn feed(mut bytes: &[u8], mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>) {
    while !bytes.is_empty() && read(&mut bytes).unwrap() > 0 {}
}

/// How a pairing ended.
pub struct Outcome {
    pub joiner: Option<Result<Box<Welcome>, PairingError>>,
    pub inviter: Option<Result<Guest, PairingError>>,
    /// All frames, the joiner's first one first.
    pub frames: Vec<Vec<u8>>,
}

impl Outcome {
    pub fn welcome(self) -> (Welcome, Guest) {
        let (welcome, guest) = (self.joiner.unwrap().unwrap(), self.inviter.unwrap().unwrap());
        (*welcome, guest)
    }

    /// Neither side got anything.
    pub fn is_refused(&self) -> bool {
        let refused = |error: &PairingError| matches!(error, PairingError::Refused);
        matches!(&self.joiner, Some(Err(error)) if refused(error))
            && matches!(&self.inviter, Some(Err(error)) if refused(error))
    }
}

/// Carries frames between the two; `meddle` sees each with its number and may change it.
pub fn pair(
    mut joiner: Joiner,
    hello: Vec<u8>,
    mut inviter: Inviter,
    mut meddle: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> Outcome {
    let mut outcome = Outcome { joiner: None, inviter: None, frames: vec![] };
    let mut due = Some(hello);
    while let Some(frame) = due.take() {
        let to_inviter = outcome.frames.len().is_multiple_of(2);
        let frame = meddle(outcome.frames.len(), frame);
        outcome.frames.push(frame.clone());
        if to_inviter {
            let turn = inviter.receive(&frame);
            due = turn.send;
            outcome.inviter = outcome.inviter.or(ended(turn.next));
        } else {
            let turn = joiner.receive(&frame);
            due = turn.send;
            outcome.joiner = outcome.joiner.or(ended(turn.next));
        }
    }
    outcome
}

fn ended<T>(next: Next<T>) -> Option<Result<T, PairingError>> {
    match next {
        Next::Wait => None,
        Next::Done(done) => Some(Ok(done)),
        Next::Failed(error) => Some(Err(error)),
    }
}

/// The binding of tests that are not about it.
pub static SESSION: LazyLock<Binding> = LazyLock::new(|| Binding::from_bytes([7; 32]));
