//! A node's part in its cluster, while it is a member.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;
use understudy_identity::{ClusterFiles, Invites};
use understudy_listener::{Closing, Places, accept, bound, socket};
use understudy_membership::{Address, ClusterId, Detector, Fingerprint, Identity, MembershipConfig, NodeId};
use understudy_proto::node::v1::peers_server::PeersServer;
use understudy_remote::VerbService;

use crate::{
    ClusterConfig, ClusterError, ClusterParts,
    agent::{Agent, WISHES, Wish},
    dial::Dialler,
    link::{
        EVENTS, LARGEST_MESSAGE,
        inbound::{Greeter, LinkIds},
        messages::PROTOCOLS,
    },
    losses::Losses,
    port::{
        CONNECTIONS, Port,
        peers::{PeerService, Preparations},
    },
    remotes::Peers,
    renewal,
    shadow::{
        Shadow,
        noting::{Notebook, Noting},
        service::ShadowService,
    },
    standing::Standing,
    surroundings::{Surroundings, Whereabouts, discovered},
    view::ClusterView,
};

/// How long the last messages and connections get when the node leaves or stops.
const LAST_GOODBYE: Duration = Duration::from_secs(1);

/// A member at work. Dropping it ends everything at once; [`stop`](Self::stop) says goodbye first.
pub(crate) struct Running {
    pub(crate) cluster: String,
    /// The key with which it is a member.
    pub(crate) key: understudy_identity::Fingerprint,
    /// What it says of itself, which has where it is reached now.
    pub(crate) hello: watch::Receiver<Identity>,
    pub(crate) has_authority: bool,
    pub(crate) invites: Arc<Invites>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) shadow: Arc<Shadow>,
    pub(crate) notebook: Notebook,
    /// The models of this process, as peers use them.
    pub(crate) verbs: VerbService,
    wishes: mpsc::Sender<Wish>,
    closing: Closing,
    /// The agent, the port, the files, the certificate and the notes.
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Running {
    pub(crate) async fn start(
        files: ClusterFiles,
        config: &ClusterConfig,
        parts: &ClusterParts,
    ) -> Result<Self, ClusterError> {
        let clock = parts.clock.clone();
        let standing = Arc::new(Standing::open(files.clone(), clock.clone())?);
        let generation = files.next_generation(&*clock)?;
        let listen = |source| ClusterError::Listen { address: config.listen, source };
        let port = socket::listen(config.listen).map_err(listen)?;
        let bound_at = port.local_addr().map_err(listen)?;
        let whereabouts = Whereabouts::find(config, bound_at)?;
        let me = identity(&standing, config, whereabouts.known(), generation)?;
        let known = known_peers(config, &standing)?;

        let dialler = Arc::new(Dialler { standing: standing.clone() });
        let verbs = VerbService::new(parts.local.clone(), parts.constraints.clone(), parts.limits.clone());
        let (sender, events) = mpsc::channel(EVENTS);
        let (wishes, wished) = mpsc::channel(WISHES);
        let (view, seen) = watch::channel(Arc::new(ClusterView::default()));
        let (hello, said) = watch::channel(me.clone());
        let (denied, denials) = watch::channel(0);
        let (ids, losses) = (Arc::new(LinkIds::default()), Losses::default());
        let service = PeerService {
            greeter: Greeter { ids: ids.clone(), events: sender.clone(), hello: said.clone() },
            standing: standing.clone(),
            local: parts.local.clone(),
            preparations: Preparations::default(),
            generation,
        };
        let service = PeersServer::new(service)
            .max_decoding_message_size(LARGEST_MESSAGE)
            .max_encoding_message_size(LARGEST_MESSAGE);
        let shadow = Arc::new(Shadow::new());
        let routes = Routes::new(service)
            .add_service(verbs.server())
            .add_service(ShadowService::server(shadow.clone()))
            .prepare()
            .into_axum_router();
        let invites = Arc::new(Invites::new(clock.clone()));
        let closing = Closing::default();
        let shared = Arc::new(Port {
            standing: standing.clone(),
            invites: invites.clone(),
            routes,
            handshakes: Port::handshakes(),
            denied: denials,
            closing: closing.clone(),
            hello: said.clone(),
        });
        let places = Places::new(CONNECTIONS.0, CONNECTIONS.1);
        let taking =
            accept(port, places, closing.clone(), move |stream, from| shared.clone().serve(stream, from));

        let agent = Agent {
            standing: standing.clone(),
            dialler: dialler.clone(),
            verbs: verbs.clone(),
            facts: parts.facts.clone(),
            ids,
            sender,
            events,
            wishes: wished,
            losses: losses.clone(),
            view,
            hello,
            denied,
        };
        let peers = Arc::new(Peers {
            dialler: dialler.clone(),
            view: seen.clone(),
            losses,
            codecs: parts.codecs.clone(),
            known: Mutex::new(HashMap::new()),
        });
        let (notebook, noting) = Noting::new(shadow.clone(), peers.clone());
        let surroundings = Surroundings {
            files,
            view: seen.clone(),
            wishes: wishes.clone(),
            whereabouts,
            discovery: if config.discovery { discovered(&me) } else { None },
            wants_discovery: config.discovery,
            me: me.clone(),
        };
        let me_text = me.node.to_string();
        let tasks = vec![
            bound(agent.run(membership_config(config, generation), me, known)),
            bound(taking),
            bound(surroundings.look_around()),
            bound(renewal::keep_valid(standing.clone(), dialler, seen)),
            bound(noting.run()),
        ];
        let cluster = standing.member.cluster_name.clone();
        let has_authority = standing.member.authority.is_some();
        tracing::info!(cluster, node = me_text, %bound_at, "this node takes part in its cluster");
        Ok(Self {
            cluster,
            key: standing.member.key.fingerprint(),
            hello: said,
            has_authority,
            invites,
            peers,
            shadow,
            notebook,
            verbs,
            wishes,
            closing,
            _tasks: tasks,
        })
    }

    /// Says goodbye to the others, if the node leaves for good, and closes the port.
    pub(crate) async fn stop(&self, leaves: bool) {
        if leaves {
            let left = async {
                let _ = self.wishes.send(Wish::Leave).await;
                let mut view = self.peers.view.clone();
                while view.changed().await.is_ok() {}
            };
            let _ = tokio::time::timeout(LAST_GOODBYE, left).await;
        }
        self.closing.close(LAST_GOODBYE).await;
    }

    /// The agent has ended, which it does not by itself.
    pub(crate) fn is_broken(&self) -> bool {
        self.peers.view.has_changed().is_err()
    }
}

