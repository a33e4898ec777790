//! Cases from a folder of schemas and texts.

use std::path::{Path, PathBuf};

use serde_json::Value;
use understudy_engine::codec::Codec;
use understudy_grammars::measure::{Case, Sample};
use understudy_grammars::{JsonSpec, Pattern};

use crate::error::Error;

/// Schemas with instances: `{"name", "schema", "tests": [{"data", "valid"}]}`, a file each.
pub fn schemas(folder: &Path, codec: &dyn Codec) -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for file in files(folder, "json")? {
        let case = read(&file)?;
        let name = case["name"].as_str().map_or_else(|| stem(&file), str::to_owned);
        let pattern = Pattern::Json(JsonSpec::new(case["schema"].to_string()));
        cases.push(Case { name, pattern, samples: samples(&case["tests"], codec)? });
    }
    Ok(cases)
}

/// The JSON-Schema-Test-Suite of one draft: files of `[{"description", "schema", "tests"}]`. Formats are
/// annotations there.
pub fn suite(folder: &Path, codec: &dyn Codec) -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for file in files(folder, "json")? {
        for group in read(&file)?.as_array().into_iter().flatten() {
            let spec = JsonSpec { formats: false, ..JsonSpec::new(group["schema"].to_string()) };
            cases.push(Case {
                name: format!("{}: {}", stem(&file), group["description"].as_str().unwrap_or_default()),
                pattern: Pattern::Json(spec),
                samples: samples(&group["tests"], codec)?,
            });
        }
    }
    Ok(cases)
}

/// Instances as a model would write them.
fn samples(tests: &Value, codec: &dyn Codec) -> Result<Vec<Sample>, Error> {
    let sample = |test: &Value| {
        let tokens = codec.encode_text(&test["data"].to_string());
        let tokens = tokens.map_err(|error| Error::internal(error.to_string()))?;
        Ok(Sample { tokens, valid: test["valid"].as_bool().unwrap_or_default() })
    };
    tests.as_array().into_iter().flatten().map(sample).collect()
}

/// The files of a folder with an ending, in order of their names; none where there is no such folder.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Error> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(folder, &error))?;
    paths.retain(|path| path.is_file() && path.extension().is_some_and(|found| found == ending));
    paths.sort();
    Ok(paths)
}

fn read(file: &Path) -> Result<Value, Error> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    serde_json::from_str(&text).map_err(|error| unreadable(file, &error))
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("--data: {}: {why}", path.display()))
}
