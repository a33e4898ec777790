//! The deny list: who may write into it, how it grows together, what happens when it is full.

use proptest::prelude::*;
use understudy_identity::{
    Authority, Denial, DenyList, Fingerprint, Merged,
    deny::{LONGEST_REASON, MOST_DENIALS},
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const NOW_MS: u64 = 1_800_000_000_000;

fn authority() -> Authority {
    Authority::create(NOW_MS / 1000).unwrap()
}

fn key(number: usize) -> Fingerprint {
    Fingerprint::of_key(&number.to_be_bytes())
}

#[test]
fn only_what_the_authority_signed_is_taken() {
    let (ours, other) = (authority(), authority());
    let good = ours.deny(key(1), "lost on a train", NOW_MS).unwrap();
    assert_eq!((good.fingerprint(), good.node(), &*good.reason), (key(1), key(1).node(), "lost on a train"));

    let foreign = other.deny(key(2), "", NOW_MS).unwrap();
    let (mut reworded, mut earlier) = (good.clone(), good.clone());
    reworded.reason = "left".into();
    earlier.when_ms -= 1;
    let mut bytes = ours.deny(key(3), "", NOW_MS).unwrap().to_bytes();
    bytes[0] ^= 1;
    let about_another = Denial::from_bytes(&bytes).unwrap();

    for bad in [foreign, reworded, about_another, earlier] {
        let mut list = DenyList::default();
        let later = ours.deny(key(4), "", NOW_MS).unwrap();
        let merged = list.merge(ours.certificate(), [good.clone(), good.clone()], NOW_MS);
        assert_eq!(merged, Merged { added: vec![key(1)], ..Merged::default() });
        // After one that is forged nothing is looked at.
        let merged = list.merge(ours.certificate(), [bad.clone(), later.clone()], NOW_MS);
        let is_passed_over = bad.fingerprint() == key(1) && bad.when_ms >= NOW_MS;
        assert_eq!(merged.is_forged, !is_passed_over, "{bad:?}");
        assert_eq!(merged.added.len(), usize::from(is_passed_over), "{bad:?}");
        assert_eq!(list.get(&key(1)), Some(&good), "{bad:?}");
        assert_eq!(list.len(), 1 + usize::from(is_passed_over), "{bad:?}");
        let merged = list.merge(ours.certificate(), [later], NOW_MS);
        assert_eq!(merged.added.len(), usize::from(!is_passed_over), "the next message counts again");
    }
}

#[test]
fn a_full_list_forgets_only_what_is_out_of_use() {
    let ours = authority();
    let mut list = DenyList::default();
    let entries = (0..MOST_DENIALS).map(|number| ours.deny(key(number), "", NOW_MS + number as u64).unwrap());
    assert_eq!(list.merge(ours.certificate(), entries, NOW_MS).added.len(), MOST_DENIALS);

    let one_more = ours.deny(key(MOST_DENIALS), "", NOW_MS + DAY_MS).unwrap();
    for (days, expected) in [
        (30, Merged { left_out: 1, ..Merged::default() }),
        (32, Merged { added: vec![key(MOST_DENIALS)], ..Merged::default() }),
    ] {
        assert_eq!(list.merge(ours.certificate(), [one_more.clone()], NOW_MS + days * DAY_MS), expected);
        assert_eq!(list.len(), MOST_DENIALS);
    }
    assert!(list.get(&key(0)).is_none() && list.get(&key(1)).is_some());
}

#[test]
fn a_reason_is_cut_at_a_character() {
    let ours = authority();
    let long = "ü".repeat(LONGEST_REASON);
    assert_eq!(ours.deny(key(1), &long, NOW_MS).unwrap().reason, "ü".repeat(LONGEST_REASON / 2));
    let odd = format!("x{long}");
    let denial = ours.deny(key(1), &odd, NOW_MS).unwrap();
    assert_eq!(denial.reason.len(), LONGEST_REASON - 1);
    assert_eq!(Denial::from_bytes(&denial.to_bytes()), Some(denial));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever way entries travel, nodes that got the same ones have the same list.
    #[test]
    fn lists_grow_together(entries in proptest::collection::vec((0usize..6, 0u64..4), 0..12), cut in 0usize..12) {
        let ours = authority();
        let entries: Vec<Denial> =
            entries.into_iter().map(|(number, when)| ours.deny(key(number), "", NOW_MS + when).unwrap()).collect();
        let (early, late) = entries.split_at(cut.min(entries.len()));
        let (mut a, mut b) = (DenyList::default(), DenyList::default());
        a.merge(ours.certificate(), early.to_vec(), NOW_MS);
        b.merge(ours.certificate(), late.to_vec(), NOW_MS);
        let (of_a, of_b): (Vec<_>, Vec<_>) = (a.iter().cloned().collect(), b.iter().cloned().collect());
        a.merge(ours.certificate(), of_b, NOW_MS);
        b.merge(ours.certificate(), of_a, NOW_MS);
        prop_assert_eq!(a, b);
    }

    #[test]
    fn garbage_is_no_entry(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Some(denial) = Denial::from_bytes(&bytes) {
            prop_assert_eq!(denial.to_bytes(), bytes);
        }
    }
}
