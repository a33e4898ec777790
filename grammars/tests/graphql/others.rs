//! Schemas and documents of others, where they are at hand.

use understudy_grammars::{Budget, Grammar};

use crate::support::{compile, spec, takes, vocabulary};

#[test]
fn documents_of_others_are_taken() {
    let Ok(data) = std::env::var("UNDERSTUDY_DATA") else {
        eprintln!("UNDERSTUDY_DATA is not set: nothing to read");
        return;
    };
    let data = std::path::Path::new(&data).join("grammar/graphql");
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).expect("readable");
    let schema = read(data.join("swapi/schema.graphql"));
    let grammar = compile(&schema, None, &vocabulary(&schema));
    let (mut taken, mut count) = (0, 0);
    for number in 1..=8 {
        let file = std::fs::read_dir(data.join("swapi")).expect("a folder").flatten();
        let file = file.map(|entry| entry.path()).find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{number:02}_")))
        });
        let document = without_comments(&read(file.expect("numbered")));
        assert!(takes(&grammar, document.trim()), "{document}");
    }
    let mut files: Vec<_> = std::fs::read_dir(data.join("apollo-ok")).expect("a folder").flatten().collect();
    files.sort_by_key(std::fs::DirEntry::path);
    for file in files {
        let (schema, operations) = split(&without_comments(&read(file.path())));
        if operations.is_empty() {
            continue;
        }
        let vocabulary = vocabulary(&schema);
        let grammar = match Grammar::compile(&spec(&schema, None), &vocabulary, &Budget::default()) {
            Ok(grammar) => grammar,
            Err(error) => {
                eprintln!("{:?}: {error}", file.file_name());
                continue;
            }
        };
        for operation in operations {
            count += 1;
            let good = takes(&grammar, operation.trim());
            taken += usize::from(good);
            if !good {
                eprintln!("{:?} not taken: {operation}", file.file_name());
            }
        }
    }
    eprintln!("{taken} of {count} operations are taken");
    assert!(taken * 10 >= count * 7, "{taken} of {count}");
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before).trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

/// The schema of a file, and each operation with the fragments that it spreads.
fn split(text: &str) -> (String, Vec<String>) {
    let (mut schema, mut operations, mut fragments) = (String::new(), Vec::new(), Vec::new());
    let document = apollo_compiler::ast::Document::parse(text, "file.graphql");
    let document = document.unwrap_or_else(|errors| errors.partial);
    for definition in &document.definitions {
        use apollo_compiler::ast::Definition;
        let written = definition.to_string();
        match definition {
            Definition::OperationDefinition(_) => operations.push(written),
            Definition::FragmentDefinition(fragment) => fragments.push((fragment.name.to_string(), written)),
            _ => schema += &format!("{written}\n"),
        }
    }
    let whole = |operation: String| {
        let (mut whole, mut next) = (operation.clone(), vec![operation]);
        let mut used: Vec<&String> = Vec::new();
        while let Some(text) = next.pop() {
            for (name, fragment) in &fragments {
                let spread = |part: &str| {
                    part.trim_start()
                        .strip_prefix(name.as_str())
                        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                };
                if !used.contains(&name) && text.split("...").skip(1).any(spread) {
                    used.push(name);
                    whole += &format!("\n{fragment}");
                    next.push(fragment.clone());
                }
            }
        }
        whole
    };
    (schema, operations.into_iter().map(whole).collect())
}
