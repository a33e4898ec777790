//! The same services for browsers: gRPC-web beside the pages, on the HTTP socket.

use axum::Router;
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use tower::Layer as _;
use understudy_proto::names;

/// Calls of our services and of health. Streams of the caller need HTTP/2 and gRPC proper: a browser cannot send them.
pub(crate) fn routes(services: Routes) -> Router {
    let services = GrpcWebLayer::new().layer(services);
    let names = [names::INFERENCE_SERVICE, names::MODELS_SERVICE, "grpc.health.v1.Health"];
    names.iter().fold(Router::new(), |routes, name| {
        routes.route_service(&format!("/{name}/{{method}}"), services.clone())
    })
}
