//! Bounds on everything that a peer can make grow, and what happens at each.

/// Members beside this node. At the bound a node that connects takes the place of the one that
/// has been dead, gone or merely heard of for longest; where all are alive it is refused with
/// [`Refusal::Full`](crate::Refusal::Full). Nodes that are only heard of are ignored.
pub const MEMBERS: usize = 255;

/// Addresses of one member; further ones are ignored.
pub const ADDRESSES: usize = 16;

/// Bytes of an address; a longer one is no [`Address`](crate::Address).
pub const ADDRESS_BYTES: usize = 255;

/// Bytes of a node's name; a longer one is cut.
pub const NAME_BYTES: usize = 64;

/// Bytes of a node's facts; more are no [`Facts`](crate::Facts).
pub const FACTS_BYTES: usize = 64 * 1024;

/// Records in one [`Message::Peers`](crate::Message::Peers); further ones are ignored.
pub const PEERS_PER_MESSAGE: usize = 64;

/// Addresses to try of which it is not known who lives there. At the bound one that people gave takes the place of one
/// that was discovered, and a discovered one that of the discovered one whose dials failed most; else it is ignored.
pub const SEEDS: usize = 64;

/// Dials that fail until an address that was discovered is dropped: in about a minute. It may be discovered again.
pub const DISCOVERED_TRIES: u32 = 8;

/// Dials under way at a time; others wait for their turn.
pub const DIALS: usize = 16;
