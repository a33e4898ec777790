//! A real Prometheus scrapes a real node. Only the engine is scripted.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use understudy_actors::scripted::{Script, ScriptedModels};
use understudy_backend::RequestCtx;
use understudy_gateway::{Node, NodeConfig};
use understudy_proto::v1::GenerateRequest;

use crate::common::{ask, ask_small};
use crate::prometheus::{is_here, promtool};
use crate::{answer, deploy};

/// Ended with its test.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What an HTTP server answers, without its headers' chunks being looked at.
async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

/// The value of an instant query, as soon as it has one.
async fn value(prometheus: &str, query: &str) -> f64 {
    let begun = Instant::now();
    let mut last = String::new();
    while begun.elapsed() < Duration::from_secs(40) {
        if let Ok(body) = get(prometheus, &format!("/api/v1/query?query={query}")).await {
            let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
            if let Some(value) = answer["data"]["result"][0]["value"][1].as_str() {
                return value.parse().unwrap();
            }
            last = body;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{query} has no value: {last}")
}

/// A node of this machine with one scripted model, named by its path.
async fn scripted_node(home: &std::path::Path) -> (Node, String) {
    let path = home.join("own.gguf");
    std::fs::write(&path, b"GGUF").unwrap();
    let model = path.to_str().unwrap().to_owned();
    let settings = format!("home = {home:?}\n[ledger]\nenabled = false\n[[ladder]]\nmodel = {model:?}\n");
    let mut config = NodeConfig::parse(&settings, "test").unwrap();
    config.listen.grpc.set_port(0);
    config.listen.http.set_port(0);
    let models = ScriptedModels::new([Script::new(model.clone())]);
    (Node::start(config, Arc::new(models)).await.unwrap(), model)
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_a_node_and_knows_what_it_did() {
    if !is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (node, model) = scripted_node(home.path()).await;
    let addresses = node.serve(Default::default()).await.unwrap();
    for n in 0..3 {
        let request = GenerateRequest { max_tokens: Some(5), ..ask("a question") };
        answer(&node, RequestCtx::new(format!("r{n}")), request).await.unwrap();
    }
    assert!(answer(&node, RequestCtx::new("none"), ask_small("")).await.is_err());

    let metrics = get(&addresses.http.to_string(), "/metrics").await.unwrap();
    promtool(&["check", "metrics"], &metrics).unwrap();

    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let prometheus = format!("127.0.0.1:{port}");
    let config = home.path().join("prometheus.yml");
    let rules = deploy::folder().join("prometheus");
    let text = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [{0:?}, {1:?}]\n\
         scrape_configs: [{{job_name: understudy, static_configs: [{{targets: [{2:?}]}}]}}]\n",
        rules.join("rules.yml"),
        rules.join("alerts.yml"),
        addresses.http.to_string(),
    );
    std::fs::write(&config, text).unwrap();
    let _prometheus = Prometheus(
        Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", home.path().join("tsdb").display()))
            .arg(format!("--web.listen-address={prometheus}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );

    for (query, expected) in [
        ("sum(understudy_requests_total)", 3.0),
        ("understudy_refusals_total", 1.0),
        ("sum(understudy_tokens_total)", 15.0),
        ("sum(gen_ai_server_request_duration_seconds_count)", 3.0),
        (r#"understudy_model_state%7Bstate="ready"%7D"#, 1.0),
        ("sum(understudy_requests_running)", 0.0),
        ("up", 1.0),
    ] {
        assert_eq!(value(&prometheus, query).await, expected, "{query}");
    }
    assert!(value(&prometheus, "sum(understudy_engine_passes_total)").await >= 5.0);
    // A recording rule of deploy/, evaluated.
    assert!(value(&prometheus, "understudy:requests:rate5m").await >= 0.0);
    assert!(metrics.contains(&model), "a model by path is known once it has answered");
    node.drain().await;
}
