//! Prompts of a folder, and the requests that they make.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use understudy_proto::v1::{Constraint, GenerateRequest, JsonSchema, Message, Sql, constraint::Kind};

use crate::error::Error;

/// A line of a suite; `tests/speculation/README.md` has its fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    pub id: String,
    pub class: String,
    messages: Vec<Turn>,
    constraint: Option<Wanted>,
    max_tokens: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    role: String,
    content: String,
}

/// What the answer is held to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", untagged)]
enum Wanted {
    Json { json_schema: Value, compact: bool },
    Sql { sql: String },
}

impl Prompt {
    /// The greedy request; who answers is still open.
    pub fn request(&self) -> GenerateRequest {
        let message = |turn: &Turn| Message {
            role: turn.role.clone(),
            content: turn.content.clone(),
            ..Message::default()
        };
        GenerateRequest {
            request_id: self.id.clone(),
            messages: self.messages.iter().map(message).collect(),
            constraint: self.constraint.as_ref().map(Wanted::constraint),
            max_tokens: Some(self.max_tokens),
            ..GenerateRequest::default()
        }
    }
}

impl Wanted {
    fn constraint(&self) -> Constraint {
        let kind = match self {
            Self::Json { json_schema, compact } => Kind::JsonSchema(JsonSchema {
                schema: json_schema.to_string(),
                compact: *compact,
                ..JsonSchema::default()
            }),
            Self::Sql { sql } => Kind::Sql(Sql { schema: sql.clone(), ..Sql::default() }),
        };
        Constraint { kind: Some(kind) }
    }
}

/// The prompts of a folder's `.jsonl` files, class by class; of each class at most `limit`, spread evenly.
pub fn read(folder: &Path, limit: Option<usize>) -> Result<Vec<(String, Vec<Prompt>)>, Error> {
    let failed = |why: String| Error::invalid(format!("--suite {}: {why}", folder.display()));
    let entries = std::fs::read_dir(folder).map_err(|error| failed(error.to_string()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let mut classes: Vec<(String, Vec<Prompt>)> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|error| failed(error.to_string()))?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let prompt: Prompt = serde_json::from_str(line)
                .map_err(|error| failed(format!("{}:{}: {error}", file.display(), number + 1)))?;
            match classes.iter_mut().find(|(class, _)| *class == prompt.class) {
                Some((_, prompts)) => prompts.push(prompt),
                None => classes.push((prompt.class.clone(), vec![prompt])),
            }
        }
    }
    if classes.is_empty() {
        return Err(failed("it has no .jsonl file with prompts".into()));
    }
    for (_, prompts) in &mut classes {
        *prompts = spread(std::mem::take(prompts), limit);
    }
    Ok(classes)
}

/// At most `limit` of these, as far apart as can be: neighbours are alike.
fn spread<T>(items: Vec<T>, limit: Option<usize>) -> Vec<T> {
    let len = items.len();
    let kept = limit.unwrap_or(len).min(len);
    let is_kept = |at: usize| at * kept / len != (at + 1) * kept / len;
    items.into_iter().enumerate().filter_map(|(at, item)| is_kept(at).then_some(item)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_takes_prompts_from_everywhere() {
        assert_eq!(spread((0..10).collect(), Some(5)), [1, 3, 5, 7, 9]);
        assert_eq!(spread((0..100).collect(), Some(3)).len(), 3);
        assert_eq!(spread((0..4).collect(), Some(9)), [0, 1, 2, 3]);
        assert_eq!(spread((0..4).collect(), None), [0, 1, 2, 3]);
        assert!(spread(Vec::<u8>::new(), Some(2)).is_empty());
    }

    #[test]
    fn a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let good = r#"{"id": "a", "class": "x", "messages": [{"role": "user", "content": "?"}], "constraint": null, "max_tokens": 8}"#;
        std::fs::write(folder.path().join("a.jsonl"), format!("{good}\n\n{{\"id\": 1}}\n")).unwrap();
        let refused = read(folder.path(), None).unwrap_err().to_string();
        assert!(refused.contains("a.jsonl:3"), "{refused}");
        std::fs::write(folder.path().join("a.jsonl"), good).unwrap();
        let classes = read(folder.path(), None).unwrap();
        assert_eq!(classes[0].1[0].request().max_tokens, Some(8));
    }
}
