//! Keys: missing, wrong, revoked, too weak; and where a node listens without them.

use understudy_backend::fake::FakeBackend;
use understudy_gateway::{Keyring, Node, NodeConfig, Pages, Parts, caller::Scope, codes, keys::KeyFile};

use crate::{
    common::{SOON, ask_small, read, refusal, start, start_behind},
    town::{PROMPT, Town, eventually},
};

const EDITOR: (&str, &[Scope]) = ("editor", &[Scope::Inference]);
const OWNER: (&str, &[Scope]) = ("owner", &[Scope::Inference, Scope::Models, Scope::Admin]);

#[tokio::test]
async fn each_path_wants_its_key() {
    let town = Town::with_keys("", &[EDITOR, OWNER]).await;
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    let (editor, owner) = (bearer(town.key("editor")), bearer(town.key("owner")));
    let in_x = format!("X-Api-Key: {}\r\n", town.key("editor"));
    let wrong = bearer(&format!("sk-us-{}", "0".repeat(64)));
    let basic = format!("Authorization: Basic {}\r\n", town.key("editor"));
    let proxied = "X-Forwarded-For: 192.0.2.7\r\n".to_owned();
    let none = String::new();
    for (path, headers, status) in [
        ("/v1/who", &none, 401),
        ("/v1/who", &wrong, 401),
        ("/v1/who", &basic, 401),
        ("/v1/who", &editor, 200),
        ("/v1/who", &in_x, 200),
        ("/v1/nowhere", &none, 401),
        ("/v1/nowhere", &editor, 404),
        ("/", &none, 200),
        ("/healthz", &none, 200),
        ("/readyz", &wrong, 200),
        ("/metrics", &none, 200),
        ("/metrics", &editor, 403),
        ("/metrics", &owner, 200),
        ("/metrics", &proxied, 401),
        ("/understudy/log", &none, 401),
        ("/understudy/log", &editor, 403),
    ] {
        let answer = town.get(path, headers).await;
        assert_eq!(answer.status, status, "{path} {headers}: {answer:?}");
    }
    let put = |headers: &str| {
        format!("PUT /understudy/log HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
    };
    assert_eq!(town.ask(&put(&owner), b"").await.body, "log");
    let who = town.get("/v1/who", &editor).await.body;
    assert!(who.starts_with("tenant=editor priority=Agent") && who.ends_with("key=false"), "{who}");
    assert!(
        who.contains(
            "requests_per_minute: Some(600), burst: 600, tokens_per_minute: None, concurrency: Some(8)"
        ),
        "{who}"
    );
    town.goes_on().await;
}

#[tokio::test]
async fn refusals_speak_the_language_of_whoever_asked() {
    let town = Town::with_keys("", &[EDITOR]).await;
    for (path, headers, status, code) in [
        ("/v1/who", "", 401, "KEY_INVALID"),
        ("/v1/../who", "", 400, "REQUEST_INVALID"),
        ("/metrics", "Via: 1.1 proxy\r\n", 401, "KEY_INVALID"),
        ("/", "Origin: https://evil.example\r\n", 403, "ORIGIN_REFUSED"),
    ] {
        let answer = town.get(path, &format!("{headers}X-Request-Id: mine\r\n")).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, &*format!("no {path}: {code}")));
        assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Bearer"), "{path}");
        assert_eq!(answer.header("x-request-id"), Some("mine"), "{path}");
    }
    let unnamed = town.get("/v1/who", "").await;
    assert!(unnamed.header("x-request-id").is_some_and(|id| id.starts_with("req_")), "{unnamed:?}");
    // Pages without words of their own are plain.
    let plain = start_behind("", FakeBackend::new("small"), town.keyring(), Pages::default()).await;
    let asked = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = crate::town::ask(plain.addresses.http, asked).await;
    assert!(answer.status == 401 && answer.body.starts_with("error[KEY_INVALID]: "), "{answer:?}");
    town.goes_on().await;
}

