//! Several nodes as one: who is there, which model is where, and the way to it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cluster`] | [`Cluster`]: a node's part, now or later a member |
//! | [`config`] | [`ClusterConfig`], the settings |
//! | [`view`] | [`ClusterView`]: the nodes as this one sees them |
//! | [`slots`] | [`ClusterSlots`]: models by name, wherever they are |
//! | [`placement`] | where a sequence should live |
//! | [`discovery`] | who announces itself on the network |
//! | `actor` | the cluster under supervision |
//! | `agent` | the one task that owns the membership |
//! | `link` | the links between nodes |
//! | [`shadow`] | requests that outlive their gateway |
//! | `port` | the port 7863: handshakes, peers, pairing |
//! | `dial`, `remotes` | connections to other nodes, and the models over them |
//! | `surroundings` | interfaces, announcements and files, which change |
//! | `standing`, `renewal` | certificate, deny list, and their renewal |
//!
//! Who is who is [`understudy_identity`]'s business, who lives [`understudy_membership`]'s, and how verbs travel
//! [`understudy_remote`]'s; here they are joined to sockets and time.
//!
//! **Invariants.** No node is a master; each acts on what it hears itself. A request goes to another node only while
//! that is heard and hears this one, and never from there to a third.
//!
//! ```
//! use understudy_cluster::placement::{Candidate, Readiness, choose};
//! use std::time::Duration;
//!
//! let place = |node, load| Candidate {
//!     node,
//!     readiness: Readiness::Ready,
//!     places: 16,
//!     load,
//!     step: Duration::from_millis(20),
//!     round_trip: Duration::from_micros(300),
//!     free_bytes: 0,
//!     bytes: 0,
//! };
//! assert_eq!(choose(&[place(0, 16), place(1, 2)], None, 7), Some(1));
//! ```

mod actor;
mod agent;
pub mod cluster;
pub mod config;
mod dial;
pub mod discovery;
pub mod error;
mod link;
mod losses;
mod own;
pub mod placement;
mod port;
mod reach;
mod remotes;
mod renewal;
mod running;
pub mod shadow;
pub mod slots;
mod standing;
mod surroundings;
#[cfg(test)]
mod testing;
pub mod view;

pub use actor::ClusterActor;
pub use cluster::{Cluster, ClusterParts};
pub use config::ClusterConfig;
pub use error::ClusterError;
pub use own::OwnFacts;
pub use port::pairing::{JoinError, join};
pub use slots::{ClusterSlots, Remotes};
pub use understudy_identity as identity;
pub use view::{ClusterView, Life, NodeView};
