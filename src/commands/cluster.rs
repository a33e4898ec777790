//! `understudy cluster`: this machine's part in a cluster. Its files are changed here; a running node notices within a
//! second.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::transport::Uri;
use understudy_agents::Client;
use understudy_cluster::{
    JoinError,
    discovery::{Announcement, Discovery},
    identity::{
        ClusterFiles, Fingerprint, IdentityError, InviteCode, NodeKey, SystemClock, pairing::Welcome,
    },
    join,
};
use understudy_gateway::NodeConfig;
use understudy_proto::v1::{ClusterStatusResponse, InviteResponse, NodeStatus};

use crate::cli::{
    ClusterCommand, ClusterInit, ClusterInvite, ClusterJoin, ClusterOf, ClusterRevoke, ClusterStatus,
};
use crate::error::Error;
use crate::render::{bytes, line, table};
use crate::source::connect;

const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a running node may take to notice that it is a member now.
const NOTICED: Duration = Duration::from_secs(5);
/// How long announcements of others are listened for.
const LISTENED: Duration = Duration::from_secs(3);

pub async fn run(command: &ClusterCommand) -> Result<(), Error> {
    match command {
        ClusterCommand::Init(args) => init(args),
        ClusterCommand::Invite(args) => invite(args).await,
        ClusterCommand::Join(args) => enter(args).await,
        ClusterCommand::Status(args) => status(args).await,
        ClusterCommand::Revoke(args) => revoke(args).await,
        ClusterCommand::Leave(node) => leave(node),
    }
}

fn settings(node: &ClusterOf) -> Result<(ClusterFiles, NodeConfig), Error> {
    let config = node.config.as_deref().map(NodeConfig::load).transpose()?.unwrap_or_default();
    Ok((ClusterFiles::at(config.cluster_folder()?), config))
}

fn init(args: &ClusterInit) -> Result<(), Error> {
    let (files, _) = settings(&args.node)?;
    let member = files.init(&args.name, &SystemClock)?;
    let node = member.key.fingerprint().node();
    line(&format!("cluster {:?} made; this node is {node}. Next: understudy cluster invite", args.name))
}

/// Makes a cluster first where there is none, so that two commands on each of two nodes join them.
async fn invite(args: &ClusterInvite) -> Result<(), Error> {
    let server = args.server.named_or_here();
    let client = connect(server, TIMEOUT).await?;
    let (files, _) = settings(&args.node)?;
    let is_new = !files.is_member() && client.cluster_status(TIMEOUT).await?.cluster.is_empty();
    if is_new {
        if !is_here(server) {
            return Err(Error::new(
                "CLUSTER_NONE",
                format!("the node at {server} is in no cluster; on that machine: understudy cluster init"),
            ));
        }
        files.init("home", &SystemClock)?;
    }
    let invited = opened(&client, args.with_authority, is_new).await;
    if is_new && invited.is_err() {
        // The node that runs has another home, or takes no part: this one is then no member either.
        files.leave()?;
    }
    let invited = invited?;
    if args.json {
        let InviteResponse { code, until, addresses } = invited;
        return line(&json!({"code": code, "until": until, "addresses": addresses}).to_string());
    }
    let peer = invited.addresses.first().map_or_else(String::new, |address| format!(" --peer {address}"));
    line(&format!(
        "{}\n\nOn the other machine, within ten minutes:\n  understudy cluster join {}{peer}\n  understudy serve",
        invited.code, invited.code
    ))
}