#[tokio::test]
async fn calls_over_grpc_want_keys_too() {
    let town = Town::with_keys("", &[EDITOR, OWNER]).await;
    let nobody = town.node.client().await;
    let error = refusal(&nobody, ask_small(PROMPT)).await;
    assert_eq!((error.code.as_str(), error.status), ("KEY_INVALID", tonic::Code::Unauthenticated));
    assert!(error.help.contains("understudy keys create"), "{error:?}");
    assert!(nobody.is_serving("", SOON).await.unwrap(), "probes need no key");
    assert_eq!(nobody.reflection_list(SOON).await.unwrap_err().code, "KEY_INVALID");

    let stranger = nobody.clone().with_key("sk-us-guess").unwrap();
    assert_eq!(refusal(&stranger, ask_small(PROMPT)).await.code, "KEY_INVALID");

    let editor = nobody.clone().with_key(town.key("editor")).unwrap();
    assert_eq!(read(editor.generate(ask_small(PROMPT), SOON).await.unwrap()).await.0, "4");
    assert_eq!(editor.models(SOON).await.unwrap().len(), 2);
    let error = editor.unload("small", SOON).await.unwrap_err();
    assert_eq!((error.code.as_str(), error.status), ("KEY_SCOPE", tonic::Code::PermissionDenied));
    assert_eq!(error.metadata["scope"], "models");

    let owner = nobody.with_key(town.key("owner")).unwrap();
    assert_eq!(owner.unload("small", SOON).await.unwrap().state, "unloaded");
    assert_eq!(owner.reflection_list(SOON).await.unwrap().len(), 6);
    town.goes_on().await;
}

#[tokio::test]
async fn a_revoked_key_is_worthless_within_seconds_and_a_broken_file_changes_nothing() {
    let town = Town::with_keys("", &[EDITOR, OWNER]).await;
    let owner = format!("Authorization: Bearer {}\r\n", town.key("owner"));
    assert_eq!(town.get("/v1/who", &owner).await.status, 200);
    KeyFile::change(&town.keys_file(), |file| {
        file.keys.retain(|key| key.name == "editor");
        Ok(())
    })
    .unwrap();
    eventually("the key is revoked", async || town.get("/v1/who", &owner).await.status == 401).await;
    std::fs::write(town.keys_file(), "[[keys]]\nname = ").unwrap();
    eventually("the broken file is noticed", async || town.log().contains("the new keys are unusable")).await;
    town.goes_on().await;
}

#[tokio::test]
async fn a_node_that_lost_its_keys_stays_shut() {
    let town = Town::with_keys("", &[EDITOR]).await;
    std::fs::remove_file(town.keys_file()).unwrap();
    let editor = format!("Authorization: Bearer {}\r\n", town.key("editor"));
    eventually("the keys are gone", async || town.get("/v1/who", &editor).await.status == 401).await;
    assert_eq!(town.get("/v1/who", "").await.status, 401);
    assert_eq!(town.get("/healthz", "").await.status, 200);
}

#[tokio::test]
async fn without_keys_the_local_user_may_do_everything() {
    let town = Town::open("").await;
    let who = town.get("/v1/who", "Authorization: Bearer whatever-clients-send\r\n").await.body;
    assert!(who.starts_with("tenant= priority=Interactive") && who.ends_with("key=false"), "{who}");
    assert_eq!(town.get("/metrics", "").await.status, 200);
    assert_eq!(town.get("/metrics", "Via: 1.1 proxy\r\n").await.status, 403, "a proxy passes strangers on");
    town.goes_on().await;
}

#[tokio::test]
async fn strangers_are_not_let_near_by_accident() {
    let harness = start("").await;
    for (listen, insecure, ok) in
        [("0.0.0.0:0", false, false), ("[::]:0", false, false), ("0.0.0.0:0", true, true)]
    {
        let settings =
            format!("[listen]\ngrpc = \"127.0.0.1:0\"\nhttp = \"{listen}\"\ninsecure = {insecure}\n");
        let config = NodeConfig::parse(&settings, "test").unwrap();
        let parts = Parts {
            router: harness.node.router().clone(),
            slots: harness.node.slots().clone(),
            control: harness.control.clone(),
        };
        let node = Node::assemble(config, parts).with_keys(Keyring::default());
        match node.serve(Default::default()).await {
            Ok(_) => assert!(ok, "{settings}"),
            Err(error) => {
                assert_eq!((ok, error.code), (false, codes::LISTEN_EXPOSED), "{settings}");
                assert!(error.message.contains("listen.http"), "{error}");
            }
        }
    }
}
