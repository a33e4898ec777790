//! How a node takes part in a cluster.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The port of clusters.
pub const PORT: u16 = 7863;

/// The settings `[cluster]`. They matter once the node is in a cluster: without one it neither listens nor announces
/// itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// Take part in the cluster that this home is a member of, if it is of one. Default true.
    pub enabled: bool,
    /// Where other nodes connect. Default `0.0.0.0:7863`.
    pub listen: SocketAddr,
    /// What people call this node. Default: the machine's name.
    pub name: String,
    /// Where other nodes may be, `HOST:PORT`, besides those that are known or found. Default none.
    pub peers: Vec<String>,
    /// Where other nodes reach this one, `HOST:PORT`. Default: at the addresses of this machine's interfaces.
    pub advertise: Vec<String>,
    /// Interfaces to use. Default: all but loopback, tunnels, and those of containers and virtual machines.
    pub interfaces: Vec<String>,
    /// Announce this node on the network, and find others by their announcements (multicast DNS). Default true.
    pub discovery: bool,
    /// Judge silence by how unlikely it is after the pauses before it, for networks with an uneven pace such as Wi-Fi,
    /// instead of by fixed times. Default false.
    pub uneven_network: bool,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)),
            name: String::new(),
            peers: Vec::new(),
            advertise: Vec::new(),
            interfaces: Vec::new(),
            discovery: true,
            uneven_network: false,
        }
    }
}

impl ClusterConfig {
    /// What people call this node.
    pub fn name(&self) -> String {
        if !self.name.is_empty() {
            return self.name.clone();
        }
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy().trim_end_matches(".local").to_owned();
        if host.is_empty() { "node".to_owned() } else { host }
    }
}
