//! Snips' custom intents (Coucke et al. 2018, "Snips Voice Platform"): seven intents with their slots, whose values are
//! words of the sentence.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use crate::eval::EvalError;
use crate::eval::judge::frame::FrameJudge;
use crate::eval::suite::frames::{Frames, Intent, Kind};
use crate::eval::suite::{Loaded, data};

const HEAD: &str = "You find the intent of a sentence and its slots. A slot's value is the words of the sentence, \
    copied as they are. The intents:";

/// Sentences of our own.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "put Blue Moon by Elvis Presley on my Sunday Mornings list",
        r#"{"intent":"AddToPlaylist","slots":{"entity_name":"Blue Moon","artist":"Elvis Presley","playlist_owner":"my","playlist":"Sunday Mornings"}}"#,
    ),
    (
        "will there be fog in Trento, Italy tomorrow morning?",
        r#"{"intent":"GetWeather","slots":{"condition_description":"fog","city":"Trento","country":"Italy","timeRange":"tomorrow morning"}}"#,
    ),
];

#[derive(Deserialize)]
struct Line {
    id: String,
    text: String,
    intent: String,
    slots: Vec<Slot>,
}

#[derive(Deserialize)]
struct Slot {
    slot: String,
    value: String,
}

pub(super) fn load(folder: &Path) -> Result<Loaded, EvalError> {
    let lines = data::lines::<Line>(folder)?;
    let frames = Frames::new(HEAD, &intents(&lines), "", EXAMPLES);
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut items = Vec::new();
    for line in lines {
        let count = line.slots.len();
        let slots: BTreeMap<_, _> =
            line.slots.into_iter().map(|slot| (slot.slot, vec![json!(slot.value)])).collect();
        if slots.len() < count {
            *skipped.entry("a slot is filled twice".into()).or_default() += 1;
            continue;
        }
        items.push(frames.item(line.id, line.text.trim(), FrameJudge { intent: line.intent, slots }));
    }
    Ok(Loaded { items, skipped })
}

/// Every intent of the data with every slot that it ever has.
fn intents(lines: &[Line]) -> Vec<Intent> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in lines {
        found.entry(&line.intent).or_default().extend(line.slots.iter().map(|slot| slot.slot.as_str()));
    }
    let intent = |(name, slots): (&str, BTreeSet<&str>)| Intent {
        name: name.to_owned(),
        description: String::new(),
        slots: slots.into_iter().map(|slot| (slot.to_owned(), Kind::Text)).collect(),
    };
    found.into_iter().map(intent).collect()
}
