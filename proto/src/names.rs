//! Words that both ends of the wire must spell the same.

/// Domain of every `google.rpc.ErrorInfo` of a node.
pub const ERROR_DOMAIN: &str = "understudy";

/// Metadata: the caller's name for a request, where the message has no field for it.
pub const REQUEST_ID_METADATA: &str = "x-request-id";

/// Metadata: the protocol version that a client speaks, a decimal number.
pub const PROTOCOL_METADATA: &str = "understudy-protocol";

/// Metadata of an answer: how long the request waited for a place, in microseconds.
pub const QUEUED_METADATA: &str = "understudy-queued-us";

/// Metadata: W3C trace context, passed on unread.
pub const TRACEPARENT_METADATA: &str = "traceparent";

/// Fully qualified name of the service that answers.
pub const INFERENCE_SERVICE: &str = "understudy.v1.Inference";

/// Fully qualified name of the service that loads models.
pub const MODELS_SERVICE: &str = "understudy.v1.Models";

/// Fully qualified name of the service that tells of a cluster's nodes.
pub const CLUSTER_SERVICE: &str = "understudy.v1.Cluster";

/// Fully qualified name of the service of links between nodes.
pub const PEERS_SERVICE: &str = "understudy.node.v1.Peers";

/// Fully qualified name of the service that a node's peers call.
pub const VERBS_SERVICE: &str = "understudy.node.v1.Verbs";

/// The name under which `grpc.health.v1` knows a model: serving means loaded and ready.
///
/// ```
/// assert_eq!(understudy_proto::names::model_health("small"), "models/small");
/// ```
pub fn model_health(model: &str) -> String {
    format!("models/{model}")
}