fn identity(
    standing: &Standing,
    config: &ClusterConfig,
    addresses: &[String],
    generation: u64,
) -> Result<Identity, ClusterError> {
    let fingerprint = standing.member.key.fingerprint();
    Ok(Identity {
        node: NodeId(fingerprint.node().0),
        fingerprint: Fingerprint(*fingerprint.as_bytes()),
        generation,
        name: config.name(),
        addresses: read_all("cluster.advertise", addresses)?,
        protocol: PROTOCOLS,
        cluster: ClusterId(standing.member.authority_certificate.cluster().0),
    })
}

fn known_peers(config: &ClusterConfig, standing: &Standing) -> Result<Vec<Address>, ClusterError> {
    let mut known = read_all("cluster.peers", &config.peers)?;
    // Written by this program; one that cannot be read any more is not worth a refusal.
    known.extend(standing.member.peers.iter().filter_map(|text| Address::new(text).ok()));
    Ok(known)
}

fn read_all(setting: &'static str, texts: &[String]) -> Result<Vec<Address>, ClusterError> {
    let read = |text: &String| {
        Address::new(text).map_err(|source| ClusterError::Address { setting, text: text.clone(), source })
    };
    texts.iter().map(read).collect()
}

fn membership_config(config: &ClusterConfig, seed: u64) -> MembershipConfig {
    let uneven =
        Detector::Phi { suspect: 3.0, dead: 8.0, window: 100, min_deviation: Duration::from_millis(100) };
    let detector = if config.uneven_network { uneven } else { Detector::Fixed };
    MembershipConfig { detector, seed, ..MembershipConfig::default() }
}
