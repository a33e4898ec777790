//! A bounded number of places, over all and per peer.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Places for connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    most: usize,
    most_per_peer: usize,
    taken: Mutex<Taken>,
    turned_full: AtomicU64,
    turned_peer: AtomicU64,
}

/// At most one entry of `peers` for each place, so its size is bounded too.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    peers: HashMap<IpAddr, usize>,
}

/// Why somebody got none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// All places are taken.
    Full,
    /// This peer has its share.
    Peer,
}

/// One place; free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    peer: IpAddr,
}

impl Places {
    /// So many, over all and for each peer.
    pub fn new(most: usize, most_per_peer: usize) -> Self {
        let (turned_full, turned_peer) = Default::default();
        let taken = Mutex::default();
        Self { shared: Arc::new(Shared { most, most_per_peer, taken, turned_full, turned_peer }) }
    }

    /// A place for this peer, unless too many are taken.
    pub fn take(&self, peer: IpAddr) -> Result<Place, Turned> {
        let shared = &self.shared;
        let peer = network(peer);
        let mut taken = shared.taken();
        if taken.all >= shared.most {
            shared.turned_full.fetch_add(1, Ordering::Relaxed);
            return Err(Turned::Full);
        }
        let of_peer = taken.peers.entry(peer).or_default();
        if *of_peer >= shared.most_per_peer {
            shared.turned_peer.fetch_add(1, Ordering::Relaxed);
            return Err(Turned::Peer);
        }
        *of_peer += 1;
        taken.all += 1;
        Ok(Place { shared: shared.clone(), peer })
    }

    /// Places taken now.
    pub fn taken(&self) -> usize {
        self.shared.taken().all
    }

    /// How often somebody got none for this reason.
    pub fn turned(&self, why: Turned) -> u64 {
        match why {
            Turned::Full => self.shared.turned_full.load(Ordering::Relaxed),
            Turned::Peer => self.shared.turned_peer.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Counting cannot panic half-way, so the numbers are right in any case.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.shared.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_peer) = taken.peers.get_mut(&self.peer) {
            *of_peer = of_peer.saturating_sub(1);
            if *of_peer == 0 {
                taken.peers.remove(&self.peer);
            }
        }
    }
}

/// Who counts as one peer: an IPv4 address, or the 64 bits of an IPv6 address that one subscriber usually holds.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_hold_over_all_and_per_peer_and_places_come_back() {
        let places = Places::new(3, 2);
        let peer = |last| IpAddr::from([10, 0, 0, last]);
        let first = places.take(peer(1)).unwrap();
        let second = places.take(peer(1)).unwrap();
        assert_eq!(places.take(peer(1)).unwrap_err(), Turned::Peer);
        let third = places.take(peer(2)).unwrap();
        assert_eq!(places.take(peer(3)).unwrap_err(), Turned::Full);
        assert_eq!((places.taken(), places.turned(Turned::Peer), places.turned(Turned::Full)), (3, 1, 1));
        drop((first, second, third));
        assert_eq!(places.taken(), 0);
        assert!(places.shared.taken().peers.is_empty(), "a peer that left is remembered");
        assert!(places.take(peer(1)).is_ok());
    }

    #[test]
    fn one_subscriber_is_one_peer() {
        for (one, other, same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(network(one) == network(other), same, "{one} {other}");
        }
    }
}
