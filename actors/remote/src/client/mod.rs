//! The verbs of another node's models.

mod closing;
mod link;
mod running;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use understudy_backend::{
    Backend, BackendError, LoadEvent, ModelCard, NodeId, OpenRequest, Opened, Pace, RequestCtx, RunStream,
    SeqId,
};
use understudy_engine::codec::Codec;
use understudy_engine::verbs::{Cost, Draft, RunSpec, TokenId, Verified, VerifySpec};
use understudy_proto::node::v1::{self, find_response::Event, verbs_client::VerbsClient};

use crate::codecs::{CodecStore, MOST_HEAD_BYTES};
use crate::wire::{count, request, result};
use closing::Closer;
use link::{Kind, Link};

/// Another node, as its connection is known here. Cheap to clone.
#[derive(Clone)]
pub struct Peer {
    /// Which.
    pub node: NodeId,
    /// The connection; it may reconnect by itself.
    pub channel: Channel,
    /// Cancelled when the node is dead: everything that waits for it ends within milliseconds.
    pub lost: CancellationToken,
    /// Codecs of models that this node lacks.
    pub codecs: Arc<CodecStore>,
}

/// A [`Backend`] on another node.
///
/// No verb is tried twice, here or in the transport: who asked decides, by the lengths that verbs name. A verb whose
/// outcome is unknown fails with [`BackendError::EngineLost`].
pub struct RemoteBackend {
    card: ModelCard,
    codec: Arc<dyn Codec>,
    link: Link,
    closer: Closer,
}

impl RemoteBackend {
    /// Asks a node for a model, which loads it if need be, and for its codec if this node lacks it. `progress` may
    /// be dropped; events that do not fit are skipped.
    ///
    /// # Errors
    /// What the node says of the model; [`BackendError::Unavailable`] where its codec cannot be sent or is not what
    /// was announced; [`BackendError::EngineLost`] where the node does not answer.
    pub async fn connect(
        peer: &Peer,
        ctx: &RequestCtx,
        model: &str,
        progress: mpsc::Sender<LoadEvent>,
    ) -> Result<Self, BackendError> {
        let link = Link::new(peer, model);
        let ready = search(&link, ctx, progress).await?;
        let card = result::card_of(ready.card.unwrap_or_default());
        link.note_pace(ready.pace, None);
        let codec = codec(&link, ctx, &peer.codecs, &card, &ready.codec_head).await?;
        let closer = Closer::start(&link);
        Ok(Self { card, codec, link, closer })
    }

    fn model(&self) -> Option<v1::ModelRef> {
        Some(v1::ModelRef { name: self.link.model().to_owned(), digest: self.card.digest.clone() })
    }
}

async fn search(
    link: &Link,
    ctx: &RequestCtx,
    progress: mpsc::Sender<LoadEvent>,
) -> Result<v1::Ready, BackendError> {
    let ask = v1::FindRequest { context: Some(request::context(ctx)), model: link.model().to_owned() };
    let ask = link.fits(ask)?;
    let mut client = link.client();
    let mut news = link.call(ctx, Kind::Short, client.find(ask)).await?;
    let model = || link.model().to_owned();
    loop {
        let event = match link.next(ctx, &mut news).await?.event {
            Some(Event::Ready(ready)) => return Ok(ready),
            Some(Event::Fetching(v1::Fetching { source, done, total })) => {
                LoadEvent::Fetching { model: model(), source, done, total }
            }
            Some(Event::Loading(_)) => LoadEvent::Loading { model: model() },
            None => continue,
        };
        // Informative: a full or dropped channel skips it.
        let _ = progress.try_send(event);
    }
}

async fn codec(
    link: &Link,
    ctx: &RequestCtx,
    codecs: &Arc<CodecStore>,
    card: &ModelCard,
    head: &str,
) -> Result<Arc<dyn Codec>, BackendError> {
    let unavailable = |why: String| BackendError::Unavailable { model: link.model().to_owned(), why };
    if head.is_empty() {
        return Err(unavailable("this node lacks it, and its tokenizer cannot be sent".into()));
    }
    let odd = |error: crate::CodecError| unavailable(format!("its tokenizer: {error}"));
    if let Some(codec) = codecs.find(head, &card.codec_digest).await.map_err(odd)? {
        return Ok(codec);
    }
    let model = v1::ModelRef { name: link.model().to_owned(), digest: card.digest.clone() };
    let ask = v1::CodecRequest { context: Some(request::context(ctx)), model: Some(model) };
    let mut client = link.client();
    let mut chunks = link.call(ctx, Kind::Short, client.codec(ask)).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = link.next_or_end(ctx, &mut chunks).await? {
        bytes.extend_from_slice(&piece.chunk);
        if bytes.len() > MOST_HEAD_BYTES {
            return Err(odd(crate::CodecError::TooLarge));
        }
    }
    ctx.bound(async { codecs.keep(head, bytes, &card.codec_digest).await.map_err(odd) }).await
}

#[async_trait]
impl Backend for RemoteBackend {
    fn card(&self) -> &ModelCard {
        &self.card
    }

    fn node(&self) -> NodeId {
        self.link.node()
    }

    fn codec(&self) -> Arc<dyn Codec> {
        self.codec.clone()
    }

    /// What passes take there, and the way there and back.
    fn pace(&self) -> Pace {
        self.link.pace()
    }

