//! A node of this machine and the ledger in its home. Only the engine itself is scripted.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod common;

use std::{fs, path::PathBuf, sync::Arc};

use common::{SOON, ask, read};
use understudy_actors::scripted::{Script, ScriptedModels};
use understudy_agents::Client;
use understudy_gateway::{Node, NodeConfig, codes};
use understudy_ledger::{Entry, Filter, Reader, replay};
use understudy_proto::v1::{FeedbackRequest, GenerateRequest};

struct Local {
    node: Node,
    client: Client,
    model: String,
    home: tempfile::TempDir,
}

/// A node with one model, by path, and whatever lies in its home as `ledger.db` before.
async fn start(settings: &str, before: Option<&str>) -> Local {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("own.gguf");
    fs::write(&path, b"GGUF").unwrap();
    before.iter().for_each(|bytes| fs::write(home.path().join("ledger.db"), bytes).unwrap());
    let model = path.to_str().unwrap().to_owned();
    let settings = format!("home = {:?}\n{settings}\n[[ladder]]\nmodel = {model:?}\n", home.path());
    let mut config = NodeConfig::parse(&settings, "test").unwrap();
    config.listen.grpc.set_port(0);
    config.listen.http.set_port(0);
    let script = Script::new(model.clone());
    let node = Node::start(config, Arc::new(ScriptedModels::new([script]))).await.unwrap();
    let addresses = node.serve(Default::default()).await.unwrap();
    let client = Client::connect(&addresses.grpc.to_string(), SOON).await.unwrap();
    Local { node, client, model, home }
}

impl Local {
    async fn answer(&self, request_id: &str) -> String {
        let request = GenerateRequest {
            request_id: request_id.into(),
            task: "greeting".into(),
            max_tokens: Some(5),
            ..ask("a secret question")
        };
        let (text, end) = read(self.client.generate(request, SOON).await.unwrap()).await;
        end.unwrap();
        text
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("ledger.db")
    }

    fn entries(&self) -> Vec<Entry> {
        let reader = Reader::open(&self.file()).unwrap();
        reader.entries(Filter::default()).collect::<Result<_, _>>().unwrap()
    }
}

fn said(request_id: &str, ok: bool, source: &str) -> FeedbackRequest {
    FeedbackRequest { request_id: request_id.into(), ok, source: source.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_leaves_an_entry_and_feedback_makes_it_an_example() {
    let local = start("", None).await;
    local.answer("mine-1").await;
    let feedback = async |request| local.client.feedback(request, SOON).await;
    assert!(feedback(said("mine-1", true, "user")).await.unwrap().known);
    assert!(!feedback(said("mine-2", true, "user")).await.unwrap().known);
    assert_eq!(feedback(said("mine-1", true, "")).await.unwrap_err().code, "REQUEST_INVALID");

    let entry = local.entries().remove(0);
    assert_eq!((entry.request_id.as_str(), entry.task.as_str()), ("mine-1", "greeting"));
    assert_eq!((entry.policy.as_str(), entry.finish_reason.as_str()), ("cascade", "length"));
    assert_eq!((&entry.ladder, &entry.model), (&vec![local.model.clone()], &local.model));
    assert_eq!(entry.usage.completion_tokens, 5);
    assert!(entry.ledger.rungs[0].tokens_kept == 5 && entry.timing.total_ms > 0.0);
    assert_eq!((entry.messages.as_ref(), entry.text.as_ref()), (None, None), "digests only");

    let examples: Vec<_> = replay::judged(&entry).collect();
    assert_eq!(examples.len(), 1, "evidence is there, though nobody had to judge");
    assert!(examples[0].ok && examples[0].source == replay::Source::Feedback);
    assert!(examples[0].evidence.contains_key("mean_logprob"), "{:?}", examples[0].evidence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_writes_out_what_it_has_noted() {
    let local = start("[ledger]\ncontent = true", None).await;
    let text = local.answer("r").await;
    local.node.drain().await;
    let entry = local.entries().remove(0);
    assert_eq!(entry.text, Some(text));
    assert_eq!(entry.messages.unwrap()[0].content, "a secret question");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_a_node_answers_and_says_so_when_asked() {
    let off = start("[ledger]\nenabled = false", None).await;
    off.answer("r").await;
    assert!(!off.file().exists());
    let damaged = start("", Some("no database")).await;
    damaged.answer("r").await;
    for local in [off, damaged] {
        let error = local.client.feedback(said("r", true, "user"), SOON).await.unwrap_err();
        assert_eq!(error.code, codes::LEDGER_UNAVAILABLE.name);
    }
}
