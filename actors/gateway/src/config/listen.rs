//! Where a node listens, and what it bears from whoever connects.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// Addresses and the limits of connections. Port 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// gRPC. Default `127.0.0.1:7861`.
    pub grpc: SocketAddr,
    /// HTTP. Default `127.0.0.1:7862`.
    pub http: SocketAddr,
    /// Obey the keys of `keys.toml` in the home folder. Default true.
    pub keys: bool,
    /// Listen beyond loopback without TLS or without keys. Default false: refused with `LISTEN_EXPOSED`.
    pub insecure: bool,
    /// Web pages of other origins that may call this node, such as `https://app.example`. Default none.
    pub cors: Vec<String>,
    /// Names under which this node is reached, beside `localhost` and addresses. Default none.
    pub hosts: Vec<String>,
    /// Open connections over both addresses; one more is closed at once. Default 4096.
    pub connections: usize,
    /// The same from one peer (an IPv4 address, or the first 64 bits of an IPv6 address). Default 1024.
    pub connections_per_peer: usize,
    /// How long a TLS handshake may take, in ms. Default 5000.
    pub handshake_ms: u64,
    /// How long a request's head may take, and how long an HTTP/1 connection may be idle, in ms. Default 10000.
    pub header_ms: u64,
    /// How long a request's body may take, in ms. Default 30000.
    pub body_ms: u64,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            grpc: SocketAddr::from(([127, 0, 0, 1], 7861)),
            http: SocketAddr::from(([127, 0, 0, 1], 7862)),
            keys: true,
            insecure: false,
            cors: Vec::new(),
            hosts: Vec::new(),
            connections: 4096,
            connections_per_peer: 1024,
            handshake_ms: 5_000,
            header_ms: 10_000,
            body_ms: 30_000,
        }
    }
}

impl Listen {
    /// [`handshake_ms`](Self::handshake_ms) as a duration.
    pub fn handshake(&self) -> Duration {
        Duration::from_millis(self.handshake_ms)
    }

    /// [`header_ms`](Self::header_ms) as a duration.
    pub fn header(&self) -> Duration {
        Duration::from_millis(self.header_ms)
    }

    /// [`body_ms`](Self::body_ms) as a duration.
    pub fn body(&self) -> Duration {
        Duration::from_millis(self.body_ms)
    }

    /// The first setting that makes no sense.
    pub(crate) fn first_problem(&self) -> Option<String> {
        let positive = [
            ("listen.connections", self.connections as u64),
            ("listen.connections_per_peer", self.connections_per_peer as u64),
            ("listen.handshake_ms", self.handshake_ms),
            ("listen.header_ms", self.header_ms),
            ("listen.body_ms", self.body_ms),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Some(format!("{name} must be at least 1"));
        }
        let origin = |text: &str| {
            let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' ', '@']))
        };
        if let Some(wrong) = self.cors.iter().find(|text| !origin(text)) {
            return Some(format!("listen.cors: {wrong:?} is no origin such as \"https://app.example\""));
        }
        let name = |text: &str| !text.is_empty() && !text.contains(['/', ':', '*', ' ', '@']);
        let wrong = self.hosts.iter().find(|text| !name(text))?;
        Some(format!("listen.hosts: {wrong:?} is no name such as \"node.example\" (without a port)"))
    }
}

/// Encryption of both addresses. The files are PEM and are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The node's certificate, followed by those between it and its root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Certificates of authorities; with it, whoever connects must show a certificate that one of them signed.
    /// Default: nobody needs one.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
    /// With `client_ca`: a certificate stands for a key. Who sends no key is the tenant of the key that has the name of
    /// the certificate, its first DNS name. Default: it stands for nothing.
    #[serde(default)]
    pub client_names: bool,
    /// How often to look whether a file changed, in seconds. Default 60.
    #[serde(default = "each_minute")]
    pub reload_s: u64,
}

impl Tls {
    pub(super) fn first_problem(&self) -> Option<&'static str> {
        match () {
            () if self.reload_s == 0 => Some("tls.reload_s must be at least 1"),
            () if self.client_names && self.client_ca.is_none() => {
                Some("tls.client_names needs tls.client_ca")
            }
            () => None,
        }
    }
}

fn each_minute() -> u64 {
    60
}
