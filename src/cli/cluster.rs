//! `cluster`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Server;

/// What to do with this machine's part in a cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make a cluster with this node as its first member.
    Init(ClusterInit),
    /// Show a code with which another node joins, for ten minutes and once.
    Invite(ClusterInvite),
    /// Join a cluster with a code that one of its nodes shows.
    Join(ClusterJoin),
    /// The nodes, as this one sees them.
    Status(ClusterStatus),
    /// Turn a node out: no other takes it for a member any more.
    Revoke(ClusterRevoke),
    /// Leave the cluster, and forget its keys.
    Leave(ClusterOf),
}

/// `cluster init`.
#[derive(Debug, Args)]
pub struct ClusterInit {
    /// What people call the cluster.
    #[arg(long, default_value = "home")]
    pub name: String,
    /// Of which node.
    #[command(flatten)]
    pub node: ClusterOf,
}

/// `cluster invite`.
#[derive(Debug, Args)]
pub struct ClusterInvite {
    /// The node that joins gets the cluster's authority too: it can then invite and revoke by itself.
    #[arg(long)]
    pub with_authority: bool,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
    /// The node that invites; it must run.
    #[command(flatten)]
    pub server: Server,
    /// Of which node.
    #[command(flatten)]
    pub node: ClusterOf,
}

/// `cluster join`.
#[derive(Debug, Args)]
pub struct ClusterJoin {
    /// The code, such as K7QF2-M9XTB. Without it the command asks for it.
    pub code: Option<String>,
    /// The node that shows it. Default: whoever announces a cluster on this network.
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: Option<String>,
    /// Of which node.
    #[command(flatten)]
    pub node: ClusterOf,
}

/// `cluster status`.
#[derive(Debug, Args)]
pub struct ClusterStatus {
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
    /// Which node to ask.
    #[command(flatten)]
    pub server: Server,
}

/// `cluster revoke`.
#[derive(Debug, Args)]
pub struct ClusterRevoke {
    /// The node's id, name, or fingerprint.
    pub target: String,
    /// Why, for people.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// The node that knows it; not needed with a fingerprint.
    #[command(flatten)]
    pub server: Server,
    /// Of which node.
    #[command(flatten)]
    pub node: ClusterOf,
}

/// Whose part in a cluster.
#[derive(Debug, Args)]
pub struct ClusterOf {
    /// Of the node with these settings; they may name its home folder.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}
