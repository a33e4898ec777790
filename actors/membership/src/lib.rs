//! Who is in the cluster and alive: one node's view, as a state machine without IO.
//!
//! | module | what it holds |
//! |---|---|
//! | `membership` | [`Membership`], the machine: links, messages, gossip, dials, time |
//! | `io` | [`Input`] and [`Output`], all that passes between it and its driver |
//! | `message` | [`Message`], what nodes say to each other |
//! | `member` | [`Member`] and [`MemberEvent`], what others see of it |
//! | `refusal` | [`Refusal`], why a link is closed, in words that say what to do |
//! | `config` | [`MembershipConfig`]: times, the detector, the seed |
//! | `detector`, `dialing`, `peer` | silence and phi; whom to dial when; what is kept of a member |
//! | [`limits`] | bounds on all that a peer can make grow |
//!
//! What a driver owes it:
//! - Both ends of a link say [`Membership::hello`] first, the dialler with its [`Attempt`]. [`Input::LinkUp`] comes when both have
//!   crossed and the certificate was checked; messages that are faster wait for it.
//! - Every [`Output::Dial`] ends in a link or in [`Input::DialFailed`]. Time limits of handshakes, and how often a peer may
//!   connect, are the driver's.
//! - After each [`Membership::handle`] it takes all outputs, then waits until [`Membership::next_wake`] at most.
//! - Heartbeats do not queue behind bulk, and what does not fit is dropped: any message may be lost.
//!
//! It has no threads, no sockets and no clock: the driver opens links, carries messages, and says what time it is. So
//! a simulation can put thousands of hours on it, and every run with the same seed is the same.
//! Its rules have numbers, INV-M1 to INV-M15, in `docs/invariants.md`.
//!
//! ```
//! use std::time::Duration;
//! use understudy_membership::{
//!     Address, ClusterId, Fingerprint, Identity, Input, Membership, MembershipConfig, NodeId, Now, Output,
//! };
//!
//! let me = Identity {
//!     node: NodeId(7),
//!     fingerprint: Fingerprint([7; 32]),
//!     generation: 1,
//!     name: "desk".into(),
//!     addresses: vec![],
//!     protocol: 1..=1,
//!     cluster: ClusterId([0; 16]),
//! };
//! let start = Now(Duration::ZERO);
//! let mut membership = Membership::new(start, MembershipConfig::default(), me);
//! membership.handle(start, Input::AddPeer(Address::new("10.0.0.2:7863")?));
//! membership.handle(start, Input::Tick);
//! while let Some(output) = membership.poll() {
//!     // Dial, send, close, or tell others what happened.
//!     assert!(matches!(output, Output::Dial { .. }));
//! }
//! assert!(membership.next_wake().is_some_and(|wake| wake > start));
//! # Ok::<(), understudy_membership::AddressError>(())
//! ```

mod config;
mod detector;
mod dialing;
mod identity;
mod ids;
mod io;
pub mod limits;
mod member;
mod membership;
mod message;
mod peer;
mod random;
mod refusal;

pub use config::{Detector, MembershipConfig};
pub use identity::{Address, AddressError, Identity};
pub use ids::{Attempt, ClusterId, Fingerprint, LinkId, NodeId, Now};
pub use io::{Direction, Input, LinkEnd, Output};
pub use member::{DeathCause, Member, MemberEvent, Status, Suspicion};
pub use membership::Membership;
pub use message::{Echo, Facts, FactsTooLong, Heartbeat, Message, PeerRecord};
pub use refusal::Refusal;
