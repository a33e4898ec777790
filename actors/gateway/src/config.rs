//! What a node is told at its start.

mod listen;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use understudy_engine::{device::DeviceChoice, engine::EngineOptions, model::Activations};
use understudy_hub::{Home, PullError};
use understudy_router::{Databases, rules::Rule};
use understudy_telemetry::Settings;

use crate::{Failure, admission::Capacity, codes};

pub use listen::{Listen, Tls};

/// A node's settings, from a TOML file. Every field has a default; an unknown one is refused.
///
/// ```
/// use understudy_gateway::NodeConfig;
///
/// let config = NodeConfig::parse("[engine]\nthreads = 4\n", "node.toml").unwrap();
/// assert_eq!((config.engine.threads, config.engine.context_tokens), (4, 4096));
/// let error = NodeConfig::parse("[engine]\nthread = 4\n", "node.toml").unwrap_err();
/// assert!(error.to_string().contains("thread"));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Folder of models and state. Default: `UNDERSTUDY_HOME`, or the platform's data folder.
    pub home: Option<PathBuf>,
    /// Models, cheapest first. Default: the catalogue's default ladder, default thresholds.
    pub ladder: Vec<Rung>,
    /// Where to listen, and what to bear from whoever connects.
    pub listen: Listen,
    /// Encryption. Default: none, which suits loopback.
    pub tls: Option<Tls>,
    /// Engines.
    pub engine: Engine,
    /// Answers.
    pub answer: Answer,
    /// Files of `understudy calibrate`, one per task: confidences and thresholds of requests that name it.
    pub profiles: Vec<PathBuf>,
    /// Files of `understudy calibrate --route`, one per task: what prompts tell before anything is written.
    pub routes: Vec<PathBuf>,
    /// Which requests begin at which rung, under the policy `route`; the first that holds decides.
    pub rules: Vec<Rule>,
    /// The model whose vectors of questions are evidence for `route`. Default: none.
    pub embedder: Option<String>,
    /// Which SQLite files the validator `sql` may read. Default: none.
    pub databases: Databases,
    /// What is kept of requests.
    pub ledger: Ledger,
    /// What is told to a collector.
    pub telemetry: Settings,
    /// Most of everything that can pile up.
    pub limits: Limits,
    /// Times.
    pub timeouts: Timeouts,
}

impl NodeConfig {
    /// The folder of models and state: the one set here, or else the environment's.
    ///
    /// # Errors
    /// `HUB_NO_HOME` where there is none.
    pub fn home(&self) -> Result<Home, PullError> {
        self.home.as_ref().map_or_else(Home::from_env, |root| Ok(Home::at(root)))
    }

    /// The file of the ledger, in [`home`](Self::home).
    ///
    /// # Errors
    /// `HUB_NO_HOME` where there is none.
    pub fn ledger_file(&self) -> Result<PathBuf, PullError> {
        Ok(self.home()?.root().join("ledger.db"))
    }

    /// The file of the API keys, in [`home`](Self::home).
    ///
    /// # Errors
    /// `HUB_NO_HOME` where there is none.
    pub fn keys_file(&self) -> Result<PathBuf, PullError> {
        Ok(self.home()?.root().join("keys.toml"))
    }
}

/// One model of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rung {
    /// A catalogue name, or the path of a GGUF file.
    pub model: String,
    /// `cascade` keeps this rung's answer when its confidence, 0 to 1, reaches this.
    /// Default: the router's. The last rung needs none.
    #[serde(default)]
    pub threshold: Option<f32>,
}

/// What each engine may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Longest sequence, prompt and answer, in tokens; a model's own limit may be lower.
    /// Default 4096.
    pub context_tokens: usize,
    /// Tokens of KV memory per model, shared by its sequences. Default 16384.
    pub kv_tokens: usize,
    /// Compute threads; 0 takes one per processor that this process may use. Default 0.
    pub threads: usize,
    /// What computes: `cpu`, `cuda`, `cuda:N` or `metal`. Default `cpu`.
    pub device: DeviceChoice,
    /// How activations meet quantized weights: `f32`, `int16`, `mixed` or `int8`. Default: what the
    /// catalogue says of the model, else `int16`; on a device `f32`.
    pub activations: Option<Activations>,
    /// Refuse a model of which a fast kernel may not be used on this machine. Default false: a
    /// plain kernel takes its place.
    pub require_fast: bool,
    /// Sequences that one model decodes at the same time. Default 16.
    pub max_sequences: usize,
    /// Most tokens that a constraint leaves no choice about and that are computed with the token before
    /// them; 0 turns it off. Default 7.
    pub foreseen_tokens: usize,
    /// Bytes that the weights and the KV memory of all loaded models may take together; 0 is three
    /// quarters of what this process may use. Default 0.
    pub memory: u64,
    /// Models that are never unloaded to make room for others. Default none.
    pub pin: Vec<String>,
    /// Load the first rung at the start instead of at the first request. Default false.
    pub preload: bool,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            context_tokens: 4096,
            kv_tokens: 16384,
            threads: 0,
            device: DeviceChoice::Cpu,
            activations: None,
            require_fast: false,
            max_sequences: 16,
            foreseen_tokens: EngineOptions::default().foreseen,
            memory: 0,
            pin: Vec::new(),
            preload: false,
        }
    }
}

