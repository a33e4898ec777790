//! API keys from the command line to the sockets of a running node.

mod common;

use std::time::{Duration, Instant};

use common::node::Server;
use common::{Ended, tiny, understudy, written};
use serde_json::Value;

/// A running node looks at its keys each second.
const SEEN: Duration = Duration::from_secs(10);

struct Place {
    folder: tempfile::TempDir,
    config: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().join("home");
        let settings = format!("home = {home:?}\nledger.enabled = false\n[[ladder]]\nmodel = {:?}\n", tiny());
        let config = written(folder.path(), "node.toml", settings);
        Self { folder, config }
    }

    fn keys(&self, args: &[&str]) -> Ended {
        understudy(["keys"].iter().chain(args)).arg("--config").arg(&self.config).run()
    }

    /// A new key.
    fn create(&self, args: &[&str]) -> String {
        let made = self.keys(&[&["create"], args].concat());
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        made.stdout.trim().to_owned()
    }

    fn serve(&self) -> Server {
        Server::spawned(understudy(["serve", "--config", &self.config]))
    }
}

/// Asks the node with a key; how the command ended.
fn ask(server: &Server, key: &str) -> Ended {
    let model = tiny();
    let args = ["ask", "--server", &server.grpc, "--model", &model, "--max-tokens", "2", "--json", "a"];
    understudy(args).env("UNDERSTUDY_API_KEY", key).run()
}

#[test]
fn a_key_opens_until_it_is_revoked_and_is_shown_once() {
    let place = Place::new();
    let key = place.create(&["editor"]);
    assert!(key.starts_with("sk-us-"), "{key}");
    let server = place.serve();
    assert_eq!(ask(&server, &key).code, Some(0));
    for wrong in ["", "sk-us-wrong", &key[..key.len() - 1]] {
        let refused = ask(&server, wrong);
        assert_eq!(refused.code, Some(2), "{wrong:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("KEY_INVALID"), "{}", refused.stderr);
    }
    let listed = place.keys(&["list", "--json"]);
    assert!(!listed.stdout.contains(&key), "the list shows the key");
    let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    assert_eq!(listed[0]["name"], "editor");

    assert_eq!(place.keys(&["revoke", "editor"]).code, Some(0));
    let until = Instant::now() + SEEN;
    while ask(&server, &key).code == Some(0) {
        assert!(Instant::now() < until, "a revoked key still opens");
    }
    assert_eq!(place.keys(&["revoke", "editor"]).code, Some(2), "it is gone");
    drop(place.folder);
}

#[test]
fn a_keys_rate_is_its_tenants() {
    let place = Place::new();
    let (busy, other) =
        (place.create(&["busy", "--rate", "2/min", "--burst", "2"]), place.create(&["other"]));
    let server = place.serve();
    assert_eq!((ask(&server, &busy).code, ask(&server, &busy).code), (Some(0), Some(0)));
    let refused = ask(&server, &busy);
    assert!(refused.stderr.contains("TENANT_LIMIT"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(&busy), "the refusal shows the key");
    assert_eq!(ask(&server, &other).code, Some(0), "one tenant's limit is not another's");
}

#[test]
fn a_keys_tokens_are_what_its_requests_have_cost() {
    let place = Place::new();
    let key = place.create(&["frugal", "--tokens-per-minute", "1"]);
    let listed: Value = serde_json::from_str(&place.keys(&["list", "--json"]).stdout).expect("JSON");
    assert_eq!(listed[0]["tokens_per_minute"], 1);
    assert!(place.keys(&["list"]).stdout.contains("1/min"));
    assert_eq!(place.keys(&["create", "none", "--tokens-per-minute", "0"]).code, Some(2));
    let server = place.serve();
    // A prompt of some tokens and an answer of two: beyond one token at least.
    assert_eq!(ask(&server, &key).code, Some(0));
    let refused = ask(&server, &key);
    let words = refused.stderr;
    assert!(words.contains("TENANT_LIMIT") && words.contains("1 tokens per minute"), "{words}");
}

#[test]
fn a_key_does_what_its_scopes_say() {
    let place = Place::new();
    let (asks, loads) = (place.create(&["asks"]), place.create(&["loads", "--scope", "models"]));
    let server = place.serve();
    let refused = ask(&server, &loads);
    assert!(refused.stderr.contains("KEY_SCOPE"), "{}", refused.stderr);
    assert_eq!(ask(&server, &asks).code, Some(0));
}

#[test]
fn a_node_with_tls_and_keys_is_asked_by_whom_trusts_it() {
    let place = Place::new();
    let key = place.create(&["editor"]);
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let file = |name: &str, text: String| written(place.folder.path(), name, text);
    let cert = file("cert.pem", own.cert.pem());
    let private = file("key.pem", own.signing_key.serialize_pem());
    let settings = std::fs::read_to_string(&place.config).expect("its settings");
    file("node.toml", format!("tls.cert = {cert:?}\ntls.key = {private:?}\n{settings}"));
    let server = place.serve();
    let address = server.grpc.replace("127.0.0.1", "https://localhost");
    let model = tiny();
    let ask = |server: &str, trusted: &str| {
        understudy(["ask", "--server", server, "--model", &model, "--max-tokens", "2", "--json", "a"])
            .env("UNDERSTUDY_API_KEY", &key)
            .env("UNDERSTUDY_CA", trusted)
            .run()
    };
    let answered = ask(&address, &cert);
    assert_eq!(answered.code, Some(0), "{}", answered.stderr);
    let untrusted = ask(&address, "");
    assert_eq!(untrusted.code, Some(3), "{}", untrusted.stderr);
    assert!(untrusted.stderr.starts_with("error[SERVER_UNTRUSTED]"), "{}", untrusted.stderr);
    assert!(untrusted.stderr.contains("UNDERSTUDY_CA"), "{}", untrusted.stderr);
    // In the clear the port hangs up.
    let clear = ask(&server.grpc, &cert);
    assert_eq!(clear.code, Some(3), "{}", clear.stderr);
}
