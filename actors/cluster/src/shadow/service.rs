//! What other nodes note here, and ask for.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};
use understudy_proto::node::v1::{
    NoteRequest, NoteResponse, RecallRequest, RecallResponse,
    shadows_server::{Shadows, ShadowsServer},
};

use super::{
    LARGEST_NOTE, Shadow,
    store::{Recalled, Source},
};
use crate::port::peers::peer;

/// The service. The port lets members in only, and a member is believed: it knows its own callers' requests anyway.
pub(crate) struct ShadowService(Arc<Shadow>);

impl ShadowService {
    pub(crate) fn server(shadow: Arc<Shadow>) -> ShadowsServer<Self> {
        ShadowsServer::new(Self(shadow)).max_decoding_message_size(LARGEST_NOTE)
    }
}

#[tonic::async_trait]
impl Shadows for ShadowService {
    async fn note(&self, request: Request<Streaming<NoteRequest>>) -> Result<Response<NoteResponse>, Status> {
        let gateway = peer(&request)?;
        let notes = Notes { shadow: self.0.clone(), source: self.0.next_source() };
        tracing::debug!(node = %gateway.node(), "requests are noted here");
        let mut stream = request.into_inner();
        while let Some(note) = stream.message().await? {
            notes.shadow.take(notes.source, note);
        }
        Ok(Response::new(NoteResponse {}))
    }

    async fn recall(&self, request: Request<RecallRequest>) -> Result<Response<RecallResponse>, Status> {
        peer(&request)?;
        let found = self.0.own(request.get_ref()).ok_or_else(|| Status::not_found("no such request"))?;
        let Recalled { request, sequence, text } = found;
        Ok(Response::new(RecallResponse { request, sequence, text }))
    }
}

/// A stream of notes. However it ends, its requests run without their gateway from then on, as far as is known here.
struct Notes {
    shadow: Arc<Shadow>,
    source: Source,
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.shadow.store().source_gone(self.shadow.now(), self.source);
    }
}