/// Defaults of answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    /// Tokens of an answer when the request names no number. Default 1024.
    pub max_tokens: u32,
}

impl Default for Answer {
    fn default() -> Self {
        Self { max_tokens: 1024 }
    }
}

/// The ledger of this node's requests: `ledger.db` in its home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// Whether there is one. Default true.
    pub enabled: bool,
    /// Keep prompts, answers and whatever may quote them. Default false: digests only.
    pub content: bool,
    /// Days that a request stays. Default 30.
    pub keep_days: u32,
    /// Largest file, in MB of 10^6 bytes; the oldest requests go. Default 256.
    pub max_mb: u32,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { enabled: true, content: false, keep_days: 30, max_mb: 256 }
    }
}

/// Capacities. What does not fit, and is not expected to fit in time, is refused at once with `OVERLOADED`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests that run or wait, over all models. Each may hold a 4 MiB prompt. Default 64.
    pub max_requests: usize,
    /// Requests that run; the others wait. 0 is as many as a model decodes, `engine.max_sequences`, but no more than
    /// `max_requests`. Default 0.
    pub running: usize,
    /// The longest wait for a place, in milliseconds; 0 lets nobody wait. Default 30000.
    pub longest_wait_ms: u64,
    /// Requests that wait for one model's sequences. Default 32.
    pub queue_per_model: usize,
    /// Streams that watch models. Default 32.
    pub max_watchers: usize,
    /// Calls in flight on one connection; more wait in the client. Default 256.
    pub streams_per_connection: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_requests: 64,
            running: 0,
            longest_wait_ms: 30_000,
            queue_per_model: 32,
            max_watchers: 32,
            streams_per_connection: 256,
        }
    }
}

/// Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// The longest deadline of a request, and the deadline of one that names none.
    /// Default 600000.
    pub request_ms: u64,
    /// How long a stopping node lets requests finish. Default 10000.
    pub drain_ms: u64,
    /// A connection that is silent this long is pinged, and closed when it stays silent as
    /// long again. Default 20000.
    pub keepalive_ms: u64,
    /// An answer whose reader takes nothing for so long is cut. Default 30000.
    pub slow_reader_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { request_ms: 600_000, drain_ms: 10_000, keepalive_ms: 20_000, slow_reader_ms: 30_000 }
    }
}

impl Timeouts {
    /// [`request_ms`](Self::request_ms) as a duration.
    pub fn request(&self) -> Duration {
        Duration::from_millis(self.request_ms)
    }

    /// [`drain_ms`](Self::drain_ms) as a duration.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }

    /// [`keepalive_ms`](Self::keepalive_ms) as a duration.
    pub fn keepalive(&self) -> Duration {
        Duration::from_millis(self.keepalive_ms)
    }
}

