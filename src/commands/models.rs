//! `understudy models`: the catalogue and what is on disk.

use serde_json::{Value, json};
use understudy_hub::{Listed, Presence, Puller, Role};

use crate::cli::Listing;
use crate::error::Error;
use crate::render::{bytes, line, table};

pub fn run(args: &Listing) -> Result<(), Error> {
    let puller = Puller::from_env()?;
    let listed = puller.home().list(puller.catalogue());
    if args.json {
        let rows: Vec<Value> = listed.iter().map(as_json).collect();
        return line(&Value::Array(rows).to_string());
    }
    let rows = listed.iter().map(|entry| {
        let model = entry.model;
        vec![
            model.name.clone(),
            model.quantization.clone(),
            bytes(model.bytes()),
            state(entry).to_owned(),
            roles(entry).join(", "),
            model.licence.clone(),
        ]
    });
    let header = ["MODEL", "TYPE", "SIZE", "ON DISK", "ROLES", "LICENCE"];
    line(&table(&header, rows))?;
    line(&format!("\nmodels folder: {}", puller.home().root().display()))
}

fn as_json(entry: &Listed<'_>) -> Value {
    let model = entry.model;
    json!({
        "name": model.name,
        "description": model.description,
        "architecture": model.architecture,
        "quantization": model.quantization,
        "parameters": model.parameters,
        "context": model.context,
        "roles": roles(entry),
        "bytes": model.bytes(),
        "bytes_on_disk": entry.bytes_on_disk,
        "state": state(entry),
        "path": entry.path,
        "licence": model.licence,
        "licence_note": model.licence_note,
    })
}

fn state(entry: &Listed<'_>) -> &'static str {
    match entry.presence {
        Presence::Present { verified: true } => "yes",
        Presence::Present { verified: false } => "unverified",
        _ => "no",
    }
}

fn roles(entry: &Listed<'_>) -> Vec<String> {
    let word = |role: &Role| format!("{role:?}").to_lowercase();
    entry.model.roles.iter().map(word).collect()
}
