//! What a node serves over HTTP besides health.

use axum::Router;
use understudy_gateway::Node;

/// Everything that `node` serves over HTTP besides health.
pub fn routes(_node: &Node) -> Router {
    Router::new()
}
