//! Files of a data folder.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::eval::EvalError;
use crate::eval::suite::Item;

/// Reads `dev.jsonl`, or else the only `.jsonl` file.
pub(super) fn lines<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>, EvalError> {
    let path = item_file(folder)?;
    let text = read(&path)?;
    let rows: Result<Vec<T>, _> = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty())
        .map(|(line, number)| {
            serde_json::from_str(line)
                .map_err(|error| EvalError::unreadable(&path, format!("line {number}: {error}")))
        })
        .collect();
    let rows = rows?;
    if rows.is_empty() {
        return Err(EvalError::unreadable(&path, "has no item"));
    }
    Ok(rows)
}

/// Files of a folder that end so, sorted by name.
pub(super) fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, EvalError> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| EvalError::input(format!("--data {}: {error}", folder.display())))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file() && path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    Ok(found)
}

/// A file as text.
pub(super) fn read(path: &Path) -> Result<String, EvalError> {
    std::fs::read_to_string(path).map_err(|error| EvalError::unreadable(path, error))
}

/// A file that an item names: a bare name inside the folder, nothing else.
pub(super) fn named_file(folder: &Path, name: &str) -> Result<PathBuf, EvalError> {
    let is_bare = Path::new(name).file_name().is_some_and(|bare| bare == name);
    let path = folder.join(name);
    match is_bare && path.is_file() {
        true => Ok(path),
        false => Err(EvalError::input(format!("--data {}: no file {name:?} in it", folder.display()))),
    }
}

/// Rows are found by item: two of one name would hide each other.
pub(super) fn check_unique(items: &[Item]) -> Result<(), EvalError> {
    let mut seen = std::collections::BTreeSet::new();
    match items.iter().find(|item| !seen.insert(item.id.as_str())) {
        Some(twice) => Err(EvalError::input(format!("the data has two items named {:?}", twice.id))),
        None => Ok(()),
    }
}

fn item_file(folder: &Path) -> Result<PathBuf, EvalError> {
    let mut found = files(folder, "jsonl")?;
    if let Some(dev) = found.iter().find(|path| path.file_name().is_some_and(|name| name == "dev.jsonl")) {
        return Ok(dev.clone());
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(EvalError::input(format!("--data {}: no .jsonl file in it", folder.display()))),
        (Some(_), false) => Err(EvalError::input(format!(
            "--data {}: several .jsonl files and none is dev.jsonl",
            folder.display()
        ))),
    }
}
