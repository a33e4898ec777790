//! Texts that models wrote under constraints, judged by implementations that know nothing of ours:
//! `understudy bench grammar --texts FILE` writes them, `UNDERSTUDY_TEXTS` names the file.

use std::collections::BTreeMap;

use apollo_compiler::{ExecutableDocument, Schema};
use prost_reflect::{DescriptorPool, DynamicMessage};
use rusqlite::{Connection, config::DbConfig};
use serde::de::DeserializeSeed;
use serde_json::Value;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn json(given: &Value, written: &str) -> Result<(), String> {
    let schema: Value = serde_json::from_str(text(given, "schema")).map_err(|error| error.to_string())?;
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .map_err(|error| format!("schema: {error}"))?;
    let value: Value = serde_json::from_str(written).map_err(|error| error.to_string())?;
    validator.validate(&value).map_err(|error| error.to_string())
}

fn sql(given: &Value, written: &str) -> Result<(), String> {
    let prepared = || {
        let database = Connection::open_in_memory()?;
        let strings = given["double_quoted_strings"] == true;
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, strings)?;
        database.execute_batch(text(given, "schema"))?;
        database.prepare(written).map(|_| ())
    };
    prepared().map_err(|error: rusqlite::Error| error.to_string())
}

fn graphql(given: &Value, written: &str) -> Result<(), String> {
    let schema = Schema::parse_and_validate(text(given, "schema"), "schema.graphql")
        .map_err(|error| format!("schema: {error}"))?;
    let document = ExecutableDocument::parse_and_validate(&schema, written, "document.graphql");
    document.map(|_| ()).map_err(|error| error.to_string())
}

fn protobuf(given: &Value, written: &str) -> Result<(), String> {
    let files: BTreeMap<String, String> =
        serde_json::from_value(given["files"].clone()).map_err(|error| error.to_string())?;
    let mut pool = DescriptorPool::global();
    let parsed = files.iter().map(|(name, text)| protox_parse::parse(name, text).expect("parses"));
    pool.add_file_descriptor_protos(parsed).map_err(|error| error.to_string())?;
    let message = pool.get_message_by_name(text(given, "message")).ok_or("no such message")?;
    if given["json"] == true {
        let mut reader = serde_json::Deserializer::from_str(written);
        message.deserialize(&mut reader).map_err(|error| error.to_string())?;
        return reader.end().map_err(|error| error.to_string());
    }
    DynamicMessage::parse_text_format(message, written).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn what_models_wrote_is_valid() {
    let Some(file) = std::env::var_os("UNDERSTUDY_TEXTS") else {
        eprintln!("UNDERSTUDY_TEXTS is not set: no texts of models are judged");
        return;
    };
    let lines = std::fs::read_to_string(file).expect("the file of texts");
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    // Cases come before their texts: names and what they say, by language and number.
    let mut cases: BTreeMap<(String, u64), (String, Value)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let case = (text(&line, "language").to_owned(), line["case"].as_u64().expect("a number"));
        if !line["given"].is_null() {
            cases.insert(case, (text(&line, "name").to_owned(), line["given"].clone()));
            continue;
        }
        let ((name, given), written) = (&cases[&case], text(&line, "text"));
        let judged = match text(&line, "language") {
            "json" => json(given, written),
            "sql" => sql(given, written),
            "graphql" => graphql(given, written),
            "protobuf" => protobuf(given, written),
            other => panic!("no judge of {other}"),
        };
        *count.entry(text(&line, "language").to_owned()).or_default() += 1;
        if let Err(why) = judged {
            wrong.push(format!("{} {name}: {why}: {written}", text(&line, "language")));
        } else if line["complete"] != true {
            wrong.push(format!("{} {name}: not complete: {written}", text(&line, "language")));
        }
    }
    eprintln!("judged: {count:?}");
    assert!(wrong.is_empty(), "{} wrong, such as {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
}
