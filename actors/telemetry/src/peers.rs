//! Figures of the other nodes of a cluster, read when somebody collects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// Another node as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFigures {
    /// Its id: 16 hexadecimal digits. A node knows 255 others at most.
    pub node: String,
    /// `alive`, `suspect`, `dead`, ...
    pub state: &'static str,
    /// Round trip to it, while it is alive.
    pub round_trip: Option<Duration>,
}

/// Tells the figures of all other nodes.
pub type Source = dyn Fn() -> Vec<PeerFigures> + Send + Sync;

/// Where figures come from, once a node has said so.
#[derive(Default)]
pub(crate) struct Peers(ArcSwapOption<Box<Source>>);

impl Peers {
    pub(crate) fn come_from(&self, source: Box<Source>) {
        self.0.store(Some(Arc::new(source)));
    }

    fn now(&self) -> Vec<PeerFigures> {
        self.0.load_full().map(|source| source()).unwrap_or_default()
    }
}

/// Makes the instruments; they live as long as the meter's provider.
pub(crate) fn observe(meter: &Meter, peers: &Arc<Peers>) {
    let counted = peers.clone();
    meter
        .u64_observable_gauge("understudy.cluster.nodes")
        .with_unit("{node}")
        .with_description("Other nodes of the cluster, by state.")
        .with_callback(move |observer| {
            let mut states: BTreeMap<&'static str, u64> = BTreeMap::new();
            counted.now().iter().for_each(|peer| *states.entry(peer.state).or_default() += 1);
            states.into_iter().for_each(|(state, count)| {
                observer.observe(count, &[KeyValue::new("state", state)]);
            });
        })
        .build();
    let timed = peers.clone();
    meter
        .f64_observable_gauge("understudy.cluster.round_trip")
        .with_unit("s")
        .with_description("Round trip to another node, a moving mean.")
        .with_callback(move |observer| {
            for peer in timed.now() {
                if let Some(time) = peer.round_trip {
                    observer.observe(time.as_secs_f64(), &[KeyValue::new("node", peer.node)]);
                }
            }
        })
        .build();
}
