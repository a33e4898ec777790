//! Cases from a folder of schemas and texts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use understudy_engine::codec::Codec;
use understudy_grammars::measure::{Case, Sample};
use understudy_grammars::{
    CallsSpec, GraphqlSpec, JsonSpec, Pattern, ProtoFormat, ProtoSource, ProtobufSpec, SqlSpec, ToolSpec,
    Whitespace,
};

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

/// What a model says before it calls a tool.
const SAID: &str = "I will look that up for you; it should take no more than a second or two.\n";

/// The same schemas as parameters of a tool, and instances that are objects as calls of it; with `text`, after a
/// sentence.
pub fn calls(schemas: &[Case], text: bool, codec: &dyn Codec) -> Result<Vec<Case>, Error> {
    let said = if text { SAID } else { "" };
    let called = |sample: &Sample| {
        let bytes: Vec<u8> = sample.tokens.iter().flat_map(|id| codec.token_bytes(*id)).copied().collect();
        let arguments = String::from_utf8_lossy(&bytes);
        valid(
            &format!("{said}<tool_call>\n{{\"name\": \"tool\", \"arguments\": {arguments}}}\n</tool_call>"),
            codec,
        )
    };
    let mut cases = Vec::new();
    for case in schemas {
        let Pattern::Json(spec) = &case.pattern else { continue };
        let tools = vec![ToolSpec { name: "tool".into(), parameters: spec.schema.clone() }];
        let is_call = |sample: &&Sample| {
            sample.valid && sample.tokens.first().is_some_and(|id| codec.token_bytes(*id).starts_with(b"{"))
        };
        let samples = case.samples.iter().filter(is_call).map(called).collect::<Result<_, _>>()?;
        let pattern = Pattern::Calls(CallsSpec { tools, text, many: true });
        cases.push(Case { name: case.name.clone(), pattern, samples });
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

/// The schemas of Spider with their gold queries, of which those of SQLite take a text in double quotes
/// for a string.
pub fn sql(folder: &Path, codec: &dyn Codec) -> Result<Vec<Case>, Error> {
    let tables = folder.join("tables.json");
    if !tables.is_file() {
        return Ok(Vec::new());
    }
    let gold =
        std::fs::read_to_string(folder.join("gold.tsv")).map_err(|error| unreadable(folder, &error))?;
    let mut cases = Vec::new();
    for database in read(&tables)?.as_array().into_iter().flatten() {
        let name = database["db_id"].as_str().unwrap_or_default();
        let queries = gold.lines().filter_map(|line| line.rsplit_once('\t')).filter(|(_, of)| *of == name);
        let samples = queries.map(|(query, _)| valid(query, codec)).collect::<Result<_, _>>()?;
        let spec = SqlSpec { schema: ddl(database), double_quoted_strings: true, ..SqlSpec::default() };
        cases.push(Case { name: name.to_owned(), pattern: Pattern::Sql(spec), samples });
    }
    Ok(cases)
}

/// One of Spider's databases as SQL.
fn ddl(database: &Value) -> String {
    let list = |field: &str| database[field].as_array().cloned().unwrap_or_default();
    let columns = list("column_names_original");
    let mut schema = String::new();
    for (number, table) in list("table_names_original").iter().enumerate() {
        let own = columns.iter().filter(|column| column[0] == number as i64);
        let own: Vec<String> =
            own.map(|column| format!("\"{}\"", column[1].as_str().unwrap_or_default())).collect();
        let table = table.as_str().unwrap_or_default();
        // SQLite keeps these names for itself.
        if !table.starts_with("sqlite_") {
            schema += &format!("CREATE TABLE \"{table}\" ({});\n", own.join(", "));
        }
    }
    schema
}

/// Schemas, each with the documents beside it: the Star Wars API, and that of GitHub.
pub fn graphql(folder: &Path, codec: &dyn Codec) -> Result<Vec<Case>, Error> {
    let mut cases = Vec::new();
    for schema in [folder.join("swapi/schema.graphql"), folder.join("github-schema.graphql")] {
        let Ok(text) = std::fs::read_to_string(&schema) else { continue };
        let mut samples = Vec::new();
        if let Some(beside) = schema.parent().filter(|beside| *beside != folder) {
            for file in files(beside, "graphql")?.iter().filter(|file| **file != schema) {
                let query = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
                samples.push(valid(query.trim(), codec)?);
            }
        }
        let spec = GraphqlSpec { schema: text, operation: None };
        cases.push(Case { name: stem(&schema), pattern: Pattern::Graphql(spec), samples });
    }
    Ok(cases)
}

/// The conformance messages of Protobuf, in both formats.
pub fn protobuf(folder: &Path) -> Result<Vec<Case>, Error> {
    let names = ["test_messages_proto3.proto", "test_messages_proto2.proto"];
    let text = |name: &&str| Some(((*name).to_owned(), std::fs::read_to_string(folder.join(name)).ok()?));
    let files: BTreeMap<String, String> = names.iter().filter_map(text).collect();
    let source = ProtoSource::Files(files);
    let messages = source.messages().map_err(|error| unreadable(folder, &error))?;
    let formats = [ProtoFormat::Text, ProtoFormat::Json];
    let case = |(message, format): (String, ProtoFormat)| Case {
        name: message.clone(),
        pattern: Pattern::Protobuf(ProtobufSpec {
            source: source.clone(),
            message,
            format,
            whitespace: Whitespace::Usual,
        }),
        samples: Vec::new(),
    };
    let own = messages.into_iter().filter(|message| message.starts_with("protobuf_test_messages."));
    Ok(own.flat_map(|message| formats.map(|format| (message.clone(), format))).map(case).collect())
}

fn valid(text: &str, codec: &dyn Codec) -> Result<Sample, Error> {
    let tokens = codec.encode_text(text).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Sample { tokens, valid: true })
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
