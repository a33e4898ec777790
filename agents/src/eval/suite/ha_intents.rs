//! Home Assistant's intents: commands to a home with its areas, floors and devices, as its own sentence tests have them.
//! Sentences without an expected intent are left out: those tests look at the spoken response alone.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::eval::EvalError;
use crate::eval::judge::frame::FrameJudge;
use crate::eval::suite::frames::{Frames, Intent, Kind};
use crate::eval::suite::{Loaded, data};

const HEAD: &str = "You turn commands for a smart home into an intent with slots. The intents:";

/// Sentences of our own, about a home of our own.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "switch the lamps in the attic off",
        r#"{"intent":"HassTurnOff","slots":{"area":"Attic","domain":"light"}}"#,
    ),
    (
        "is the cellar hatch open?",
        r#"{"intent":"HassGetState","slots":{"name":"Cellar Hatch","domain":"cover","state":"open"}}"#,
    ),
    ("Said in: Den\nnext song please", r#"{"intent":"HassMediaNext","slots":{"area":"Den"}}"#),
    ("wake me in 40 minutes", r#"{"intent":"HassStartTimer","slots":{"minutes":40}}"#),
];

/// Slots whose values are numbers.
const NUMBERS: [&str; 10] = [
    "position",
    "brightness",
    "temperature",
    "volume_level",
    "hours",
    "minutes",
    "seconds",
    "start_hours",
    "start_minutes",
    "start_seconds",
];

#[derive(Deserialize)]
struct Line {
    id: String,
    text: String,
    intent: Option<String>,
    slots: Map<String, Value>,
    context: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Declared {
    description: String,
    #[serde(default)]
    slots: Map<String, Value>,
}

/// The home.
#[derive(Deserialize)]
struct Fixtures {
    areas: Vec<Named>,
    floors: Vec<Named>,
    entities: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    /// Of an entity: `DOMAIN.NAME`.
    id: String,
}

pub(super) fn load(folder: &Path) -> Result<Loaded, EvalError> {
    let lines = data::lines::<Line>(folder)?;
    let declared: Map<String, Value> = json_file(folder, "intents.json")?;
    let home: Fixtures = json_file(folder, "fixtures.json")?;
    let intents = declared.into_iter().map(intent).collect::<Result<Vec<_>, _>>()?;
    let frames = Frames::new(HEAD, &intents, &described(&home), EXAMPLES);
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut items = Vec::new();
    for line in lines {
        let Some(intent) = line.intent else {
            *skipped.entry("no intent is expected".into()).or_default() += 1;
            continue;
        };
        let sentence = said(&line.text, line.context.as_ref());
        let slots = line.slots.into_iter().map(|(name, right)| (name, any_of(right))).collect();
        items.push(frames.item(line.id, &sentence, FrameJudge { intent, slots }));
    }
    Ok(Loaded { items, skipped })
}

fn json_file<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> Result<T, EvalError> {
    let path = data::named_file(folder, name)?;
    serde_json::from_str(&data::read(&path)?).map_err(|error| EvalError::unreadable(&path, error))
}

fn intent((name, declared): (String, Value)) -> Result<Intent, EvalError> {
    let declared: Declared = serde_json::from_value(declared)
        .map_err(|error| EvalError::input(format!("intents.json: {name}: {error}")))?;
    let kind = |slot: &str| if NUMBERS.contains(&slot) { Kind::Number } else { Kind::Text };
    let slots = declared.slots.into_iter().map(|(slot, _)| (slot.clone(), kind(&slot))).collect();
    Ok(Intent { name, description: declared.description, slots })
}

/// The names that slots refer to.
fn described(home: &Fixtures) -> String {
    let names = |list: &[Named]| list.iter().map(|thing| thing.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut by_domain: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entity in &home.entities {
        let domain = entity.id.split('.').next().unwrap_or_default();
        let known = by_domain.entry(domain).or_default();
        if !known.contains(&entity.name.as_str()) {
            known.push(&entity.name);
        }
    }
    let devices: String =
        by_domain.iter().map(|(domain, names)| format!("- {domain}: {}\n", names.join(", "))).collect();
    format!("Areas: {}\nFloors: {}\nDevices by domain:\n{devices}", names(&home.areas), names(&home.floors))
}

/// The sentence, after where it was said, if that is known.
fn said(text: &str, context: Option<&Map<String, Value>>) -> String {
    match context.and_then(|context| context.get("area")).and_then(Value::as_str) {
        Some(area) => format!("Said in: {area}\n{}", text.trim()),
        None => text.trim().to_owned(),
    }
}

/// A list names values of which any will do.
fn any_of(right: Value) -> Vec<Value> {
    match right {
        Value::Array(several) => several,
        one => vec![one],
    }
}
