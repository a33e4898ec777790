//! What a node tells of itself: to Prometheus, to a collector, and in the files of `deploy/`.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

mod collector;
#[path = "../common/mod.rs"]
mod common;
mod deploy;
mod exporters;
mod labels;
mod prometheus;
mod scrape;
mod traces;

use understudy_backend::RequestCtx;
use understudy_gateway::{Failure, Node};
use understudy_proto::v1::{Finished, GenerateRequest, generate_event::Event};

/// An answer inside this process, to its end.
async fn answer(node: &Node, ctx: RequestCtx, request: GenerateRequest) -> Result<Finished, Failure> {
    let mut answer = node.inference().generate(ctx, request).await?;
    while let Some(event) = answer.next().await {
        if let Some(Event::Finished(end)) = event?.event {
            return Ok(end);
        }
    }
    panic!("the answer ended without its last event")
}
