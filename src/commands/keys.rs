//! `understudy keys`: who may call the node of this machine.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use understudy_gateway::{
    NodeConfig,
    keys::{ApiKey, KeyFile, KeyRecord},
};

use crate::cli::{KeysCommand, KeysCreate, KeysOf};
use crate::error::Error;
use crate::render::{line, table};

pub fn run(command: &KeysCommand) -> Result<(), Error> {
    match command {
        KeysCommand::Create(args) => create(&file(&args.node)?, args),
        KeysCommand::List(args) => list(&file(&args.node)?, args.json),
        KeysCommand::Revoke(args) => revoke(&file(&args.node)?, &args.name),
    }
}

fn file(node: &KeysOf) -> Result<PathBuf, Error> {
    let config = node.config.as_deref().map(NodeConfig::load).transpose()?.unwrap_or_default();
    Ok(config.keys_file()?)
}

/// The key is the only line on stdout.
fn create(file: &Path, args: &KeysCreate) -> Result<(), Error> {
    let key = ApiKey::generate()?;
    let record = KeyRecord {
        name: args.name.clone(),
        sha256: key.digest(),
        scopes: args.scope.clone(),
        priority: args.priority.into(),
        requests_per_minute: args.rate,
        burst: args.burst,
        tokens_per_minute: args.tokens_per_minute,
        concurrency: args.concurrency,
        created: now(),
    };
    KeyFile::change(file, |keys| {
        keys.keys.push(record);
        Ok(())
    })?;
    line(key.reveal())
}

fn list(file: &Path, as_json: bool) -> Result<(), Error> {
    let keys = KeyFile::load(file)?.keys;
    if as_json {
        return line(&Value::Array(keys.iter().map(json).collect()).to_string());
    }
    let rows = keys.iter().map(|key| {
        let or_dash = |limit: Option<String>| limit.unwrap_or_else(|| "-".to_owned());
        vec![
            key.name.clone(),
            scopes(key).join(","),
            priority(key),
            or_dash(key.requests_per_minute.map(|rate| format!("{rate}/min"))),
            or_dash(key.tokens_per_minute.map(|rate| format!("{rate}/min"))),
            or_dash(key.concurrency.map(|most| most.to_string())),
            format!("{} d", now().saturating_sub(key.created) / 86_400),
            key.sha256.brief(),
        ]
    });
    line(&table(&["NAME", "SCOPES", "PRIORITY", "RATE", "TOKENS", "AT ONCE", "AGE", "DIGEST"], rows))
}

fn revoke(file: &Path, name: &str) -> Result<(), Error> {
    let mut found = false;
    KeyFile::change(file, |keys| {
        let before = keys.keys.len();
        keys.keys.retain(|key| key.name != name);
        found = keys.keys.len() < before;
        Ok(())
    })?;
    match found {
        true => line(&format!("the key {name} is revoked")),
        false => Err(Error::invalid(format!("there is no key {name:?} in {}", file.display()))),
    }
}

fn json(key: &KeyRecord) -> Value {
    json!({
        "name": key.name, "scopes": scopes(key), "priority": priority(key),
        "requests_per_minute": key.requests_per_minute, "burst": key.burst,
        "tokens_per_minute": key.tokens_per_minute, "concurrency": key.concurrency,
        "created": key.created, "digest": key.sha256.brief(),
    })
}

fn scopes(key: &KeyRecord) -> Vec<&'static str> {
    key.scopes.iter().map(|scope| scope.as_str()).collect()
}

fn priority(key: &KeyRecord) -> String {
    format!("{:?}", key.priority).to_lowercase()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
