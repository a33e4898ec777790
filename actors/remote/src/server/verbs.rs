//! Each verb: from its message to a backend and back.

use std::pin::Pin;
use std::time::Instant;

use futures::Stream;
use tonic::{Request, Response, Status, Streaming};
use understudy_backend::{BackendError, OpenRequest};
use understudy_engine::EngineError;
use understudy_proto::node::v1::{self, verbs_server::Verbs};

use super::{VerbService, finding, micros, peer_of, running, told};
use crate::wire::{count, request, result};

/// Longest draft that a peer may ask for; the longest that is any use is much shorter.
const LONGEST_DRAFT: usize = 1024;

/// Messages of a server stream.
type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Verbs for VerbService {
    type FindStream = Outgoing<v1::FindResponse>;
    type CodecStream = Outgoing<v1::CodecResponse>;
    type RunStream = Outgoing<v1::RunResponse>;

    async fn find(&self, request: Request<v1::FindRequest>) -> Result<Response<Self::FindStream>, Status> {
        peer_of(&request)?;
        let v1::FindRequest { context, model } = request.into_inner();
        told(finding::find(self.0.clone(), context, model)).map(|found| Response::new(Box::pin(found) as _))
    }

    async fn codec(&self, request: Request<v1::CodecRequest>) -> Result<Response<Self::CodecStream>, Status> {
        peer_of(&request)?;
        let v1::CodecRequest { context, model } = request.into_inner();
        let chunks = told(finding::codec(&self.0, context, model).await)?;
        Ok(Response::new(Box::pin(chunks)))
    }

    async fn open(&self, request: Request<v1::OpenRequest>) -> Result<Response<v1::OpenResponse>, Status> {
        let (began, peer) = (Instant::now(), peer_of(&request)?);
        let request = request.into_inner();
        let model = request.model.as_ref().map(|model| model.name.as_str()).unwrap_or_default();
        let place = told(self.0.table.admit(peer, request.seq, model))?;
        let ctx = told(request::ctx_of(request.context, place.life()))?;
        let sampler = told(request::sampler_of(request.sampler))?;
        let opening = async {
            let backend = self.0.model(&ctx, request.model).await?;
            let gate = match request.gate {
                None => None,
                Some(gate) => Some(self.0.gate(&ctx, gate, &request.prompt, backend.as_ref()).await?),
            };
            let opened = backend.open(&ctx, OpenRequest { prompt: request.prompt, sampler, gate }).await?;
            Ok((backend, opened))
        };
        let (backend, opened) = told(opening.await.map_err(|error: BackendError| place.ended(error)))?;
        let pace = Some(result::pace(backend.pace()));
        told(place.opened(backend, opened.seq))?;
        let cached = opened.cached as u64;
        Ok(Response::new(v1::OpenResponse { cached, pace, served_us: micros(began) }))
    }

    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ExtendResponse>, Status> {
        let peer = peer_of(&request)?;
        let v1::ExtendRequest { context, seq, at, ids } = request.into_inner();
        let work = told(self.0.work(peer, seq, context))?;
        let len = work.told(work.held.backend.extend(&work.ctx, work.held.seq, count(at), ids).await)?;
        Ok(Response::new(v1::ExtendResponse { len: len as u64 }))
    }

    async fn run(
        &self,
        request: Request<Streaming<v1::RunRequest>>,
    ) -> Result<Response<Self::RunStream>, Status> {
        let peer = peer_of(&request)?;
        let steps = running::run(self.0.clone(), peer, request.into_inner()).await?;
        Ok(Response::new(Box::pin(steps)))
    }

    async fn propose(
        &self,
        request: Request<v1::ProposeRequest>,
    ) -> Result<Response<v1::ProposeResponse>, Status> {
        let (began, peer) = (Instant::now(), peer_of(&request)?);
        let v1::ProposeRequest { context, seq, at, k } = request.into_inner();
        let work = told(self.0.work(peer, seq, context))?;
        let k = count(k);
        if k > LONGEST_DRAFT {
            let why = format!("a draft of {k} tokens is longer than {LONGEST_DRAFT}");
            return told(Err(EngineError::InvalidArgument(why)));
        }
        let drafted = work.held.backend.propose(&work.ctx, work.held.seq, count(at), k).await;
        let (draft, cost) = work.told(drafted)?;
        Ok(Response::new(v1::ProposeResponse {
            draft: Some(request::draft(draft)),
            cost: Some(result::cost(cost)),
            pace: Some(result::pace(work.held.backend.pace())),
            served_us: micros(began),
        }))
    }

    async fn verify(
        &self,
        request: Request<v1::VerifyRequest>,
    ) -> Result<Response<v1::VerifyResponse>, Status> {
        let (began, peer) = (Instant::now(), peer_of(&request)?);
        let mut request = request.into_inner();
        let work = told(self.0.work(peer, request.seq, request.context.take()))?;
        let at = count(request.at);
        let spec = told(request::verify_spec(request))?;
        let verified = work.held.backend.verify(&work.ctx, work.held.seq, at, spec).await;
        let (verified, cost) = work.told(verified)?;
        let pace = work.held.backend.pace();
        Ok(Response::new(result::verified(verified, cost, pace, micros(began))))
    }

    async fn truncate(
        &self,
        request: Request<v1::TruncateRequest>,
    ) -> Result<Response<v1::TruncateResponse>, Status> {
        let peer = peer_of(&request)?;
        let v1::TruncateRequest { context, seq, len } = request.into_inner();
        let work = told(self.0.work(peer, seq, context))?;
        let len = work.told(work.held.backend.truncate(&work.ctx, work.held.seq, count(len)).await)?;
        Ok(Response::new(v1::TruncateResponse { len: len as u64 }))
    }

    async fn fork(&self, request: Request<v1::ForkRequest>) -> Result<Response<v1::ForkResponse>, Status> {
        let peer = peer_of(&request)?;
        let v1::ForkRequest { context, seq, lane, copy } = request.into_inner();
        let work = told(self.0.work(peer, seq, None))?;
        let backend = work.held.backend.clone();
        // The copy lives longer than this verb, and than the original.
        let place = told(self.0.table.admit(peer, copy, &backend.card().name))?;
        let ctx = told(request::ctx_of(context, place.life()))?;
        let copied = backend.fork(&ctx, work.held.seq, lane).await.map_err(|error| place.ended(error));
        let copied = work.told(copied)?;
        told(place.opened(backend, copied))?;
        Ok(Response::new(v1::ForkResponse {}))
    }

    async fn score(&self, request: Request<v1::ScoreRequest>) -> Result<Response<v1::ScoreResponse>, Status> {
        let peer = peer_of(&request)?;
        let v1::ScoreRequest { context, seq, candidates } = request.into_inner();
        let work = told(self.0.work(peer, seq, context))?;
        let candidates = candidates.into_iter().map(|tokens| tokens.ids).collect();
        let scored = work.held.backend.score(&work.ctx, work.held.seq, candidates).await;
        let (scores, cost) = work.told(scored)?;
        Ok(Response::new(v1::ScoreResponse { scores, cost: Some(result::cost(cost)) }))
    }

    async fn embed(&self, request: Request<v1::EmbedRequest>) -> Result<Response<v1::EmbedResponse>, Status> {
        peer_of(&request)?;
        let v1::EmbedRequest { context, model, ids } = request.into_inner();
        let cancel = tokio_util::sync::CancellationToken::new();
        let ctx = told(request::ctx_of(context, cancel.clone()))?;
        let _dropped = cancel.drop_guard();
        let backend = told(self.0.model(&ctx, model).await)?;
        let (vector, cost) = told(backend.embed(&ctx, ids).await)?;
        Ok(Response::new(v1::EmbedResponse { vector, cost: Some(result::cost(cost)) }))
    }

    async fn close(&self, request: Request<v1::CloseRequest>) -> Result<Response<v1::CloseResponse>, Status> {
        let peer = peer_of(&request)?;
        request.into_inner().seqs.into_iter().for_each(|seq| self.0.table.close(peer, seq));
        Ok(Response::new(v1::CloseResponse {}))
    }
}