    fn round_trip(&self) -> f64 {
        self.link.round_trip()
    }

    /// The gate of the request stays here: the other node makes one of the same pattern.
    async fn open(&self, ctx: &RequestCtx, open: OpenRequest) -> Result<Opened, BackendError> {
        let gate = open.gate.map(|gate| v1::OpenGate {
            pattern: Some(crate::wire::pattern::for_gate(&gate.pattern)),
            emitted: gate.emitted as u64,
            left: gate.left,
        });
        let named = self.closer.name(self.link.node());
        let ask = self.link.fits(v1::OpenRequest {
            seq: Some(named.seq_ref()),
            context: Some(request::context(ctx)),
            model: self.model(),
            prompt: open.prompt,
            sampler: Some(request::sampler(&open.sampler)),
            gate,
        })?;
        let mut client = self.link.client();
        let (answer, took) = self.link.timed(ctx, Kind::Long, client.open(ask)).await?;
        self.link.note_pace(answer.pace, Some((took, answer.served_us)));
        Ok(Opened { seq: named.opened(ctx), cached: count(answer.cached) })
    }

    async fn extend(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        ids: Vec<TokenId>,
    ) -> Result<usize, BackendError> {
        let (context, seq) = (Some(request::context(ctx)), Some(self.link.own(seq)?));
        let ask = self.link.fits(v1::ExtendRequest { context, seq, at: at as u64, ids })?;
        let mut client = self.link.client();
        Ok(count(self.link.call(ctx, Kind::Long, client.extend(ask)).await?.len))
    }

    async fn run(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        spec: RunSpec,
    ) -> Result<RunStream, BackendError> {
        self.link.own(seq)?;
        running::start(&self.link, ctx, request::run_start(ctx, seq, at, spec)).await
    }

    async fn propose(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        k: usize,
    ) -> Result<(Draft, Cost), BackendError> {
        let (context, seq) = (Some(request::context(ctx)), Some(self.link.own(seq)?));
        let ask = v1::ProposeRequest { context, seq, at: at as u64, k: k as u64 };
        let mut client = self.link.client();
        let (answer, took) = self.link.timed(ctx, Kind::Long, client.propose(ask)).await?;
        self.link.note_pace(answer.pace, Some((took, answer.served_us)));
        Ok((request::draft_of(answer.draft)?, result::cost_of(answer.cost)))
    }

    async fn verify(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        at: usize,
        spec: VerifySpec,
    ) -> Result<(Verified, Cost), BackendError> {
        self.link.own(seq)?;
        let ask = self.link.fits(request::verify(ctx, seq, at, spec))?;
        let mut client = self.link.client();
        let (mut answer, took) = self.link.timed(ctx, Kind::Long, client.verify(ask)).await?;
        self.link.note_pace(answer.pace.take(), Some((took, answer.served_us)));
        Ok(result::verified_of(answer)?)
    }

    async fn truncate(&self, ctx: &RequestCtx, seq: SeqId, len: usize) -> Result<usize, BackendError> {
        let (context, seq) = (Some(request::context(ctx)), Some(self.link.own(seq)?));
        let ask = v1::TruncateRequest { context, seq, len: len as u64 };
        let mut client = self.link.client();
        Ok(count(self.link.call(ctx, Kind::Short, client.truncate(ask)).await?.len))
    }

    async fn fork(&self, ctx: &RequestCtx, seq: SeqId, lane: u32) -> Result<SeqId, BackendError> {
        let (context, seq) = (Some(request::context(ctx)), Some(self.link.own(seq)?));
        let named = self.closer.name(self.link.node());
        let mut client = self.link.client();
        let forked = client.fork(v1::ForkRequest { context, seq, lane, copy: Some(named.seq_ref()) });
        self.link.call(ctx, Kind::Long, forked).await?;
        Ok(named.opened(ctx))
    }

    async fn score(
        &self,
        ctx: &RequestCtx,
        seq: SeqId,
        candidates: Vec<Vec<TokenId>>,
    ) -> Result<(Vec<f32>, Cost), BackendError> {
        let (context, seq) = (Some(request::context(ctx)), Some(self.link.own(seq)?));
        let candidates = candidates.into_iter().map(|ids| v1::Tokens { ids }).collect();
        let ask = self.link.fits(v1::ScoreRequest { context, seq, candidates })?;
        let mut client = self.link.client();
        let answer = self.link.call(ctx, Kind::Long, client.score(ask)).await?;
        Ok((answer.scores, result::cost_of(answer.cost)))
    }

    async fn embed(&self, ctx: &RequestCtx, ids: Vec<TokenId>) -> Result<(Vec<f32>, Cost), BackendError> {
        let context = Some(request::context(ctx));
        let ask = self.link.fits(v1::EmbedRequest { context, model: self.model(), ids })?;
        let mut client = self.link.client();
        let answer = self.link.call(ctx, Kind::Long, client.embed(ask)).await?;
        Ok((answer.vector, result::cost_of(answer.cost)))
    }

    fn close(&self, seq: SeqId) {
        self.closer.close(seq);
    }
}

/// A client with our bounds on messages.
fn client(channel: &Channel) -> VerbsClient<Channel> {
    VerbsClient::new(channel.clone())
        .max_decoding_message_size(crate::MOST_MESSAGE_BYTES)
        .max_encoding_message_size(crate::MOST_MESSAGE_BYTES)
}
