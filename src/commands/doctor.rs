//! `understudy doctor`: is this machine ready, and what to do where it is not.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::{Value, json};
use understudy_agents::Client;
use understudy_engine::default_threads;
use understudy_engine::device::{DeviceChoice, probe};
use understudy_engine::model::gates::{Gate, Verdict, verdicts};
use understudy_gateway::{GgufEngines, NodeConfig};
use understudy_hub::{Presence, Puller};

use crate::cli::Listing;
use crate::error::Error;
use crate::render::{bytes, line, table};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fail,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

struct Check {
    name: &'static str,
    state: State,
    detail: String,
    help: String,
}

impl Check {
    fn new(name: &'static str, state: State, detail: impl Into<String>, help: impl Into<String>) -> Self {
        Self { name, state, detail: detail.into(), help: help.into() }
    }

    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, State::Ok, detail, "")
    }
}

pub async fn run(args: &Listing) -> Result<(), Error> {
    let mut checks = vec![Check::ok("version", env!("CARGO_PKG_VERSION")), processor()];
    checks.extend(devices());
    checks.extend(models());
    checks.push(ledger());
    let listen = NodeConfig::default().listen;
    checks.push(port("grpc port", listen.grpc).await);
    checks.push(port("http port", listen.http).await);
    checks.push(package_client());
    if args.json {
        let rows = checks.iter().map(|check| {
            json!({"check": check.name, "state": check.state.as_str(), "detail": check.detail, "help": check.help})
        });
        line(&Value::Array(rows.collect()).to_string())?;
    } else {
        let rows = checks.iter().map(|check| {
            vec![
                check.name.to_owned(),
                check.state.as_str().to_owned(),
                check.detail.clone(),
                check.help.clone(),
            ]
        });
        line(&table(&["CHECK", "STATE", "DETAIL", "WHAT TO DO"], rows))?;
    }
    match checks.iter().find(|check| check.state == State::Fail) {
        Some(check) => Err(Error::internal(format!("{} failed: {}", check.name, check.detail))),
        None => Ok(()),
    }
}

fn processor() -> Check {
    let threads = default_threads();
    #[cfg(target_arch = "x86_64")]
    if !(std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")) {
        return Check::new(
            "processor",
            State::Warn,
            format!("{threads} threads, no AVX2 with FMA: portable kernels"),
            "use a processor of the last ten years for ten times the speed",
        );
    }
    Check::ok("processor", format!("{threads} threads, {} kernels", understudy_engine::processor()))
}

/// The graphics processors that this build can use, if any.
fn devices() -> Vec<Check> {
    let mut checks = Vec::new();
    for (is_built, device) in
        [(cfg!(feature = "cuda"), DeviceChoice::Cuda(0)), (cfg!(feature = "metal"), DeviceChoice::Metal)]
    {
        if is_built {
            checks.push(match probe(device) {
                Ok(found) => Check::ok("device", format!("{found}: engine.device = \"{device}\" uses it")),
                Err(error) => Check::new(
                    "device",
                    State::Warn,
                    error.to_string(),
                    "install its driver, or leave engine.device at \"cpu\"",
                ),
            });
        }
    }
    if checks.is_empty() {
        checks.push(Check::ok("device", "the processor (this build has neither cuda nor metal)"));
    }
    checks
}

/// The models folder and the default ladder.
fn models() -> Vec<Check> {
    let puller = match Puller::from_env() {
        Ok(puller) => puller,
        Err(error) => return vec![Check::new("models folder", State::Fail, error.to_string(), error.help())],
    };
    let root = puller.home().root();
    let writable = std::fs::create_dir_all(root).and_then(|()| {
        let probe = root.join(".doctor");
        std::fs::write(&probe, b"")?;
        std::fs::remove_file(&probe)
    });
    let folder = match writable {
        Ok(()) => Check::ok("models folder", root.display().to_string()),
        Err(error) => Check::new(
            "models folder",
            State::Fail,
            format!("{}: {error}", root.display()),
            "set UNDERSTUDY_HOME to a folder that this user can write",
        ),
    };
    let ladder = puller.catalogue().default_ladder();
    let listed = puller.home().list(puller.catalogue());
    let rungs = listed.iter().filter(|entry| ladder.contains(&entry.model.name)).map(|entry| {
        let name = "model";
        match entry.presence {
            Presence::Present { .. } => Check::ok(name, format!("{} is there", entry.model.name)),
            _ => Check::new(
                name,
                State::Warn,
                format!("{} is not on disk ({})", entry.model.name, bytes(entry.model.bytes())),
                format!("understudy pull {} (or let the first question fetch it)", entry.model.name),
            ),
        }
    });
    let gates = verdicts(&GgufEngines::packs_in(puller.home()));
    std::iter::once(folder).chain(rungs).chain(numerics(&gates)).collect()
}

/// What earlier starts found out about the fast kernels.
fn numerics(verdicts: &[Verdict]) -> Vec<Check> {
    let name = "numerics gates";
    if verdicts.is_empty() {
        return vec![Check::ok(name, "none decided yet: a model's are at its first start")];
    }
    let check = |Verdict { model, activations, gates, .. }: &Verdict| {
        let closed: Vec<&Gate> = gates.iter().filter(|gate| !gate.is_on()).collect();
        let what =
            format!("{model}, {}: {} of {} on", activations.name(), gates.len() - closed.len(), gates.len());
        if closed.is_empty() {
            return Check::ok(name, what);
        }
        let why = closed.iter().map(|gate| format!("{} {}: {}", gate.kernel, gate.state.name(), gate.detail));
        Check::new(
            name,
            State::Warn,
            format!("{what}; {}", why.collect::<Vec<_>>().join("; ")),
            "plain kernels run in their place: `slow` is no fault; report `wrong` with this line",
        )
    };
    verdicts.iter().map(check).collect()
}

/// What the node of this machine keeps of its requests.
fn ledger() -> Check {
    let name = "ledger";
    let Ok(file) = NodeConfig::default().ledger_file() else {
        return Check::new(name, State::Warn, "there is no folder for it", "set UNDERSTUDY_HOME");
    };
    match super::ledger::state(file) {
        Ok(None) => Check::ok(name, "none yet: a node begins one"),
        Ok(Some(requests)) => Check::ok(name, format!("{requests} requests")),
        Err(error) => {
            Check::new(name, State::Warn, error.to_string(), "a node serves without a ledger until then")
        }
    }
}

async fn port(name: &'static str, addr: SocketAddr) -> Check {
    if TcpListener::bind(addr).is_ok() {
        return Check::ok(name, format!("{addr} is free"));
    }
    let timeout = Duration::from_millis(500);
    let node = match Client::connect(&addr.to_string(), timeout).await {
        Ok(client) => client.is_serving("", timeout).await.is_ok(),
        Err(_) => false,
    };
    match node {
        true => Check::ok(name, format!("a node runs on {addr}")),
        false => Check::new(
            name,
            State::Warn,
            format!("{addr} is taken by another program"),
            "stop it, or serve with --grpc and --http",
        ),
    }
}

/// A package client is the second source of models.
fn package_client() -> Check {
    let clients = ["uv", "pip", "pip3", "python3"];
    let found = clients.iter().find(|client| {
        let mut command = std::process::Command::new(client);
        command.arg("--version").stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    });
    match found {
        Some(client) => Check::ok("package client", format!("{client} (used when the hub is out of reach)")),
        None => Check::new(
            "package client",
            State::Warn,
            "neither uv nor pip was found",
            "only needed when the model hub is out of reach",
        ),
    }
}
