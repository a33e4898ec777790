//! Bad input and bad machines: each gives `error[CODE]: what; help: what to do` on stderr
//! and the contract's exit code; nothing crashes, and a node goes on.

mod common;
#[path = "bad_input/model_files.rs"]
mod model_files;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::answers::{ANSWER, answered, direct, refusal};
use common::node::{SOON, Server};
use common::{Ended, SMALL, tiny, tiny_twin, understudy, written};
use tempfile::TempDir;
use tonic::Code;
use understudy_proto::v1::{GenerateRequest, ScoreRequest, TokenizeRequest};

/// Exit codes of the contract.
const OTHER: i32 = 1;
const USER: i32 = 2;
const MISSING: i32 = 3;

#[track_caller]
fn assert_refused(ended: &Ended, exit: i32, code: &str, words: &[&str]) {
    let Ended { stdout, stderr, .. } = ended;
    assert_eq!(ended.code, Some(exit), "{stderr}");
    let start = format!("error[{code}]: ");
    assert!(stderr.lines().any(|line| line.starts_with(&start)), "{code} in {stderr}");
    let (_, help) = stderr.rsplit_once("; help: ").unwrap_or_else(|| panic!("no help: {stderr}"));
    assert!(help.trim().len() > 10, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} in {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_eq!(stdout, "", "stdout is for answers");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/errors/{code}.md"));
    assert!(page.is_file(), "docs/errors/{code}.md explains it");
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

fn ask_tiny(args: &[&str]) -> Ended {
    let model = tiny();
    understudy(["ask", "--model", &model].iter().chain(args)).run()
}

#[test]
fn prompts_that_are_none() {
    let folder = folder();
    let empty = written(folder.path(), "empty.txt", "");
    let latin = written(folder.path(), "latin.txt", b"caf\xe9 au lait");
    for prompt in ["", " ", " \n\t\u{a0} "] {
        assert_refused(&ask_tiny(&[prompt]), USER, "PROMPT_EMPTY", &[]);
    }
    assert_refused(&ask_tiny(&["--file", &empty]), USER, "PROMPT_EMPTY", &[]);
    assert_refused(&ask_tiny(&["--file", "-"]), USER, "PROMPT_EMPTY", &[]);
    assert_refused(
        &ask_tiny(&["--file", &latin]),
        USER,
        "REQUEST_INVALID",
        &["latin.txt", "UTF-8", "byte 3"],
    );
    assert_refused(&ask_tiny(&["--file", "no/such.txt"]), USER, "REQUEST_INVALID", &["no/such.txt"]);
    assert_refused(&ask_tiny(&["--file", text(folder.path())]), USER, "REQUEST_INVALID", &["--file"]);
    let none = understudy(["ask"]).run();
    assert!(none.code == Some(USER) && none.stderr.contains("Usage"), "{}", none.stderr);
}

#[tokio::test]
async fn prompts_that_are_too_long() {
    let folder = folder();
    let (first, second) = (tiny(), tiny_twin(folder.path()));
    let ladder = format!("{first},{second}");
    let megabyte = "word ".repeat(210_000);
    let file = written(folder.path(), "long.txt", &megabyte);
    let words = ["4096", "tokens"];
    let direct_ended = understudy(["ask", "--model", &first, "--file", &file]).run();
    assert_refused(&direct_ended, USER, "CONTEXT_OVERFLOW", &words);
    let cascade = understudy(["ask", "--ladder", &ladder, "--file", &file]).run();
    assert_refused(&cascade, USER, "CONTEXT_OVERFLOW", &words);

    let server = Server::with_ladder(&[&first, &second]);
    let client = server.client().await;
    let over_cascade = GenerateRequest { prompt: megabyte.clone(), ..GenerateRequest::default() };
    for request in [direct(&first, &megabyte, 8), over_cascade] {
        let error = refusal(&client, request).await;
        assert_eq!(
            (error.code.as_str(), error.status),
            ("CONTEXT_OVERFLOW", Code::InvalidArgument),
            "{error:?}"
        );
        assert_eq!(error.metadata.get("context").map(String::as_str), Some("4096"), "{error:?}");
    }
    let huge = refusal(&client, direct(&first, &"x".repeat(6 << 20), 8)).await;
    assert_eq!(huge.code, "MESSAGE_TOO_LARGE", "{huge:?}");
    let huge_file = written(folder.path(), "huge.txt", "x".repeat(6 << 20));
    let ended = understudy(["ask", "--server", &server.grpc, "--model", &first, "--file", &huge_file]).run();
    assert_refused(&ended, USER, "MESSAGE_TOO_LARGE", &[]);
    // The node is as it was.
    assert!(!answered(&client, direct(&first, "hi", 8)).await.finished.text.is_empty());
}

#[test]
fn flags_that_make_no_sense() {
    for (flags, code, word) in [
        (&["--temperature", "NaN"][..], "REQUEST_INVALID", "temperature"),
        (&["--temperature", "inf"], "REQUEST_INVALID", "temperature"),
        (&["--temperature=-1"], "REQUEST_INVALID", "temperature"),
        (&["--top-p", "7"], "REQUEST_INVALID", "top_p"),
        (&["--top-p", "NaN"], "REQUEST_INVALID", "top_p"),
        (&["--max-tokens", "0"], "REQUEST_INVALID", "max_tokens"),
        (&["--max-tokens", "4000000000"], "REQUEST_INVALID", "max_tokens"),
        (&["--stop", ""], "REQUEST_INVALID", "stop"),
        (&["--regex", "("], "CONSTRAINT_INVALID", ""),
        (&["--regex", "(a{1000}){1000}"], "CONSTRAINT_INVALID", ""),
        (&["--choice", "red,,blue"], "CONSTRAINT_INVALID", ""),
        (&["--policy", "cascde"], "POLICY_UNKNOWN", "known: direct, cascade"),
        (&["--policy", "direct:alpha=1"], "POLICY_UNKNOWN", "\"alpha\""),
        (&["--policy", "cascade:threshold=2"], "POLICY_UNKNOWN", "between 0 and 1"),
        (&["--policy", "cascade"], "REQUEST_INVALID", "ladder"),
    ] {
        let ended = ask_tiny(&[flags, &["hello"]].concat());
        assert_refused(&ended, USER, code, &[word]);
    }
    let twice = format!("{0},{0}", tiny());
    assert_refused(
        &understudy(["ask", "--ladder", &twice, "hi"]).run(),
        USER,
        "REQUEST_INVALID",
        &["ladder"],
    );
    // What is no number at all is refused by the command line itself.
    for flag in ["--max-tokens=-3", "--max-tokens=many", "--seed=1.5", "--temperature=hot"] {
        let ended = ask_tiny(&[flag, "hello"]);
        let (name, _) = flag.split_once('=').expect("a flag with a value");
        assert!(ended.code == Some(USER) && ended.stderr.contains(name), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn requests_that_no_command_would_send() {
    let (server, model) = (Server::with_ladder(&[&tiny()]), tiny());
    let client = server.client().await;
    let base = || direct(&model, "hi", 8);
    let long_name = "x".repeat(100_000);
    for (request, code) in [
        (GenerateRequest { prompt: String::new(), ..base() }, "PROMPT_EMPTY"),
        (GenerateRequest { policy: "cascde".into(), ..base() }, "POLICY_UNKNOWN"),
        (GenerateRequest { model: long_name, ..base() }, "MODEL_UNKNOWN"),
        (GenerateRequest { model: "nobody".into(), ..base() }, "MODEL_UNKNOWN"),
        (GenerateRequest { model: "no/such.gguf".into(), ..base() }, "HUB_NOT_A_MODEL_FILE"),
        (GenerateRequest { stop: vec!["x".into(); 17], ..base() }, "REQUEST_INVALID"),
        (GenerateRequest { request_id: "two words".into(), ..base() }, "REQUEST_INVALID"),
        (GenerateRequest { constraint: Some(Default::default()), ..base() }, "CONSTRAINT_INVALID"),
    ] {
        let error = refusal(&client, request).await;
        assert_eq!(error.code, code, "{error:?}");
        assert!(!error.help.is_empty(), "{error:?}");
    }
    let nothing = ScoreRequest { model: model.clone(), ..ScoreRequest::default() };
    assert_eq!(client.score(nothing, SOON).await.expect_err("a refusal").code, "REQUEST_INVALID");
    let unknown = TokenizeRequest { model: "nobody".into(), text: "x".into() };
    assert_eq!(client.tokenize(unknown, SOON).await.expect_err("a refusal").code, "MODEL_UNKNOWN");
    assert!(!answered(&client, base()).await.finished.text.is_empty(), "the node goes on");
    let listed = client.models(SOON).await.expect("a list of models");
    let strangers: Vec<_> = listed
        .iter()
        .filter(|slot| slot.model != model && slot.state != "unloaded" && slot.state != "absent")
        .collect();
    assert!(strangers.is_empty(), "names that stand for nothing keep no slot: {strangers:?}");
}

#[test]
fn nodes_that_are_not_there() {
    for server in ["127.0.0.1:1", "no port at all", "127.0.0.1:99999", "host.invalid:7861"] {
        let started = Instant::now();
        let ended = understudy(["ask", "--server", server, "hi"]).run();
        assert_refused(&ended, MISSING, "SERVER_UNREACHABLE", &[server]);
        assert!(started.elapsed() < Duration::from_secs(10), "{server}: {:?}", started.elapsed());
    }
    let by_variable = |args: &[&str]| understudy(args).env("UNDERSTUDY_SERVER", "127.0.0.1:1").run();
    for command in [&["ps"][..], &["ask", "hi"], &["cluster", "status"], &["cluster", "invite"]] {
        assert_refused(&by_variable(command), MISSING, "SERVER_UNREACHABLE", &["127.0.0.1:1"]);
    }
    let named = by_variable(&["ps", "--server", "127.0.0.1:2"]);
    assert_refused(&named, MISSING, "SERVER_UNREACHABLE", &["127.0.0.1:2"]);
}

#[test]
fn files_for_tls_that_are_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let empty = written(folder.path(), "empty.pem", "");
    for (set, named) in [
        (&[("UNDERSTUDY_CA", "/nowhere.pem")][..], "/nowhere.pem"),
        (&[("UNDERSTUDY_CA", &empty)], "UNDERSTUDY_CA"),
        (&[("UNDERSTUDY_CLIENT_CERT", &empty)], "go together"),
        (&[("UNDERSTUDY_CLIENT_CERT", &empty), ("UNDERSTUDY_CLIENT_KEY", &empty)], "UNDERSTUDY_CLIENT_KEY"),
    ] {
        let ps = understudy(["ps", "--server", "https://127.0.0.1:1"]);
        let ended = set.iter().fold(ps, |ps, (variable, file)| ps.env(variable, file)).run();
        assert_refused(&ended, USER, "CONFIG_INVALID", &[named]);
    }
}

#[test]
fn something_else_listens_there() {
    // Accepts and never says a word.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = mute.local_addr().expect("an address").to_string();
    let ended = understudy(["ps", "--server", &address]).patience(Duration::from_secs(15)).run();
    assert!(
        ended.code.is_some_and(|code| code != 0) && ended.stderr.starts_with("error["),
        "{}",
        ended.stderr
    );
    let server = Server::with_ladder(&[&tiny()]);
    // The other port of the right machine has the same services, for browsers and for whoever mistook it.
    let ended = understudy(["ps", "--server", &server.http]).patience(Duration::from_secs(15)).run();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn addresses_that_cannot_be_had() {
    let running = Server::with_ladder(&[&tiny()]);
    let serve = |grpc: &str, http: &str| understudy(["serve", "--grpc", grpc, "--http", http]).run();
    assert_refused(&serve(&running.grpc, "127.0.0.1:0"), OTHER, "ADDR_IN_USE", &[&running.grpc]);
    assert_refused(&serve("127.0.0.1:0", &running.http), OTHER, "ADDR_IN_USE", &[&running.http]);
    // 192.0.2.0/24 is for documentation: no machine has it.
    let elsewhere = "192.0.2.1:7861";
    let exposed = understudy(["serve", "--insecure", "--grpc", elsewhere, "--http", "127.0.0.1:0"]).run();
    assert_refused(&exposed, USER, "ADDR_UNUSABLE", &["192.0.2.1"]);
    assert_refused(&serve(elsewhere, "127.0.0.1:0"), USER, "LISTEN_EXPOSED", &["192.0.2.1", "--insecure"]);
    assert_eq!(serve("localhost", "127.0.0.1:0").code, Some(USER));
}

#[test]
fn settings_that_are_wrong() {
    let folder = folder();
    for (content, words) in [
        ("[engine]\nthread = 4\n", &["node.toml", "thread", "line 2"][..]),
        ("lader = []\n", &["lader"]),
        ("[engine]\ncontext_tokens = 0\n", &["engine.context_tokens"]),
        ("[engine]\nkv_tokens = \"lots\"\n", &["kv_tokens"]),
        ("[listen]\ngrpc = \"localhost\"\n", &["grpc"]),
        ("[[ladder]]\nmodel = \"a\"\nthreshold = 1.5\n", &["ladder[0].threshold"]),
        ("this is no TOML", &["node.toml", "line 1"]),
    ] {
        let file = written(folder.path(), "node.toml", content);
        assert_refused(&understudy(["serve", "--config", &file]).run(), USER, "CONFIG_INVALID", words);
    }
    let binary = written(folder.path(), "binary.toml", [0xff, 0xfe, 0x00]);
    assert_refused(
        &understudy(["serve", "--config", &binary]).run(),
        USER,
        "CONFIG_INVALID",
        &["binary.toml"],
    );
    let absent = text(&folder.path().join("absent.toml")).to_owned();
    assert_refused(
        &understudy(["serve", "--config", &absent]).run(),
        USER,
        "CONFIG_INVALID",
        &["absent.toml"],
    );
}

#[test]
fn a_users_catalogue_that_is_damaged() {
    let home = folder();
    for (content, word) in [
        ("[[model]]\nname = 3\n", "line 2"),
        ("default_ladder = [\"nobody\"]\n", "nobody"),
        (
            "[[model]]\nname='../up'\narchitecture='llama'\nquantization='x'\nlicence='x'\nroles=[]\nparameters=1\ncontext=1\nfiles=[]\n",
            "../up",
        ),
        ("modell = 1\n", "modell"),
    ] {
        written(home.path(), "catalogue.toml", content);
        for args in
            [&["models"][..], &["pull", SMALL], &["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]]
        {
            let ended = understudy(args).env("UNDERSTUDY_HOME", home.path()).run();
            assert_refused(&ended, USER, "HUB_BAD_CATALOGUE", &["catalogue.toml", word]);
        }
    }
}

#[test]
fn models_folders_that_cannot_be_used() {
    let folder = folder();
    let pull = |home: &str| understudy(["pull", SMALL]).env("UNDERSTUDY_HOME", home).run();
    // Below a regular file nobody can make a folder, the administrator neither.
    let file = written(folder.path(), "file", "");
    assert_refused(&pull(&format!("{file}/home")), OTHER, "HUB_READ_ONLY", &[&file]);

    // Nothing here and nothing may be fetched: at once, with the way out.
    let ended = understudy(["pull", SMALL])
        .env("UNDERSTUDY_HOME", folder.path())
        .env("UNDERSTUDY_OFFLINE", "1")
        .run();
    assert_refused(&ended, MISSING, "HUB_NO_SOURCE", &[SMALL, "offline", "UNDERSTUDY_OFFLINE"]);
}

/// A mounted file system of one MiB; needs the administrator's rights.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = folder();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_is_full() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: no small file system can be mounted here, so a full disk was not tried");
        return;
    };
    let ended = understudy(["pull", SMALL]).env("UNDERSTUDY_HOME", disk.0.path()).run();
    assert_refused(&ended, OTHER, "HUB_DISK_FULL", &["MiB needed"]);
}

#[tokio::test]
async fn a_node_without_its_models_says_how_to_get_them() {
    let home = folder();
    let config = format!("home = {:?}\n[[ladder]]\nmodel = {SMALL:?}\n", text(home.path()));
    let args = ["serve", "--config", &written(home.path(), "node.toml", &config)];
    // The flags of `Server`, with the network switched off.
    let server = Server::spawned(understudy(args).env("UNDERSTUDY_OFFLINE", "1"));
    let client = server.client().await;
    let started = Instant::now();
    let error = refusal(&client, GenerateRequest { prompt: "hi".into(), ..GenerateRequest::default() }).await;
    assert_eq!(error.code, "HUB_NO_SOURCE", "{error:?}");
    assert!(error.help.contains("by hand"), "{error:?}");
    assert!(started.elapsed() < ANSWER / 4, "{:?}", started.elapsed());
    let ended = understudy(["ask", "--server", &server.grpc, "hi"]).run();
    assert_refused(&ended, MISSING, "HUB_NO_SOURCE", &[SMALL]);
}
