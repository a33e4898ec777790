//! Sockets and what is served on them.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::pb::health_server::{Health, HealthServer};
use understudy_proto::v1::{inference_server::InferenceServer, models_server::ModelsServer};

use crate::{Failure, Inference, Models, codes, config::NodeConfig, web};

/// Largest request message. A prompt of 1 MiB over the context must reach the router, whose
/// refusal says how long it may be; the transport's would not.
pub const LARGEST_REQUEST_BYTES: usize = (4 << 20) + (64 << 10);

/// How long connections get to close after the last request ended. A peer that never
/// finished its handshake would otherwise hold the node up for ever.
const LAST_GOODBYE: Duration = Duration::from_secs(1);

/// Where a node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
}

/// Both sockets, bound.
pub(crate) struct Sockets {
    grpc: TcpListener,
    http: TcpListener,
    pub(crate) addresses: Addresses,
}

impl Sockets {
    /// # Errors
    /// `ADDR_IN_USE`, `ADDR_UNUSABLE`.
    pub(crate) async fn bind(config: &NodeConfig) -> Result<Self, Failure> {
        let (grpc, grpc_addr) = bind("listen.grpc", config.listen.grpc).await?;
        let (http, http_addr) = bind("listen.http", config.listen.http).await?;
        Ok(Self { grpc, http, addresses: Addresses { grpc: grpc_addr, http: http_addr } })
    }
}

async fn bind(setting: &'static str, addr: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let bound = async {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok::<_, io::Error>((listener, addr))
    };
    bound.await.map_err(|error| {
        let (code, what) = match error.kind() {
            io::ErrorKind::AddrInUse => (codes::ADDR_IN_USE, format!("{addr} ({setting}) is in use")),
            _ => (codes::ADDR_UNUSABLE, format!("cannot listen at {addr} ({setting}): {error}")),
        };
        Failure::new(code, what).with("address", addr).with("setting", setting)
    })
}

/// The servers of a node, running.
pub(crate) struct Servers {
    pub(crate) addresses: Addresses,
    stop: CancellationToken,
    grpc: JoinHandle<()>,
    http: JoinHandle<()>,
}

impl Servers {
    pub(crate) fn start(
        sockets: Sockets,
        config: &NodeConfig,
        services: (Inference, Models),
        health: HealthServer<impl Health>,
        pages: axum::Router,
    ) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let keepalive = config.timeouts.keepalive();
        let routes = grpc_routes(services, health)?;
        let incoming =
            TcpIncoming::from(sockets.grpc).with_nodelay(Some(true)).with_keepalive(Some(keepalive));
        let grpc_routes = routes.clone();
        let grpc = Server::builder()
            .max_concurrent_streams(config.limits.streams_per_connection)
            .http2_keepalive_interval(Some(keepalive))
            .http2_keepalive_timeout(Some(keepalive))
            .add_routes(grpc_routes)
            .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        let http = axum::serve(sockets.http, pages.merge(web::routes(routes)))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        Ok(Self {
            addresses: sockets.addresses,
            grpc: tokio::spawn(async move { log_end("grpc", grpc.await) }),
            http: tokio::spawn(async move { log_end("http", http.await) }),
            stop,
        })
    }

    /// Closes the sockets; every request has ended before.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for mut server in [self.grpc, self.http] {
            if tokio::time::timeout(LAST_GOODBYE, &mut server).await.is_err() {
                server.abort();
            }
        }
    }
}

fn log_end(server: &str, end: Result<(), impl std::fmt::Display>) {
    match end {
        Ok(()) => tracing::info!(server, "server stopped"),
        Err(error) => tracing::error!(server, %error, "server failed"),
    }
}

fn grpc_routes(
    (inference, models): (Inference, Models),
    health: HealthServer<impl Health>,
) -> Result<Routes, Failure> {
    let reflected = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(understudy_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Either version of reflection tells of both.
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
    };
    let defect = |error| Failure::new(codes::INTERNAL, format!("the protos cannot be reflected: {error}"));
    Ok(Routes::new(InferenceServer::new(inference).max_decoding_message_size(LARGEST_REQUEST_BYTES))
        .add_service(ModelsServer::new(models))
        .add_service(health)
        .add_service(reflected().build_v1().map_err(defect)?)
        .add_service(reflected().build_v1alpha().map_err(defect)?))
}
