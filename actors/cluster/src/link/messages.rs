//! Between the messages of a link and those of the membership. What cannot be read is no message: a peer of a newer
//! version may say more than this one understands.

use std::time::Duration;

use understudy_membership::{
    Address, Attempt, ClusterId, Echo, Facts, Fingerprint, Heartbeat, Identity, Message, NodeId, PeerRecord,
    Refusal,
};
use understudy_proto::node::v1::{self, RefusalReason, link_message::Kind};

/// The protocols of nodes that this build speaks.
pub const PROTOCOLS: std::ops::RangeInclusive<u32> = 1..=1;

pub(crate) fn hello(me: &Identity, attempt: Option<Attempt>) -> v1::LinkMessage {
    wrap(Kind::Hello(v1::Hello {
        node: me.node.0,
        fingerprint: me.fingerprint.0.to_vec(),
        generation: me.generation,
        cluster: me.cluster.0.to_vec(),
        protocol: Some(range(&me.protocol)),
        name: me.name.clone(),
        addresses: texts(&me.addresses),
        attempt: attempt.map_or(0, |attempt| attempt.0),
    }))
}

/// Who a peer says it is, and the number of its dial.
pub(crate) fn read_hello(message: v1::LinkMessage) -> Option<(Identity, Attempt)> {
    let Some(Kind::Hello(hello)) = message.kind else { return None };
    let protocol = hello.protocol?;
    let identity = Identity {
        node: NodeId(hello.node),
        fingerprint: Fingerprint(hello.fingerprint.try_into().ok()?),
        generation: hello.generation,
        name: hello.name,
        addresses: addresses(&hello.addresses),
        protocol: protocol.oldest..=protocol.newest,
        cluster: ClusterId(hello.cluster.try_into().ok()?),
    };
    Some((identity, Attempt(hello.attempt)))
}

pub(crate) fn wire(message: Message) -> v1::LinkMessage {
    wrap(match message {
        Message::Heartbeat(beat) => Kind::Heartbeat(v1::Heartbeat {
            sequence: beat.sequence,
            generation: beat.generation,
            facts_seen: beat.facts_seen,
            gave_up: beat.gave_up,
            echo: beat.echo.map(|echo| v1::Echo { sequence: echo.sequence, held_us: micros(echo.held) }),
        }),
        Message::Facts { version, facts } => {
            Kind::Facts(v1::Facts { version, facts: facts.as_bytes().to_vec() })
        }
        Message::Peers(records) => {
            Kind::Peers(v1::PeerRecords { peers: records.into_iter().map(record).collect() })
        }
        Message::Leave { generation } => Kind::Leave(v1::Leave { generation }),
        Message::Refuse(why) => Kind::Refusal(refusal(&why)),
    })
}

pub(crate) fn read(message: v1::LinkMessage) -> Option<Message> {
    Some(match message.kind? {
        Kind::Heartbeat(beat) => Message::Heartbeat(Heartbeat {
            sequence: beat.sequence,
            generation: beat.generation,
            facts_seen: beat.facts_seen,
            gave_up: beat.gave_up,
            echo: beat
                .echo
                .map(|echo| Echo { sequence: echo.sequence, held: Duration::from_micros(echo.held_us) }),
        }),
        Kind::Facts(facts) => Message::Facts { version: facts.version, facts: Facts::new(facts.facts).ok()? },
        Kind::Peers(records) => Message::Peers(records.peers.into_iter().filter_map(read_record).collect()),
        Kind::Leave(leave) => Message::Leave { generation: leave.generation },
        Kind::Refusal(why) => Message::Refuse(read_refusal(&why)?),
        Kind::Hello(_) | Kind::Denied(_) => return None,
    })
}

/// Bytes of deny list entries in one message: half of the largest, so that what is around them fits too. A full list
/// takes 8 of them, which the queue of a link has room for.
const DENIED_BYTES: usize = super::LARGEST_MESSAGE / 2;

/// Entries of a deny list, a message's worth at a time.
pub(crate) fn in_parts(entries: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut parts: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut room = 0;
    for entry in entries {
        if entry.len() > room {
            parts.push(Vec::new());
            room = DENIED_BYTES;
        }
        room = room.saturating_sub(entry.len());
        if let Some(part) = parts.last_mut() {
            part.push(entry);
        }
    }
    parts
}

pub(crate) fn wrap(kind: Kind) -> v1::LinkMessage {
    v1::LinkMessage { kind: Some(kind) }
}

fn record(record: PeerRecord) -> v1::PeerRecord {
    v1::PeerRecord {
        node: record.node.0,
        fingerprint: record.fingerprint.0.to_vec(),
        generation: record.generation,
        addresses: texts(&record.addresses),
        left: record.left,
    }
}

fn read_record(record: v1::PeerRecord) -> Option<PeerRecord> {
    Some(PeerRecord {
        node: NodeId(record.node),
        fingerprint: Fingerprint(record.fingerprint.try_into().ok()?),
        generation: record.generation,
        addresses: addresses(&record.addresses),
        left: record.left,
    })
}

fn refusal(why: &Refusal) -> v1::Refusal {
    let of = |reason: RefusalReason| v1::Refusal { reason: reason.into(), ..v1::Refusal::default() };
    match why {
        Refusal::OtherCluster => of(RefusalReason::OtherCluster),
        Refusal::Protocol { ours, theirs } => v1::Refusal {
            ours: Some(range(ours)),
            theirs: Some(range(theirs)),
            ..of(RefusalReason::Protocol)
        },
        Refusal::SameNode(node) => v1::Refusal { node: node.0, ..of(RefusalReason::SameNode) },
        Refusal::Itself => of(RefusalReason::Itself),
        Refusal::OtherKey(node) => v1::Refusal { node: node.0, ..of(RefusalReason::OtherKey) },
        Refusal::OldGeneration { theirs, known } => {
            v1::Refusal { came: *theirs, known: *known, ..of(RefusalReason::OldGeneration) }
        }
        Refusal::Revoked => of(RefusalReason::Revoked),
        Refusal::Full => of(RefusalReason::Full),
        Refusal::DuplicateLink => of(RefusalReason::DuplicateLink),
        Refusal::Silent => of(RefusalReason::Silent),
        Refusal::Left => of(RefusalReason::Left),
    }
}

