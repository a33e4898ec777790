//! What a node serves over HTTP besides health: the APIs of OpenAI and Ollama, and its status.
//!
//! Every dialect is a translation onto [`understudy_gateway::Inference`] and [`understudy_gateway::Models`]: the same
//! requests as over gRPC go in, the same events come out.
//!
//! | room | what it holds |
//! |---|---|
//! | `call`, `strict` | a call's body, context and caller; JSON that is read to the last field |
//! | `telling`, `finality`, `fan` | an answer as text that stays and calls of tools; several at once |
//! | `openai` | `/v1/*`: models, chat, completions, responses, embeddings |
//! | `ollama` | `/api/*` |
//! | `status`, `native` | `/understudy/status` and `/understudy/log`; our own events and accounts as JSON |
//! | `refusal` | refusals as responses, ours and those of the node's door |
//! | `console` | the page at `/`, a client of these |
//!
//! **Invariants.** What a request names and we do not do is refused by name, never ignored. Text that was sent is
//! never withdrawn, whatever the policy. A caller that leaves cancels its requests. Another tenant's response is as
//! good as none.
//!
//! ```no_run
//! # async fn serve(node: understudy_gateway::Node) -> Result<(), understudy_gateway::Failure> {
//! let addresses = node.serve(understudy_http::routes(&node)).await?;
//! println!("http://{}/v1/models", addresses.http);
//! # Ok(())
//! # }
//! ```

mod app;
mod call;
pub mod console;
mod fan;
mod finality;
mod ids;
mod native;
mod ollama;
mod openai;
mod refusal;
mod status;
mod strict;
mod telling;

use axum::{
    Router, middleware,
    routing::{get, put},
};
use understudy_gateway::{Node, Pages};

use app::App;

/// Everything that `node` serves over HTTP besides health.
pub fn routes(node: &Node) -> Pages {
    let app = App::of(node);
    let router = Router::new()
        .nest("/v1", openai::routes())
        .nest("/api", ollama::routes())
        .route("/understudy/status", get(status::status))
        .route("/understudy/log", put(status::set_log))
        .layer(middleware::from_fn(call::tell_trace))
        .with_state(app)
        .merge(console::routes());
    Pages { router, words: refusal::in_place_of }
}
