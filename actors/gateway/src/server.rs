//! The two servers: what is served where, and how they stop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};
use understudy_listener::{Closing, accept, bound, socket};
use understudy_proto::v1::{
    cluster_server::ClusterServer, inference_server::InferenceServer, models_server::ModelsServer,
};

use crate::{
    ClusterService, Failure, Inference, Models, Telemetry, codes,
    config::NodeConfig,
    door::Door,
    keys::Keyring,
    listener::{ConnectionCounts, Peer, Rules, connection, exposure, tls::Certificates},
    pages::Pages,
    web,
};

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

/// Both sockets, bound, and the certificates for them.
pub(crate) struct Sockets {
    grpc: TcpListener,
    http: TcpListener,
    certificates: Option<Arc<Certificates>>,
    pub(crate) addresses: Addresses,
}

impl Sockets {
    /// # Errors
    /// `LISTEN_EXPOSED`, `CONFIG_INVALID` for certificates that cannot be used, `ADDR_IN_USE`, `ADDR_UNUSABLE`.
    pub(crate) async fn bind(config: &NodeConfig, keys: &Keyring) -> Result<Self, Failure> {
        exposure::check(config, !keys.is_open())?;
        let certificates = config.tls.as_ref().map(Certificates::load).transpose()?.map(Arc::new);
        let (grpc, grpc_addr) = bind("listen.grpc", config.listen.grpc).await?;
        let (http, http_addr) = bind("listen.http", config.listen.http).await?;
        Ok(Self { grpc, http, certificates, addresses: Addresses { grpc: grpc_addr, http: http_addr } })
    }
}

async fn bind(setting: &'static str, addr: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let bound = async {
        let listener = socket::listen(addr)?;
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
    rules: Arc<Rules>,
    closing: Closing,
    /// The two loops, and whatever looks at files for them.
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Servers {
    pub(crate) fn start(
        sockets: Sockets,
        config: &NodeConfig,
        keys: Keyring,
        services: (Inference, Models, Option<ClusterService>),
        health: HealthServer<impl Health>,
        telemetry: Telemetry,
        pages: Pages,
    ) -> Result<Self, Failure> {
        let closing = Closing::default();
        let rules = Arc::new(Rules::new(config, sockets.certificates.clone()));
        let door = Arc::new(Door::new(&config.listen, keys.clone(), telemetry, pages.words));
        let routes = grpc_routes(services, health)?;
        let pages = door.clone().before(pages.router.merge(web::routes(routes.clone())));
        let calls = door.before(routes.prepare().into_axum_router());
        let mut tasks = vec![
            bound(serve(sockets.grpc, rules.clone(), calls, closing.clone())),
            bound(serve(sockets.http, rules.clone(), pages, closing.clone())),
            bound(keys.follow()),
        ];
        tasks.extend(sockets.certificates.map(|certificates| bound(certificates.follow())));
        Ok(Self { addresses: sockets.addresses, rules, closing, _tasks: tasks })
    }

    pub(crate) fn connections(&self) -> ConnectionCounts {
        self.rules.counts()
    }

    /// Closes the sockets; every request has ended before.
    pub(crate) async fn stop(self) {
        self.closing.close(LAST_GOODBYE).await;
    }
}

/// Takes the connections of a socket until the node closes.
async fn serve(socket: TcpListener, rules: Arc<Rules>, pages: axum::Router, closing: Closing) {
    let connection = |stream, addr| {
        connection::serve(stream, Peer { addr, name: None }, rules.clone(), pages.clone(), closing.clone())
    };
    accept(socket, rules.connections.clone(), closing.clone(), connection).await;
}

fn grpc_routes(
    (inference, models, cluster): (Inference, Models, Option<ClusterService>),
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
    let mut routes =
        Routes::new(InferenceServer::new(inference).max_decoding_message_size(LARGEST_REQUEST_BYTES))
            .add_service(ModelsServer::new(models));
    if let Some(cluster) = cluster {
        routes = routes.add_service(ClusterServer::new(cluster));
    }
    Ok(routes
        .add_service(health)
        .add_service(reflected().build_v1().map_err(defect)?)
        .add_service(reflected().build_v1alpha().map_err(defect)?))
}
