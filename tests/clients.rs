//! The official clients of OpenAI and Ollama against the built binary.
//!
//! Their packages are installed into a temporary folder; with `UNDERSTUDY_OFFLINE=1` these tests are skipped. The
//! scripts in `tests/clients/` assert what a user of the client would notice: shapes and promises, not wisdom. So a
//! build without optimisation takes a random model, which is fast.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::node::Server;
use common::{SMALL, ensure_models, exit_code, tiny, tiny_twin};
use tempfile::TempDir;

/// Fetching and unpacking a client.
const INSTALL: Duration = Duration::from_secs(300);
/// A whole script.
const SCRIPT: Duration = Duration::from_secs(240);

/// The versions that the scripts were written for.
const OPENAI_PYTHON: &str = "openai==3.57.0";
const OLLAMA_PYTHON: &str = "ollama==0.6.3";
const OPENAI_NODE: &str = "openai@7.59.0";

#[test]
fn openai_for_python() {
    let Some(place) = Place::new() else { return };
    let python = place.python(OPENAI_PYTHON);
    place.run(Command::new(python).arg(script("openai_client.py")));
}

#[test]
fn openai_for_node() {
    let Some(place) = Place::new() else { return };
    let folder = place.folder.path();
    // Modules are found from where the script lies.
    std::fs::copy(script("openai_client.mjs"), folder.join("openai_client.mjs")).expect("a copied script");
    let install = ["install", "--no-audit", "--no-fund", "--no-save", "--prefix"];
    ended("npm", Command::new("npm").args(install).arg(folder).arg(OPENAI_NODE), INSTALL);
    place.run(Command::new("node").arg(folder.join("openai_client.mjs")));
}

#[test]
fn ollama_for_python() {
    let Some(place) = Place::new() else { return };
    let python = place.python(OLLAMA_PYTHON);
    place.run(Command::new(python).arg(script("ollama_client.py")));
}

/// A node, and a folder for a client.
struct Place {
    folder: TempDir,
    server: Server,
    model: String,
}

impl Place {
    /// `None`: the packages cannot be had.
    fn new() -> Option<Self> {
        if std::env::var_os("UNDERSTUDY_OFFLINE").is_some() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (model, twin) = match cfg!(debug_assertions) {
            true => (tiny(), tiny_twin(folder.path())),
            false => {
                ensure_models();
                (SMALL.to_owned(), common::LARGER.to_owned())
            }
        };
        // Few enough places for a script to fill them.
        let server = Server::with_config(&format!(
            "limits.max_requests = 4\n[[ladder]]\nmodel = {model:?}\n[[ladder]]\nmodel = {twin:?}\n"
        ));
        Some(Self { folder, server, model })
    }

    /// A Python that has this package.
    fn python(&self, package: &str) -> PathBuf {
        let venv = self.folder.path().join("venv");
        ended("venv", Command::new("python3").args(["-m", "venv"]).arg(&venv), INSTALL);
        let python = venv.join("bin/python");
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
        ended("pip", Command::new(&python).args(install), INSTALL);
        python
    }

    /// A script to its end.
    fn run(&self, script: &mut Command) {
        script.env("NODE_HTTP", format!("http://{}", self.server.http)).env("MODEL", &self.model);
        ended("the script", script, SCRIPT);
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Runs a command; fails unless it ends well and in time. What it says goes to the test's output.
fn ended(what: &str, command: &mut Command, patience: Duration) {
    let mut child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
    let code = exit_code(&mut child, patience);
    if code.is_none() {
        child.kill().expect("a process of ours can be killed");
        child.wait().expect("a killed process ends");
    }
    assert_eq!(code, Some(Some(0)), "{what}");
}
