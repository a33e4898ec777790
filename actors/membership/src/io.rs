//! What goes into a membership and what comes out of it.

use crate::identity::{Address, Identity};
use crate::ids::{Attempt, Fingerprint, LinkId, NodeId};
use crate::member::MemberEvent;
use crate::message::{Facts, Message};
use crate::refusal::Refusal;

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed. Due at [`next_wake`](crate::Membership::next_wake); more often does no harm.
    Tick,
    /// A link to a node of the cluster is there, and both hellos have crossed it.
    LinkUp {
        /// Its name from now on.
        link: LinkId,
        /// The other end's hello. The driver has checked node and fingerprint against the certificate.
        hello: Identity,
        /// Who dialled.
        direction: Direction,
        /// The dialler's number of the dial: the [`Output::Dial`], or what came with the hello.
        attempt: Attempt,
    },
    /// A link is gone.
    LinkDown {
        /// Which.
        link: LinkId,
        /// How it ended.
        kind: LinkEnd,
    },
    /// A message came.
    Received {
        /// On this link.
        link: LinkId,
        /// What it says.
        message: Message,
    },
    /// A dial led to no link.
    DialFailed {
        /// Which.
        attempt: Attempt,
        /// Whether the host said that nobody listens there; no answer, no route and a failed handshake
        /// are not that.
        refused: bool,
    },
    /// This node has other facts. They reach members at once, or at the next tick if others were sent within one.
    SetFacts(Facts),
    /// This node has other addresses. Members are told at once, others with the next hello.
    SetAddresses(Vec<Address>),
    /// A node may be reached there, as people say: it is dialled until a link to it comes up.
    AddPeer(Address),
    /// A node may be reached there, as somebody announces whom nobody vouches for: it is dialled a few times.
    Discovered(Address),
    /// This node leaves the cluster. It says so on all links, closes them, and does nothing any more.
    Leave,
    /// A key was revoked, for good. If it is this node's own it closes all links and does nothing any more.
    Revoked(Fingerprint),
}

/// Who dialled a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The other end.
    Inbound,
    /// This node.
    Outbound,
}

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The other end closed it.
    Ended,
    /// The connection was reset.
    Reset,
    /// It was stopped on this side: it says nothing of the other.
    Stopped,
}

/// Something to do. Outputs concerning one link keep their order, and what was sent before a
/// close still goes out where that is possible without waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message. It may be dropped where the link's queue is full.
    Send {
        /// On this link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// Dial; send [`hello`](crate::Membership::hello) with the attempt first, and answer with [`Input::LinkUp`] or
    /// [`Input::DialFailed`].
    Dial {
        /// The number of the dial.
        attempt: Attempt,
        /// Where.
        address: Address,
        /// Who should be there, where that is known. The driver ends a dial that leads to another one before it says
        /// hello: that one most likely has a link already, of which this would be a duplicate.
        expected: Option<NodeId>,
    },
    /// Close a link. No [`Input::LinkDown`] is needed.
    CloseLink {
        /// Which.
        link: LinkId,
        /// The node at its other end.
        peer: NodeId,
        /// Why.
        why: Refusal,
    },
    /// Something happened that others should know.
    Event(MemberEvent),
}
