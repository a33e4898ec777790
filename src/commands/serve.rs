//! `understudy serve`: a node until it is told to stop.

use understudy_actors::health::HealthSignal;
use understudy_gateway::NodeConfig;

use crate::cli::Serve;
use crate::error::Error;
use crate::render::line;
use crate::source;

pub async fn run(args: Serve) -> Result<(), Error> {
    let mut config = match &args.config {
        Some(file) => NodeConfig::load(file)?,
        None => NodeConfig::default(),
    };
    config.listen.grpc = args.grpc.unwrap_or(config.listen.grpc);
    config.listen.http = args.http.unwrap_or(config.listen.http);
    config.listen.insecure |= args.insecure;
    // Each connection is a file; service managers often allow few unless asked.
    understudy_gateway::raise_file_limit();
    let node = source::start(config).await?;
    let addresses = node.serve(understudy_http::routes(&node)).await?;
    line(&format!("ready grpc={} http={}", addresses.grpc, addresses.http))?;
    let mut health = node.health();
    let asked_to_leave = health.wait_for(|signal| matches!(signal, HealthSignal::DrainAndExit { .. }));
    let why = tokio::select! {
        signal = stop_signal() => signal,
        left = asked_to_leave => match left {
            Ok(_) => "too many hung engines".to_owned(),
            Err(_) => "the node ended".to_owned(),
        },
    };
    tracing::info!(why, "draining");
    let cut = node.drain().await;
    match why.starts_with("too many") {
        // The service manager starts a fresh process.
        true => Err(Error::internal(format!("{why}: {cut} requests were cut off"))),
        false => Ok(()),
    }
}

/// SIGTERM or Ctrl-C.
async fn stop_signal() -> String {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return "SIGTERM".to_owned(),
                _ = tokio::signal::ctrl_c() => return "Ctrl-C".to_owned(),
            }
        }
    }
    // Without a signal handler the node runs until it is killed.
    match tokio::signal::ctrl_c().await {
        Ok(()) => "Ctrl-C".to_owned(),
        Err(_) => std::future::pending().await,
    }
}
