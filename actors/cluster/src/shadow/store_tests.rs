use proptest::prelude::*;

use super::*;

const NOW: Duration = Duration::from_secs(1000);
const HERE: Source = Source(1);
const THERE: Source = Source(2);

fn begun(id: &str) -> Begun {
    Begun { request_id: id.into(), tenant: "t".into(), request: id.as_bytes().to_vec() }
}

fn told(sequence: u64, kept: u64, text: &str) -> Told {
    Told { sequence, kept, text: text.into() }
}

fn known(store: &mut Store, now: Duration, id: &str, last: u64) -> Option<(u64, String)> {
    store.recall(now, "t", id, last).map(|found| (found.sequence, found.text))
}

#[test]
fn a_text_is_had_as_of_any_event() {
    let mut store = Store::default();
    store.begin(NOW, HERE, 7, begun("a"));
    // Started, two pieces, a decision, a withdrawal, a piece.
    for event in [
        told(1, 0, ""),
        told(2, 0, "one "),
        told(3, 4, "two"),
        told(4, 7, ""),
        told(5, 4, ""),
        told(6, 4, "zwei"),
    ] {
        store.tell(HERE, 7, &event);
    }
    for (last, text) in [
        (0, ""),
        (1, ""),
        (2, "one "),
        (3, "one two"),
        (4, "one two"),
        (5, "one "),
        (6, "one zwei"),
        (9, "one zwei"),
    ] {
        assert_eq!(known(&mut store, NOW, "a", last), Some((6, text.into())), "{last}");
    }
    assert_eq!(store.recall(NOW, "t", "a", 0).unwrap().request, b"a");
    assert_eq!(store.recall(NOW, "other", "a", 0), None, "it is another tenant's");
    assert_eq!(known(&mut store, NOW, "b", 0), None);
}

#[test]
fn what_has_ended_makes_room_for_what_runs() {
    let mut store = Store::default();
    store.begin(NOW, HERE, 0, begun("long"));
    for number in 1..=2 * MOST_RECORDS as u64 {
        store.begin(NOW, HERE, number, begun(&format!("short-{number}")));
        store.end(NOW, HERE, number);
    }
    assert!(known(&mut store, NOW, "long", 0).is_some(), "it runs still");
    assert!(known(&mut store, NOW, "short-1", 0).is_none());
    for number in 1..=MOST_RECORDS as u64 {
        store.begin(NOW, THERE, number, begun(&format!("other-{number}")));
    }
    assert!(known(&mut store, NOW, "long", 0).is_none(), "all run: the oldest goes");
}

#[test]
fn notes_that_do_not_fit_are_left_out() {
    let mut store = Store::default();
    store.begin(NOW, HERE, 1, begun("a"));
    store.tell(HERE, 1, &told(2, 0, "ab"));
    for (source, number, event) in [
        (HERE, 1, told(2, 2, "again")),
        (HERE, 1, told(1, 2, "before")),
        (HERE, 1, told(3, 3, "beyond")),
        (HERE, 1, told(3, u64::MAX, "beyond")),
        (HERE, 2, told(3, 2, "of nothing")),
        (THERE, 1, told(3, 2, "of somebody else")),
    ] {
        store.tell(source, number, &event);
        assert_eq!(known(&mut store, NOW, "a", 9), Some((2, "ab".into())), "{event:?}");
    }
    store.begin(NOW, HERE, 2, begun("c"));
    store.tell(HERE, 2, &told(1, 0, "é"));
    store.tell(HERE, 2, &told(2, 1, "x"));
    assert_eq!(known(&mut store, NOW, "c", 2), Some((2, "x".into())), "half a character does not stand");
}

#[test]
fn requests_are_kept_for_as_long_as_their_callers_may_come() {
    let minute = Duration::from_secs(60);
    let mut store = Store::default();
    store.begin(NOW, HERE, 1, begun("ended"));
    store.begin(NOW, HERE, 2, begun("orphaned"));
    store.begin(NOW, THERE, 2, begun("runs"));
    store.end(NOW, HERE, 1);
    store.source_gone(NOW, HERE);
    let all = ["ended", "orphaned", "runs"];
    let there = |store: &mut Store, now| all.map(|id| known(store, now, id, 0).is_some());
    let nearly = Duration::from_millis(1);
    assert_eq!(there(&mut store, NOW + minute - nearly), [true, true, true]);
    assert_eq!(there(&mut store, NOW + minute), [false, true, true]);
    assert_eq!(there(&mut store, NOW + 10 * minute - nearly), [false, true, true]);
    assert_eq!(there(&mut store, NOW + 10 * minute), [false, false, true]);
    assert_eq!(there(&mut store, NOW + 1000 * minute), [false, false, true]);
    store.begin(NOW, HERE, 9, begun("runs"));
    store.tell(THERE, 2, &told(1, 0, "old"));
    assert_eq!(known(&mut store, NOW, "runs", 9), Some((0, String::new())), "a newer request took its place");
}

#[test]
fn the_oldest_go_when_there_are_too_many_or_they_are_too_large() {
    let mut store = Store::default();
    let names: Vec<String> = (0..=MOST_RECORDS).map(|n| n.to_string()).collect();
    for (name, number) in names.iter().zip(0..) {
        store.begin(NOW, HERE, number, begun(name));
    }
    assert_eq!(known(&mut store, NOW, "0", 0), None);
    assert!(known(&mut store, NOW, "1", 0).is_some());
    for n in 0..20 {
        store.begin(NOW, HERE, 9000 + n, Begun { request: vec![0; 4 << 20], ..begun("large") });
    }
    assert!(known(&mut store, NOW, "2", 0).is_some(), "the one large request took its own place each time");
    for n in 0..20 {
        let large = Begun { request: vec![0; 4 << 20], ..begun(&format!("large-{n}")) };
        store.begin(NOW, HERE, 9100 + n, large);
    }
    assert!(store.bytes <= MOST_BYTES);
    assert_eq!(known(&mut store, NOW, "large-0", 0), None);
    assert!(known(&mut store, NOW, "large-19", 0).is_some());
    assert!(store.records.len() < 20 && store.numbers.len() == store.records.len());
}

proptest! {
    /// Whatever is noted, in whatever order: what a witness is told anew of a request gives the same text as of every
    /// event, and the bytes that are counted are those that are there.
    #[test]
    fn told_anew_is_told_the_same(
        events in prop::collection::vec((0_u64..3, 0_u64..12, 0_u64..12, "[abé]{0,3}"), 0..60),
    ) {
        let (mut store, mut witness) = (Store::default(), Store::default());
        for number in 0..3 {
            store.begin(NOW, Source::OWN, number, begun(&number.to_string()));
        }
        for (number, sequence, kept, text) in &events {
            store.tell(Source::OWN, *number, &told(*sequence, *kept, text));
        }
        let counted: usize = store.records.iter().map(|(key, record)| record.bytes(key)).sum();
        prop_assert_eq!(store.bytes, counted);
        prop_assert_eq!(store.running(), vec![0, 1, 2]);
        for number in 0..3 {
            let (begun, events) = store.whole(number).unwrap();
            witness.begin(NOW, THERE, number, begun);
            events.iter().for_each(|event| witness.tell(THERE, number, event));
            for last in 0..13 {
                let id = number.to_string();
                prop_assert_eq!(known(&mut store, NOW, &id, last), known(&mut witness, NOW, &id, last));
            }
        }
    }
}
