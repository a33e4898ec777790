//! What changes around a node while it is a member: where it is reached, who announces itself, and files that other
//! processes write.

use std::{io, net::SocketAddr, sync::Arc, time::Duration, time::SystemTime};

use tokio::sync::{mpsc, watch};
use understudy_identity::ClusterFiles;
use understudy_membership::{Address, ClusterId, Identity};

use crate::{
    ClusterConfig, ClusterError,
    agent::Wish,
    discovery::{Announcement, Discovery, interfaces},
    view::{ClusterView, id_text},
};

/// How often all of it is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where this node is reached: as the settings say, or at the addresses of the machine's interfaces, which come and go.
pub(crate) struct Whereabouts {
    bound_at: SocketAddr,
    /// The interfaces to use; `None` where the settings say where this node is reached.
    interfaces: Option<Vec<String>>,
    known: Vec<String>,
}

impl Whereabouts {
    /// As of now. That there is no network yet is no error.
    pub(crate) fn find(config: &ClusterConfig, bound_at: SocketAddr) -> Result<Self, ClusterError> {
        if !config.advertise.is_empty() {
            return Ok(Self { bound_at, interfaces: None, known: config.advertise.clone() });
        }
        let usable = interfaces::usable(&config.interfaces).map_err(ClusterError::Interfaces)?;
        let mut found = Self { bound_at, interfaces: Some(config.interfaces.clone()), known: Vec::new() };
        found.changed(&usable);
        Ok(found)
    }

    /// `HOST:PORT`, each.
    pub(crate) fn known(&self) -> &[String] {
        &self.known
    }

    /// Looks again; the addresses, where they are others than before.
    fn look(&mut self) -> io::Result<Option<&[String]>> {
        let Some(wanted) = &self.interfaces else { return Ok(None) };
        let usable = interfaces::usable(wanted)?;
        Ok(self.changed(&usable).then_some(&self.known))
    }

    /// While there is no network at all the last addresses stay: nobody could be told of it.
    fn changed(&mut self, usable: &[interfaces::Interface]) -> bool {
        let found = interfaces::addresses(self.bound_at, usable);
        let mut found: Vec<String> = found.iter().map(SocketAddr::to_string).collect();
        // The system may list the same ones in another order.
        found.sort();
        let is_changed = !found.is_empty() && found != self.known;
        if is_changed {
            self.known = found;
        }
        is_changed
    }
}

/// The look around.
pub(crate) struct Surroundings {
    pub(crate) files: ClusterFiles,
    pub(crate) view: watch::Receiver<Arc<ClusterView>>,
    pub(crate) wishes: mpsc::Sender<Wish>,
    pub(crate) whereabouts: Whereabouts,
    /// `None` where it is not wanted, or not possible.
    pub(crate) discovery: Option<Discovery>,
    pub(crate) wants_discovery: bool,
    pub(crate) me: Identity,
}

impl Surroundings {
    /// Looks again and again, until the node's part in the cluster ends.
    pub(crate) async fn look_around(mut self) {
        // The list is read once more: somebody may have been turned out while this node began.
        let (mut denied, mut kept) = (None, Vec::new());
        loop {
            tokio::time::sleep(LOOK).await;
            self.look_at_addresses().await;
            let now = self.denied_written();
            if now != denied {
                denied = now;
                let _ = self.wishes.send(Wish::RereadDenyList).await;
            }
            let view = self.view.borrow().clone();
            self.keep_met(&view, &mut kept);
            self.look_at_announcements(&view).await;
        }
    }

    /// When other processes wrote the deny list last.
    fn denied_written(&self) -> Option<SystemTime> {
        std::fs::metadata(self.files.path().join("denied.json")).ok()?.modified().ok()
    }

