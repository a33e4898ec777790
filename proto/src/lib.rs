//! The wire: messages, clients and servers of Understudy's public protocol, and of the one between nodes.
//!
//! | item | what it holds |
//! |---|---|
//! | [`v1`] | code generated from `proto/understudy/v1/*.proto` |
//! | [`node::v1`] | code generated from `proto/understudy/node/v1/*.proto` |
//! | [`names`] | words that both ends must spell the same: metadata keys, health services, the error domain |
//! | [`PROTOCOL_VERSION`] | what a client says it speaks |
//! | [`FILE_DESCRIPTOR_SET`] | the public protos with their comments, for reflection |
//! | [`NODE_FILE_DESCRIPTOR_SET`] | those between nodes, which no node tells of by reflection |
//!
//! ```
//! use understudy_proto::v1::{GenerateEvent, Delta, generate_event::Event};
//!
//! let event = GenerateEvent {
//!     event: Some(Event::Delta(Delta { text: "hi".into(), ..Delta::default() })),
//!     sequence: 2,
//! };
//! assert!(matches!(event.event, Some(Event::Delta(delta)) if delta.text == "hi"));
//! ```
//!
//! Protos change by adding only: field numbers and words are never reused.

pub mod names;

/// `understudy.v1`: the public protocol. The comments of the protos are its documentation.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("understudy.v1");
}

/// What the nodes of a cluster say to each other.
pub mod node {
    /// `understudy.node.v1`: the verbs of a node's models, for its peers. A node understands its predecessor's and
    /// its successor's, as a public client and a node do.
    #[allow(missing_docs, unreachable_pub, clippy::all)]
    pub mod v1 {
        tonic::include_proto!("understudy.node.v1");
    }
}

/// The newest protocol that this build speaks. A client names its own in the metadata
/// [`names::PROTOCOL_METADATA`]; a node refuses one that is newer than itself.
pub const PROTOCOL_VERSION: u32 = 1;

/// The encoded `google.protobuf.FileDescriptorSet` of [`v1`], with comments.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/understudy.v1.bin"));

/// The same of [`node::v1`], without the public files that it builds on.
pub const NODE_FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/understudy.node.v1.bin"));
