//! Every code has its page, and every page its code.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

use std::{collections::BTreeSet, fs, path::Path};

use understudy_gateway::codes;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

#[test]
fn codes_and_pages_are_the_same_set() {
    let pages: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .collect();
    let named: BTreeSet<String> = codes::ALL.iter().map(|code| code.name.to_owned()).collect();
    assert_eq!(named.len(), codes::ALL.len(), "a code is there twice");
    assert_eq!(named.difference(&pages).collect::<Vec<_>>(), Vec::<&String>::new(), "codes without a page");
    assert_eq!(pages.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "pages without a code");
}

#[test]
fn a_page_says_what_it_means_what_to_do_and_shows_an_example() {
    for code in codes::ALL {
        let page = fs::read_to_string(folder().join(format!("{}.md", code.name))).unwrap();
        assert!(page.starts_with(&format!("# {}\n", code.name)), "{}", code.name);
        for part in ["## What to do", "## Example", code.name] {
            assert!(page.contains(part), "{} lacks {part:?}", code.name);
        }
        let status = format!("exit code {}", code.exit);
        assert!(page.contains(&status), "{} should say {status:?}", code.name);
    }
}

#[test]
fn exit_codes_and_statuses_agree() {
    for code in codes::ALL {
        assert!((1..=3).contains(&code.exit), "{}", code.name);
        assert_ne!(code.grpc, tonic::Code::Ok, "{}", code.name);
        if code.grpc == tonic::Code::InvalidArgument {
            assert_eq!(code.exit, 2, "{}: an invalid argument is the user's input", code.name);
        }
        assert!(code.help.ends_with('.'), "{}", code.name);
    }
}