    /// Members learn of new addresses over their links, others by announcement.
    async fn look_at_addresses(&mut self) {
        let addresses = match self.whereabouts.look() {
            Ok(None) => return,
            Ok(Some(addresses)) => addresses,
            Err(error) => return tracing::debug!(%error, "the network interfaces cannot be listed"),
        };
        tracing::info!(?addresses, "this node is reached at other addresses now");
        self.me.addresses = addresses.iter().filter_map(|text| Address::new(text).ok()).collect();
        let _ = self.wishes.send(Wish::SetAddresses(self.me.addresses.clone())).await;
        match &self.discovery {
            Some(discovery) => {
                if let Err(error) = discovery.announce(&announcement(&self.me)) {
                    tracing::warn!(%error, "the new addresses are not announced");
                }
            }
            // There was no network when it was tried before.
            None if self.wants_discovery => self.discovery = discovered(&self.me),
            None => {}
        }
    }

    /// Keeps where peers were met, for the next start.
    fn keep_met(&self, view: &ClusterView, kept: &mut Vec<String>) {
        let met: Vec<String> = view.usable().flat_map(|node| node.addresses.clone()).collect();
        if met.is_empty() || met == *kept {
            return;
        }
        if let Err(error) = self.files.keep_peers(&met) {
            tracing::warn!(%error, "where peers were met is not kept");
        }
        *kept = met;
    }

    async fn look_at_announcements(&self, view: &ClusterView) {
        let (cluster, me) = (cluster_text(&self.me.cluster), self.me.node.to_string());
        for found in self.discovery.iter().flat_map(Discovery::seen) {
            let is_known = view.nodes.iter().any(|node| id_text(node.node) == found.node);
            if found.cluster != cluster || found.node == me || is_known {
                continue;
            }
            for address in &found.addresses {
                if let Ok(address) = Address::new(&address.to_string()) {
                    let _ = self.wishes.send(Wish::Discovered(address)).await;
                }
            }
        }
    }
}

/// Announces this node and lists others, where the system lets it.
pub(crate) fn discovered(me: &Identity) -> Option<Discovery> {
    match Discovery::start(Some(&announcement(me))) {
        Ok(discovery) => Some(discovery),
        Err(error) => {
            tracing::warn!(%error, "other nodes are not found by themselves");
            None
        }
    }
}

fn announcement(me: &Identity) -> Announcement {
    Announcement {
        node: me.node.to_string(),
        name: me.name.clone(),
        cluster: cluster_text(&me.cluster),
        addresses: me.addresses.iter().filter_map(|address| address.as_str().parse().ok()).collect(),
    }
}

fn cluster_text(cluster: &ClusterId) -> String {
    cluster.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(address: &str) -> interfaces::Interface {
        interfaces::Interface { name: "en0".into(), address: address.parse().unwrap() }
    }

    #[test]
    fn addresses_follow_the_interfaces() {
        let bound_at = "0.0.0.0:7863".parse().unwrap();
        let mut found = Whereabouts { bound_at, interfaces: Some(Vec::new()), known: Vec::new() };
        let cases: [(&[&str], bool, &[&str]); 5] = [
            (&[], false, &[]),
            (&["10.0.0.7"], true, &["10.0.0.7:7863"]),
            (&["10.0.0.9", "10.0.0.8"], true, &["10.0.0.8:7863", "10.0.0.9:7863"]),
            (&["10.0.0.8", "10.0.0.9"], false, &["10.0.0.8:7863", "10.0.0.9:7863"]),
            (&[], false, &["10.0.0.8:7863", "10.0.0.9:7863"]),
        ];
        for (listed, is_changed, known) in cases {
            let listed: Vec<_> = listed.iter().map(|address| interface(address)).collect();
            assert_eq!(found.changed(&listed), is_changed, "{listed:?}");
            assert_eq!(found.known(), known);
        }
    }

    #[test]
    fn what_the_settings_say_stays() {
        let config = ClusterConfig { advertise: vec!["mac:7863".into()], ..ClusterConfig::default() };
        let mut found = Whereabouts::find(&config, "0.0.0.0:7863".parse().unwrap()).unwrap();
        assert_eq!(found.known(), ["mac:7863"]);
        assert!(found.look().unwrap().is_none());
    }
}
