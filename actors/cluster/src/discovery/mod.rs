//! Who is on this network: names and addresses to show, nothing to trust.
//!
//! Announcements are unauthenticated, so they only *list*: a node dials an address that it found here only if it
//! belongs to its cluster by announcement, and takes nobody for a peer before its certificate says so.

pub mod interfaces;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::task::AbortHandle;

/// The service's type in DNS-SD (RFC 6763).
const SERVICE: &str = "_understudy._tcp.local.";

/// Announcements kept; a network with more shows those that came first.
const MOST_SEEN: usize = 256;
/// Addresses kept of one announcement.
const MOST_ADDRESSES: usize = 16;
/// Longest text taken from an announcement.
const LONGEST_TEXT: usize = 64;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its id in hexadecimal.
    pub node: String,
    /// Its name, for people.
    pub name: String,
    /// The id of its cluster in hexadecimal.
    pub cluster: String,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
}

/// Announces this node and lists others until it is dropped.
pub struct Discovery {
    daemon: ServiceDaemon,
    seen: Arc<Mutex<BTreeMap<String, Announcement>>>,
    listener: AbortHandle,
}

/// Multicast cannot be used here.
#[derive(Debug, thiserror::Error)]
#[error("discovery is not possible: {0}; name peers with --peer HOST:PORT")]
pub struct DiscoveryError(#[from] mdns_sd::Error);

impl Discovery {
    /// Listens, and announces `own` if there is something to announce.
    ///
    /// # Errors
    /// When the system lets no multicast through.
    pub fn start(own: Option<&Announcement>) -> Result<Self, DiscoveryError> {
        let daemon = ServiceDaemon::new()?;
        let seen = Arc::new(Mutex::default());
        let events = daemon.browse(SERVICE)?;
        let listing = seen.clone();
        let listener = tokio::spawn(async move {
            while let Ok(event) = events.recv_async().await {
                note(&listing, event);
            }
        });
        let discovery = Self { daemon, seen, listener: listener.abort_handle() };
        own.map_or(Ok(()), |own| discovery.announce(own))?;
        Ok(discovery)
    }

    /// Announces this node, also anew where its addresses have changed. Without any there is nothing to announce.
    ///
    /// # Errors
    /// When the system lets no multicast through.
    pub fn announce(&self, own: &Announcement) -> Result<(), DiscoveryError> {
        match own.addresses.is_empty() {
            true => Ok(()),
            false => Ok(self.daemon.register(service(own)?)?),
        }
    }

    /// Everybody who announced itself and has not gone, this node included.
    pub fn seen(&self) -> Vec<Announcement> {
        lock(&self.seen).values().cloned().collect()
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.listener.abort();
        // Says goodbye; a daemon that is gone already needs none.
        let _ = self.daemon.shutdown();
    }
}

fn service(own: &Announcement) -> Result<ServiceInfo, mdns_sd::Error> {
    let addresses: Vec<_> = own.addresses.iter().map(SocketAddr::ip).collect();
    let port = own.addresses.first().map_or(0, SocketAddr::port);
    let host = format!("{}.local.", own.node);
    let properties = [("node", own.node.as_str()), ("name", &own.name), ("cluster", &own.cluster)];
    ServiceInfo::new(SERVICE, &own.node, &host, addresses.as_slice(), port, &properties[..])
}

fn note(seen: &Mutex<BTreeMap<String, Announcement>>, event: ServiceEvent) {
    match event {
        ServiceEvent::ServiceResolved(service) => {
            let text = |key| -> String {
                service.get_property_val_str(key).unwrap_or_default().chars().take(LONGEST_TEXT).collect()
            };
            let ips = service.get_addresses().iter().take(MOST_ADDRESSES);
            let addresses = ips.map(|ip| SocketAddr::new(ip.to_ip_addr(), service.get_port())).collect();
            let found =
                Announcement { node: text("node"), name: text("name"), cluster: text("cluster"), addresses };
            let mut seen = lock(seen);
            if seen.len() < MOST_SEEN || seen.contains_key(service.get_fullname()) {
                seen.insert(service.get_fullname().to_owned(), found);
            }
        }
        ServiceEvent::ServiceRemoved(_, name) => {
            lock(seen).remove(&name);
        }
        _ => {}
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