impl NodeConfig {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// `CONFIG_INVALID` naming the file, the line and the field.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let origin = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| invalid(&origin, error))?;
        Self::parse(&text, &origin)
    }

    /// Reads TOML text; `origin` names it in errors.
    ///
    /// # Errors
    /// `CONFIG_INVALID` naming the origin, the line and the field.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Failure> {
        let config: Self = toml::from_str(text).map_err(|error| invalid(origin, error))?;
        match config.first_problem() {
            Some(problem) => Err(invalid(origin, problem)),
            None => Ok(config),
        }
    }

    /// What admission needs of it.
    pub fn capacity(&self) -> Capacity {
        let Limits { max_requests: requests, running, longest_wait_ms, .. } = self.limits;
        Capacity {
            running: if running == 0 { self.engine.max_sequences.min(requests) } else { running },
            requests,
            longest_wait: Duration::from_millis(longest_wait_ms),
            slow_reader: Duration::from_millis(self.timeouts.slow_reader_ms),
        }
    }

    fn first_problem(&self) -> Option<String> {
        let positive = [
            ("engine.context_tokens", self.engine.context_tokens),
            ("engine.kv_tokens", self.engine.kv_tokens),
            ("engine.max_sequences", self.engine.max_sequences),
            ("answer.max_tokens", self.answer.max_tokens as usize),
            ("ledger.keep_days", self.ledger.keep_days as usize),
            ("ledger.max_mb", self.ledger.max_mb as usize),
            ("limits.max_requests", self.limits.max_requests),
            ("limits.max_watchers", self.limits.max_watchers),
            ("limits.streams_per_connection", self.limits.streams_per_connection as usize),
            ("timeouts.request_ms", self.timeouts.request_ms as usize),
            ("timeouts.keepalive_ms", self.timeouts.keepalive_ms as usize),
            ("timeouts.slow_reader_ms", self.timeouts.slow_reader_ms as usize),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Some(format!("{name} must be at least 1"));
        }
        if self.engine.kv_tokens < self.engine.context_tokens {
            return Some("engine.kv_tokens must be at least engine.context_tokens".into());
        }
        if let Some(problem) = self.telemetry.problem() {
            return Some(problem);
        }
        if self.limits.running > self.limits.max_requests {
            return Some("limits.running must be at most limits.max_requests".into());
        }
        if self.engine.pin.iter().any(|name| name.trim().is_empty()) {
            return Some("engine.pin has an empty name".into());
        }
        if let Some(problem) = self.listen.first_problem() {
            return Some(problem);
        }
        if let Some(problem) = self.tls.as_ref().and_then(Tls::first_problem) {
            return Some(problem.into());
        }
        self.ladder.iter().enumerate().find_map(|(i, rung)| {
            let twice = self.ladder[..i].iter().any(|earlier| earlier.model == rung.model);
            let threshold_fits = rung.threshold.is_none_or(|threshold| (0.0..=1.0).contains(&threshold));
            match () {
                () if rung.model.trim().is_empty() => Some(format!("ladder[{i}].model is empty")),
                () if twice => Some(format!("ladder[{i}].model: {:?} is there twice", rung.model)),
                () if !threshold_fits => Some(format!("ladder[{i}].threshold must be between 0 and 1")),
                () => None,
            }
        })
    }
}

pub(crate) fn invalid(origin: &str, why: impl std::fmt::Display) -> Failure {
    Failure::new(codes::CONFIG_INVALID, format!("{origin}: {why}")).with("file", origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_contract_and_survive_a_round_trip() {
        let config = NodeConfig::default();
        assert_eq!(config.listen.grpc.to_string(), "127.0.0.1:7861");
        assert_eq!(config.listen.http.to_string(), "127.0.0.1:7862");
        let text = toml::to_string(&config).unwrap();
        assert_eq!(NodeConfig::parse(&text, "x").unwrap(), config);
    }

    #[test]
    fn wrong_settings_are_refused_by_name() {
        for (text, word) in [
            ("lader = []", "lader"),
            ("[engine]\ncontext_tokens = 0", "engine.context_tokens"),
            ("[engine]\nkv_tokens = 16", "engine.kv_tokens"),
            ("[engine]\ndevice = \"cuda:first\"", "cuda:first"),
            ("[listen]\ngrpc = \"localhost\"", "grpc"),
            ("[listen]\nconnections = 0", "listen.connections"),
            ("[listen]\ncors = [\"*\"]", "listen.cors"),
            ("[listen]\ncors = [\"https://app.example/page\"]", "listen.cors"),
            ("[listen]\nhosts = [\"node.example:80\"]", "listen.hosts"),
            ("[tls]\ncert = \"a.pem\"", "key"),
            ("[tls]\ncert = \"a\"\nkey = \"b\"\nclient_names = true", "client_ca"),
            ("[[ladder]]\nmodel = \"a\"\nthreshold = 1.5", "ladder[0].threshold"),
            ("[[ladder]]\nmodel = \"a\"\n[[ladder]]\nmodel = \"a\"", "ladder[1].model"),
            ("[[ladder]]\nmodel = \" \"", "ladder[0].model"),
            ("[timeouts]\nrequest_ms = -1", "request_ms"),
            ("[telemetry]\notlp_endpoint = \"localhost:4317\"", "telemetry.otlp_endpoint"),
            ("[limits]\nrunning = 65", "limits.running"),
        ] {
            let error = NodeConfig::parse(text, "node.toml").unwrap_err();
            assert_eq!(error.code, codes::CONFIG_INVALID);
            assert!(
                error.message.contains(word) && error.message.starts_with("node.toml"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = NodeConfig::load(Path::new("no-such-folder/node.toml")).unwrap_err();
        assert!(error.message.contains("no-such-folder/node.toml"), "{error}");
    }
}
