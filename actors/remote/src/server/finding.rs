//! Models made ready for peers, and what peers need to read and write their text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use understudy_backend::{Backend, BackendError, LoadEvent};
use understudy_proto::node::v1::{self, find_response::Event};

use super::Inner;
use crate::codecs::name_of;
use crate::wire::{error::status, request::ctx_of, result};

/// News on their way to a peer; it is informative, but for the last, which waits.
const NEWS: usize = 8;
/// Bytes of a codec in one message.
const CHUNK: usize = 256 << 10;
/// Names of heads that are remembered, one for each model's weights; when full all are forgotten and made anew.
const MOST_HEADS: usize = 256;

/// Names of what [`Codec::head`](understudy_engine::codec::Codec::head) says, by the digest of a model's weights.
#[derive(Default)]
pub(super) struct Heads(Mutex<HashMap<String, String>>);

impl Heads {
    /// Empty where a model's text side cannot be sent.
    async fn name(&self, backend: &Arc<dyn Backend>) -> Result<String, BackendError> {
        let digest = &backend.card().digest;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned();
        if let Some(name) = known {
            return Ok(name);
        }
        let Some(head) = head_of(backend).await? else { return Ok(String::new()) };
        let name = name_of(&head);
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= MOST_HEADS {
            names.clear();
        }
        names.insert(digest.clone(), name.clone());
        Ok(name)
    }
}

/// Makes a model ready and tells of it. Dropping the stream gives the search up.
pub(super) fn find(
    service: Arc<Inner>,
    context: Option<v1::RequestContext>,
    model: String,
) -> Result<impl Stream<Item = Result<v1::FindResponse, Status>> + Send, BackendError> {
    let cancel = CancellationToken::new();
    let ctx = ctx_of(context, cancel.clone())?;
    let (out, news) = mpsc::channel(NEWS);
    tokio::spawn(async move {
        let _dropped = cancel.drop_guard();
        let (progress, mut events) = mpsc::channel(NEWS);
        let ready = async {
            let backend = ctx.bound(service.slots.backend(&ctx, &model, progress)).await?;
            Ok(v1::Ready {
                card: Some(result::card(backend.card())),
                codec_head: service.heads.name(&backend).await?,
                pace: Some(result::pace(backend.pace())),
            })
        };
        tokio::pin!(ready);
        let mut alive = tokio::time::interval(service.limits.sign_of_life);
        let end = loop {
            let event = tokio::select! {
                found = &mut ready => break found.map(Event::Ready),
                Some(event) = events.recv() => Some(progress_of(event)),
                _ = alive.tick() => None,
                () = out.closed() => return,
            };
            // A peer that does not read hears of the end alone.
            let _ = out.try_send(Ok(v1::FindResponse { event }));
        };
        let end = end.map(|event| v1::FindResponse { event: Some(event) });
        let _ = out.send(end.map_err(|error| status(&error))).await;
    });
    Ok(ReceiverStream::new(news))
}

fn progress_of(event: LoadEvent) -> Event {
    match event {
        LoadEvent::Fetching { source, done, total, .. } => {
            Event::Fetching(v1::Fetching { source, done, total })
        }
        LoadEvent::Loading { .. } => Event::Loading(v1::Loading {}),
    }
}

/// What another node needs to have a model's codec, in pieces.
pub(super) async fn codec(
    service: &Inner,
    context: Option<v1::RequestContext>,
    model: Option<v1::ModelRef>,
) -> Result<impl Stream<Item = Result<v1::CodecResponse, Status>> + Send + use<>, BackendError> {
    let cancel = CancellationToken::new();
    let ctx = ctx_of(context, cancel.clone())?;
    let _dropped = cancel.drop_guard();
    let backend = service.model(&ctx, model).await?;
    let head = head_of(&backend).await?.ok_or_else(|| BackendError::Unavailable {
        model: backend.card().name.clone(),
        why: "its tokenizer cannot be sent to another node".into(),
    })?;
    let starts = (0..head.len()).step_by(CHUNK);
    Ok(stream::iter(starts.map(move |start| {
        let chunk = head.get(start..head.len().min(start + CHUNK)).unwrap_or_default().to_vec();
        Ok(v1::CodecResponse { chunk })
    })))
}

async fn head_of(backend: &Arc<dyn Backend>) -> Result<Option<Vec<u8>>, BackendError> {
    let (codec, model) = (backend.codec(), backend.card().name.clone());
    let head = tokio::task::spawn_blocking(move || codec.head()).await;
    head.map_err(|failed| BackendError::Unavailable {
        model,
        why: format!("its tokenizer could not be read: {failed}"),
    })
}
