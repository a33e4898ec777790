//! Every call of a node.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use understudy_proto::{
    PROTOCOL_VERSION, names,
    v1::{
        ClusterStatusRequest, ClusterStatusResponse, EmbedRequest, EmbedResponse, FeedbackRequest,
        FeedbackResponse, GenerateEvent, GenerateRequest, InviteRequest, InviteResponse, ListModelsRequest,
        LoadModelRequest, ModelStatus, ResumeRequest, ScoreRequest, ScoreResponse, TokenizeRequest,
        TokenizeResponse, UnloadModelRequest, WatchModelsRequest, cluster_client::ClusterClient,
        inference_client::InferenceClient, models_client::ModelsClient,
    },
};

use crate::{ClientError, Events, Tls, error::root_cause};

/// How much longer than its deadline a stream is read: a node ends an answer *at* the
/// deadline and its last event, with the text so far, arrives a little later.
const GRACE: Duration = Duration::from_secs(2);

/// While a call runs, a node is pinged after this long without a frame, and given up when it says nothing for as long as
/// the second: a machine whose cores are all busy still answers in that time.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(5));

/// Answers to a message as long as a request may be come back from `Tokenize`.
const LARGEST_ANSWER_BYTES: usize = 32 << 20;

/// A connection to a node. Cheap to clone; clones share the connection, which is made
/// again when it breaks.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    /// `Bearer ...`, marked so that nothing prints it.
    key: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects to `HOST:PORT` (or `http://HOST:PORT`), or with TLS to `https://HOST:PORT`, trusting the public
    /// authorities.
    ///
    /// # Errors
    /// `SERVER_UNREACHABLE` when the address is malformed or nobody answers in time, `SERVER_UNTRUSTED` when the
    /// node's certificate is not trusted.
    pub async fn connect(addr: &str, timeout: Duration) -> Result<Self, ClientError> {
        Self::connect_with(addr, timeout, &Tls::default()).await
    }

    /// The same, trusting and showing what is said.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(addr: &str, timeout: Duration, tls: &Tls) -> Result<Self, ClientError> {
        let uri = if addr.contains("://") { addr.to_owned() } else { format!("http://{addr}") };
        let mut endpoint =
            Endpoint::from_shared(uri).map_err(|error| ClientError::unreachable(addr, error))?;
        if endpoint.uri().scheme_str() == Some("https") {
            let secured = endpoint.tls_config(tls.config());
            endpoint = secured.map_err(|error| ClientError::unreachable(addr, root_cause(&error)))?;
        }
        let endpoint = endpoint
            .connect_timeout(timeout)
            .http2_keep_alive_interval(KEEPALIVE.0)
            .keep_alive_timeout(KEEPALIVE.1)
            .tcp_nodelay(true);
        match tokio::time::timeout(timeout, endpoint.connect()).await {
            Ok(Ok(channel)) => Ok(Self { channel, key: None }),
            Ok(Err(error)) => Err(ClientError::refused(addr, &error)),
            Err(_) => {
                Err(ClientError::unreachable(addr, format!("nothing heard for {} ms", timeout.as_millis())))
            }
        }
    }

    /// The same client, which sends this API key with every call; `None` for a text that no header can hold.
    pub fn with_key(self, key: &str) -> Option<Self> {
        let mut key: MetadataValue<Ascii> = format!("Bearer {key}").parse().ok()?;
        key.set_sensitive(true);
        Some(Self { key: Some(key), ..self })
    }

    /// One answer. The node ends it at the deadline with the text so far.
    ///
    /// # Errors
    /// The node's refusal; errors after the first event arrive in the stream.
    pub async fn generate(
        &self,
        request: GenerateRequest,
        timeout: Duration,
    ) -> Result<Events<GenerateEvent>, ClientError> {
        let mut inference = self.inference();
        self.stream(request, timeout, async move |request| inference.generate(request).await).await
    }

    /// The rest of an answer whose node was lost, from another node of its cluster. [`Heard`](crate::Heard) makes the
    /// request.
    ///
    /// # Errors
    /// The node's refusal, `REQUEST_UNKNOWN` and `RESUME_GAP` among them.
    pub async fn resume(
        &self,
        request: ResumeRequest,
        timeout: Duration,
    ) -> Result<Events<GenerateEvent>, ClientError> {
        let mut inference = self.inference();
        self.stream(request, timeout, async move |request| inference.resume(request).await).await
    }

    /// A text as a vector.
    ///
    /// # Errors
    /// The node's refusal.
    pub async fn embed(
        &self,
        request: EmbedRequest,
        timeout: Duration,
    ) -> Result<EmbedResponse, ClientError> {
        unary(timeout, self.inference().embed(self.request(request, timeout))).await
    }

    /// Log-probabilities of candidate answers.
    ///
    /// # Errors
    /// The node's refusal.
    pub async fn score(
        &self,
        request: ScoreRequest,
        timeout: Duration,
    ) -> Result<ScoreResponse, ClientError> {
        unary(timeout, self.inference().score(self.request(request, timeout))).await
    }

    /// A text as token ids.
    ///
    /// # Errors
    /// The node's refusal.
    pub async fn tokenize(
        &self,
        request: TokenizeRequest,
        timeout: Duration,
    ) -> Result<TokenizeResponse, ClientError> {
        unary(timeout, self.inference().tokenize(self.request(request, timeout))).await
    }

    /// Says whether an answer was right, for the node's ledger.
    ///
    /// # Errors
    /// The node's refusal.
    pub async fn feedback(
        &self,
        request: FeedbackRequest,
        timeout: Duration,
    ) -> Result<FeedbackResponse, ClientError> {
        unary(timeout, self.inference().feedback(self.request(request, timeout))).await
    }

    /// Every model of the catalogue and every loaded slot.
    ///
    /// # Errors
    /// The node's refusal.
    pub async fn models(&self, timeout: Duration) -> Result<Vec<ModelStatus>, ClientError> {
        let listed =
            unary(timeout, self.models_client().list(self.request(ListModelsRequest {}, timeout))).await?;
        Ok(listed.models)
    }

    /// Loads a model; the last status is `ready`.
    ///
    /// # Errors
    /// The node's refusal; a failing load ends the stream with an error.
    pub async fn load(&self, model: &str, timeout: Duration) -> Result<Events<ModelStatus>, ClientError> {
        let mut models = self.models_client();
        let request = LoadModelRequest { model: model.to_owned() };
        self.stream(request, timeout, async move |request| models.load(request).await).await
    }

    /// Drains and unloads a model.
    ///
    /// # Errors
    /// The node's refusal.
    pub async fn unload(&self, model: &str, timeout: Duration) -> Result<ModelStatus, ClientError> {
        let request = UnloadModelRequest { model: model.to_owned() };
        unary(timeout, self.models_client().unload(self.request(request, timeout))).await
    }

    /// Every change of a model's state, starting with the present ones. Ends with
    /// `DEADLINE` after `timeout`.
    ///
    /// # Errors
    /// The node's refusal.
    pub async fn watch(&self, timeout: Duration) -> Result<Events<ModelStatus>, ClientError> {
        let mut models = self.models_client();
        self.stream(WatchModelsRequest {}, timeout, async move |request| models.watch(request).await).await
    }

    /// The nodes of the cluster as the node sees them, itself first.
    ///
    /// # Errors
    /// The node's refusal.
    pub async fn cluster_status(&self, timeout: Duration) -> Result<ClusterStatusResponse, ClientError> {
        let mut cluster = ClusterClient::new(self.channel.clone());
        unary(timeout, cluster.status(self.request(ClusterStatusRequest {}, timeout))).await
    }

    /// A code with which another node may join.
    ///
    /// # Errors
    /// The node's refusal, `CLUSTER_NONE` and `CLUSTER_AUTHORITY` among them.
    pub async fn invite(
        &self,
        with_authority: bool,
        timeout: Duration,
    ) -> Result<InviteResponse, ClientError> {
        let mut cluster = ClusterClient::new(self.channel.clone());
        unary(timeout, cluster.invite(self.request(InviteRequest { with_authority }, timeout))).await
    }

    /// Whether a service serves: `""` is the node, [`names::model_health`] a model.
    ///
    /// # Errors
    /// `CALL_UNKNOWN` or the status `NotFound` for a name that the node does not know.
    pub async fn is_serving(&self, service: &str, timeout: Duration) -> Result<bool, ClientError> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut health = HealthClient::new(self.channel.clone());
        let checked = unary(timeout, health.check(self.request(request, timeout))).await?;
        Ok(checked.status() == ServingStatus::Serving)
    }

    /// Names of the services that the node offers, from `grpc.reflection.v1`.
    ///
    /// # Errors
    /// `CALL_UNKNOWN` when the node has no reflection.
    pub async fn reflection_list(&self, timeout: Duration) -> Result<Vec<String>, ClientError> {
        let list = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut reflection = ServerReflectionClient::new(self.channel.clone());
        let work = async {
            let request = self.request(tokio_stream::once(list), timeout);
            let mut answers = reflection.server_reflection_info(request).await?.into_inner();
            Ok(Response::new(answers.message().await?))
        };
        match unary(timeout, work).await?.and_then(|answer| answer.message_response) {
            Some(MessageResponse::ListServicesResponse(list)) => {
                Ok(list.service.into_iter().map(|service| service.name).collect())
            }
            _ => Err(Status::unimplemented("the node's reflection lists no services").into()),
        }
    }

    /// The request with its deadline, our protocol and our key in the metadata.
    fn request<T>(&self, message: T, timeout: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        request.metadata_mut().insert(names::PROTOCOL_METADATA, MetadataValue::from(PROTOCOL_VERSION));
        if let Some(key) = &self.key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        request
    }

    fn inference(&self) -> InferenceClient<Channel> {
        InferenceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER_BYTES)
    }

    fn models_client(&self) -> ModelsClient<Channel> {
        ModelsClient::new(self.channel.clone())
    }

    async fn stream<Q, A>(
        &self,
        request: Q,
        timeout: Duration,
        call: impl AsyncFnOnce(Request<Q>) -> Result<Response<tonic::Streaming<A>>, Status>,
    ) -> Result<Events<A>, ClientError> {
        let until = Instant::now() + timeout + GRACE;
        let opened = call(self.request(request, timeout));
        match tokio::time::timeout_at(until, opened).await {
            Ok(opened) => Ok(Events::new(opened?.into_inner(), timeout, until)),
            Err(_) => Err(ClientError::too_late(timeout)),
        }
    }
}

/// Waits no longer than the timeout, whatever the transport does.
async fn unary<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(timeout + GRACE, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(ClientError::too_late(timeout)),
    }
}