fn read_refusal(why: &v1::Refusal) -> Option<Refusal> {
    Some(match why.reason() {
        RefusalReason::Unspecified => return None,
        RefusalReason::OtherCluster => Refusal::OtherCluster,
        RefusalReason::Protocol => {
            let read = |range: Option<v1::ProtocolRange>| range.map(|range| range.oldest..=range.newest);
            Refusal::Protocol { ours: read(why.ours)?, theirs: read(why.theirs)? }
        }
        RefusalReason::SameNode => Refusal::SameNode(NodeId(why.node)),
        RefusalReason::Itself => Refusal::Itself,
        RefusalReason::OtherKey => Refusal::OtherKey(NodeId(why.node)),
        RefusalReason::OldGeneration => Refusal::OldGeneration { theirs: why.came, known: why.known },
        RefusalReason::Revoked => Refusal::Revoked,
        RefusalReason::Full => Refusal::Full,
        RefusalReason::DuplicateLink => Refusal::DuplicateLink,
        RefusalReason::Silent => Refusal::Silent,
        RefusalReason::Left => Refusal::Left,
    })
}

fn range(range: &std::ops::RangeInclusive<u32>) -> v1::ProtocolRange {
    v1::ProtocolRange { oldest: *range.start(), newest: *range.end() }
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(|address| address.as_str().to_owned()).collect()
}

fn addresses(texts: &[String]) -> Vec<Address> {
    texts.iter().filter_map(|text| Address::new(text).ok()).collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_what_is_read() {
        let node = NodeId(7);
        let fingerprint = Fingerprint([3; 32]);
        let addresses = vec![Address::new("10.0.0.1:7863").unwrap()];
        let refusals = [
            Refusal::OtherCluster,
            Refusal::Protocol { ours: 1..=2, theirs: 4..=5 },
            Refusal::SameNode(node),
            Refusal::Itself,
            Refusal::OtherKey(node),
            Refusal::OldGeneration { theirs: 4, known: 9 },
            Refusal::Revoked,
            Refusal::Full,
            Refusal::DuplicateLink,
            Refusal::Silent,
            Refusal::Left,
        ];
        let mut messages: Vec<Message> = refusals.into_iter().map(Message::Refuse).collect();
        let echo = Some(Echo { sequence: 4, held: Duration::from_micros(17) });
        messages.extend([
            Message::Heartbeat(Heartbeat { sequence: 5, generation: 6, facts_seen: 7, gave_up: 8, echo }),
            Message::Heartbeat(Heartbeat {
                sequence: 1,
                generation: 1,
                facts_seen: 0,
                gave_up: 0,
                echo: None,
            }),
            Message::Facts { version: 2, facts: Facts::new(b"facts").unwrap() },
            Message::Peers(vec![PeerRecord {
                node,
                fingerprint,
                generation: 8,
                addresses: addresses.clone(),
                left: true,
            }]),
            Message::Leave { generation: 3 },
        ]);
        for message in messages {
            assert_eq!(read(wire(message.clone())), Some(message));
        }
        let me = Identity {
            node,
            fingerprint,
            generation: 5,
            name: "mac".into(),
            addresses,
            protocol: PROTOCOLS,
            cluster: ClusterId([9; 16]),
        };
        assert_eq!(read_hello(hello(&me, Some(Attempt(4)))), Some((me.clone(), Attempt(4))));
        assert_eq!(read(hello(&me, None)), None, "only the first message is a hello");
    }

    #[test]
    fn the_longest_deny_list_fits_into_messages() {
        use understudy_identity::deny::{LONGEST_REASON, MOST_DENIALS};
        // Key, time, reason with its length, signature.
        let longest = 32 + 8 + 4 + LONGEST_REASON + 64;
        let entries = vec![vec![7; longest]; MOST_DENIALS];
        let parts = in_parts(entries.clone());
        assert!(parts.len() <= 8 && parts.len() < super::super::OUTGOING, "{}", parts.len());
        for part in &parts {
            let message = wrap(Kind::Denied(v1::DenyList { entries: part.clone() }));
            let bytes = prost::Message::encoded_len(&message);
            assert!(bytes <= super::super::LARGEST_MESSAGE, "{bytes} bytes");
        }
        assert_eq!(parts.concat(), entries);
        assert!(in_parts(Vec::new()).is_empty());
    }

    #[test]
    fn nonsense_is_no_message() {
        let odd = [
            v1::LinkMessage { kind: None },
            wrap(Kind::Facts(v1::Facts { version: 1, facts: vec![0; 1 << 17] })),
            wrap(Kind::Refusal(v1::Refusal { reason: 99, ..v1::Refusal::default() })),
            wrap(Kind::Refusal(v1::Refusal {
                reason: RefusalReason::Protocol.into(),
                ..v1::Refusal::default()
            })),
        ];
        assert!(odd.into_iter().all(|message| read(message).is_none()));
        let short = v1::Hello { fingerprint: vec![1; 31], ..v1::Hello::default() };
        assert!(read_hello(wrap(Kind::Hello(short))).is_none());
    }
}