/// Whether a node's address is of this machine.
fn is_here(server: &str) -> bool {
    let Ok(address) = server.parse::<Uri>() else { return false };
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Asks until a cluster that was just made is noticed.
async fn opened(client: &Client, with_authority: bool, is_new: bool) -> Result<InviteResponse, Error> {
    let begun = Instant::now();
    loop {
        match client.invite(with_authority, TIMEOUT).await {
            Err(error) if is_new && error.code == "CLUSTER_NONE" && begun.elapsed() < NOTICED => {
                tokio::time::sleep(NOTICED / 20).await;
            }
            invited => return Ok(invited?),
        }
    }
}

async fn enter(args: &ClusterJoin) -> Result<(), Error> {
    let (files, config) = settings(&args.node)?;
    if files.is_member() {
        return Err(IdentityError::AlreadyMember { name: files.open()?.cluster_name }.into());
    }
    let code: InviteCode = match &args.code {
        Some(code) => code.parse(),
        None => asked()?.parse(),
    }
    .map_err(|error| Error::invalid(format!("{error}")))?;
    let nodes = match &args.peer {
        Some(peer) => vec![vec![with_port(peer)]],
        None => announced().await?,
    };
    let key = NodeKey::generate()?;
    let welcome = welcomed(&nodes, &code, &key, &config.cluster.name()).await?;
    let name = welcome.cluster_name.clone();
    files.join(key, *welcome, &SystemClock)?;
    line(&format!("joined cluster {name:?}; a node that runs here takes part in it at once"))
}

/// Shows the code to each node until one takes it: once to each that is reached, since an invite bears three wrong tries.
async fn welcomed(
    nodes: &[Vec<String>],
    code: &InviteCode,
    key: &NodeKey,
    name: &str,
) -> Result<Box<Welcome>, Error> {
    let (mut refused, mut silent) = (None, None);
    for node in nodes {
        for address in node {
            match join(address, code, key, name).await {
                Ok(welcome) => return Ok(welcome),
                Err(error @ JoinError::Pairing(_)) => {
                    refused.get_or_insert(error);
                    break;
                }
                Err(error) => silent = Some(error),
            }
        }
    }
    Err(refused.or(silent).map_or_else(nobody, Error::from))
}

/// The code as somebody types it, so that it is in no list of processes.
fn asked() -> Result<String, Error> {
    let mut stderr = std::io::stderr();
    write!(stderr, "Code: ")?;
    stderr.flush()?;
    let mut code = String::new();
    std::io::stdin().read_line(&mut code)?;
    Ok(code)
}

fn nobody() -> Error {
    Error::new(
        "CLUSTER_UNREACHABLE",
        "no cluster announces itself on this network; name a node with --peer HOST:PORT",
    )
}

/// A host without a port is meant at the usual one.
fn with_port(peer: &str) -> String {
    if let Ok(address) = peer.trim_matches(['[', ']']).parse::<IpAddr>() {
        return SocketAddr::new(address, understudy_cluster::config::PORT).to_string();
    }
    match peer.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => peer.to_owned(),
        _ => format!("{peer}:{}", understudy_cluster::config::PORT),
    }
}

/// Addresses of each node of the cluster that announces itself here, if it is one alone.
async fn announced() -> Result<Vec<Vec<String>>, Error> {
    let discovery =
        Discovery::start(None).map_err(|error| Error::new("CLUSTER_UNREACHABLE", error.to_string()))?;
    tokio::time::sleep(LISTENED).await;
    let seen = discovery.seen();
    let clusters: std::collections::BTreeSet<&str> =
        seen.iter().map(|found| found.cluster.as_str()).collect();
    match clusters.len() {
        0 => Err(nobody()),
        1 => Ok(seen.iter().map(|found| found.addresses.iter().map(ToString::to_string).collect()).collect()),
        _ => Err(Error::invalid(format!(
            "several clusters announce themselves; name a node with --peer: {}",
            names(&seen)
        ))),
    }
}

fn names(seen: &[Announcement]) -> String {
    let each = seen.iter().map(|found| {
        let address = found.addresses.first().map_or_else(String::new, ToString::to_string);
        format!("{} at {address}", found.name)
    });
    each.collect::<Vec<_>>().join(", ")
}

async fn status(args: &ClusterStatus) -> Result<(), Error> {
    let client = connect(args.server.named_or_here(), TIMEOUT).await?;
    let status = client.cluster_status(TIMEOUT).await?;
    if args.json {
        return line(&as_json(&status).to_string());
    }
    if status.cluster.is_empty() {
        return line("This node is in no cluster. Make one with: understudy cluster init");
    }
    let rows = status.nodes.iter().map(|node| {
        let models: Vec<&str> = node
            .models
            .iter()
            .filter(|model| model.state == "ready")
            .map(|model| model.model.as_str())
            .collect();
        vec![
            node.name.clone(),
            node.node.clone(),
            if node.draining { "draining".to_owned() } else { node.state.clone() },
            node.addresses.first().cloned().unwrap_or_default(),
            if node.round_trip_us > 0 {
                format!("{:.2} ms", node.round_trip_us as f64 / 1e3)
            } else {
                "-".into()
            },
            node.device.clone(),
            bytes(node.free_bytes),
            format!("{}+{}", node.running, node.waiting),
            if models.is_empty() { "-".to_owned() } else { models.join(",") },
            node.detail.clone(),
        ]
    });
    let header =
        ["NAME", "NODE", "STATE", "ADDRESS", "ROUND TRIP", "DEVICE", "FREE", "REQUESTS", "READY", "DETAIL"];
    line(&format!("cluster {:?}\n{}", status.cluster, table(&header, rows)))
}

