//! Writes the corpora that fuzzing starts from. A program of the standard library alone, built by
//! run.sh.

use std::fs;
use std::path::Path;

#[path = "../src/gguf.rs"]
mod gguf;

mod family;

fn main() -> std::io::Result<()> {
    let corpus = Path::new("corpus");
    let put = |target: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(corpus.join(target))?;
        fs::write(corpus.join(target).join(name), bytes)
    };
    for family in ["llama", "qwen2", "qwen3", "gemma3"] {
        put("model", family, &family::model(family, false))?;
    }
    put("model", "wide", &family::model("qwen3", true))?;
    for (at, template) in include_str!("templates.txt").split("\n---\n").enumerate() {
        put("template", &at.to_string(), template.as_bytes())?;
    }
    for (target, schemas) in [
        ("json", include_str!("json.txt")),
        ("sql", include_str!("sql.txt")),
        ("graphql", include_str!("graphql.txt")),
        ("lark", include_str!("lark.txt")),
        ("protobuf", include_str!("protobuf.txt")),
    ] {
        for (at, schema) in schemas.split("\n---\n").enumerate() {
            put(target, &at.to_string(), &[schema.as_bytes(), b"\0walk on and on"].concat())?;
        }
    }
    Ok(())
}
