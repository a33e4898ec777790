//! Who a node of a cluster is, and how it proves that: keys, certificates, invites, pairing, revocation, and the
//! TLS that is made of them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`node`] | [`Fingerprint`] and [`NodeId`]: a node is its key |
//! | [`key`] | [`NodeKey`]: made here, never sent |
//! | [`certificate`] | [`NodeCertificate`] and [`AuthorityCertificate`], read and checked |
//! | [`authority`] | [`Authority`]: the private CA of a cluster |
//! | [`deny`] | [`DenyList`]: keys that were turned out, each entry signed |
//! | [`invite`] | [`InviteCode`] for people, [`Invites`] that are open |
//! | [`pairing`] | how a node with a code becomes a member: two machines without IO |
//! | [`store`] | [`ClusterFiles`]: all of it on disk |
//! | [`tls`] | [`Doors`]: who may connect to whom |
//! | [`clock`] | [`Clock`]: the time, which tests set |
//! | [`error`] | [`IdentityError`] |
//!
//! Nothing here opens a socket or waits. Whoever owns the sockets carries the frames of [`pairing`], gives
//! [`Doors`] to rustls, and keeps the time limits.
//!
//! **Invariants** (docs/invariants.md, INV-I1 to INV-I6). A node's key never leaves its machine. Who is compared
//! is compared by the whole [`Fingerprint`], never by the short id alone. Nothing is said to somebody with an
//! invite before both sides proved that they know the code, over the very TLS session in which they talk. No TLS
//! session is resumed, so every connection is checked anew.
//!
//! ```
//! use std::sync::Arc;
//! use understudy_identity::{ClusterFiles, Doors, ManualClock, Protocol};
//!
//! # let home = tempfile::tempdir()?;
//! let clock = Arc::new(ManualClock::at_ms(1_800_000_000_000));
//! let files = ClusterFiles::at(home.path().join("cluster"));
//! let member = files.init("lab", &*clock)?;
//! assert_eq!(files.open()?.key.fingerprint(), member.key.fingerprint());
//!
//! let doors = Doors::new(&member, clock)?;
//! let config = doors.client(Protocol::Data, Some(member.key.fingerprint()))?;
//! assert_eq!(config.alpn_protocols, [b"h2"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod authority;
pub mod certificate;
pub mod clock;
pub mod deny;
pub mod error;
mod fields;
mod hex;
pub mod invite;
pub mod key;
pub mod node;
pub mod pairing;
pub mod store;
pub mod tls;

pub use authority::Authority;
pub use certificate::{AuthorityCertificate, ClusterId, NodeCertificate};
pub use clock::{Clock, ManualClock, SystemClock};
pub use deny::{Denial, DenyList, Merged};
pub use error::IdentityError;
pub use invite::{InviteCode, InviteError, Invites};
pub use key::NodeKey;
pub use node::{Fingerprint, NodeId};
pub use pairing::{Binding, Inviter, Joiner, PairingError};
pub use store::{ClusterFiles, Member};
pub use tls::{Doors, PeerIdentity, PeerProblem, Protocol};