fn as_json(status: &ClusterStatusResponse) -> Value {
    let nodes: Vec<Value> = status.nodes.iter().map(node_json).collect();
    json!({"cluster": status.cluster, "nodes": nodes})
}

fn node_json(node: &NodeStatus) -> Value {
    let models: Vec<Value> = node
        .models
        .iter()
        .map(|model| {
            json!({
                "model": model.model, "state": model.state, "digest": model.digest, "active": model.active,
                "waiting": model.waiting, "decode_tok_s": model.decode_tok_s,
            })
        })
        .collect();
    json!({
        "node": node.node, "fingerprint": node.fingerprint, "name": node.name, "state": node.state,
        "detail": node.detail, "generation": node.generation, "addresses": node.addresses,
        "round_trip_us": node.round_trip_us, "version": node.version, "device": node.device,
        "free_bytes": node.free_bytes, "running": node.running, "waiting": node.waiting,
        "draining": node.draining, "models": models,
    })
}

async fn revoke(args: &ClusterRevoke) -> Result<(), Error> {
    let (files, _) = settings(&args.node)?;
    let key = match args.target.parse::<Fingerprint>() {
        Ok(key) => key,
        Err(_) => known(args).await?,
    };
    if files.open()?.key.fingerprint() == key {
        return Err(Error::invalid("this is the node here; it leaves with `understudy cluster leave`"));
    }
    let denial = files.revoke(key, &args.reason, &SystemClock)?;
    line(&format!("node {} is turned out; the others learn of it as they hear from this one", denial.node()))
}

/// The fingerprint of a node that the running one knows.
async fn known(args: &ClusterRevoke) -> Result<Fingerprint, Error> {
    let client = connect(args.server.named_or_here(), TIMEOUT).await?;
    let nodes = client.cluster_status(TIMEOUT).await?.nodes;
    let is_meant = |node: &&NodeStatus| node.node == args.target || node.name == args.target;
    let meant: Vec<&NodeStatus> = nodes.iter().filter(is_meant).collect();
    match meant.as_slice() {
        [one] => one.fingerprint.parse().map_err(|error| Error::internal(format!("{error}"))),
        [] => Err(Error::invalid(format!(
            "no node is called {:?}; `understudy cluster status` lists them",
            args.target
        ))),
        _ => Err(Error::invalid(format!("several nodes are called {:?}: say which by its id", args.target))),
    }
}

fn leave(node: &ClusterOf) -> Result<(), Error> {
    let (files, _) = settings(node)?;
    let left = files.leave()?;
    line("left the cluster; its keys are removed from this machine")?;
    if left.had_authority {
        tracing::warn!(
            "the cluster's authority was here: unless another node has it, nobody can be invited or revoked any more"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_may_be_named_without_a_port() {
        for (said, meant) in [
            ("studio", "studio:7863"),
            ("studio:1", "studio:1"),
            ("10.0.0.7", "10.0.0.7:7863"),
            ("10.0.0.7:99", "10.0.0.7:99"),
            ("fd00::1", "[fd00::1]:7863"),
            ("[fd00::1]", "[fd00::1]:7863"),
            ("[fd00::1]:99", "[fd00::1]:99"),
        ] {
            assert_eq!(with_port(said), meant);
        }
    }

    #[test]
    fn a_cluster_is_made_for_a_node_of_this_machine_only() {
        for here in ["127.0.0.1:7861", "localhost:7861", "[::1]:7861", "localhost", "https://localhost:7861/"]
        {
            assert!(is_here(here), "{here}");
        }
        for elsewhere in
            ["10.0.0.7:7861", "studio:7861", "[fd00::1]:7861", "https://studio:7861", "two words"]
        {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
