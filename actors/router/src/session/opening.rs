//! A place for a sequence: looked for, asked, and where it refuses, another one.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;
use understudy_backend::{Backend, BackendError, NodeId, OpenGate, OpenRequest, RequestCtx};
use understudy_engine::verbs::SamplerSpec;

use super::{Open, OpenSequence, Session, prompt_ids};
use crate::RouterError;
use crate::candidate::{Author, Candidate};
use crate::desk::{Desk, Trouble};

/// Pauses between questions after a lost model: doubling, from and to.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(800));

/// How long it counts that a place refused. One that refuses again later took the request in meanwhile, and met with a
/// misfortune of its own.
const REFUSES_FOR: Duration = Duration::from_secs(1);

/// Lanes of one answer's candidates: the lower bits of a sequence's lane.
const LANE_BITS: u32 = 16;
/// The largest lane of a request.
pub const MOST_LANE: u32 = u32::MAX >> LANE_BITS;

/// What is known of places while one is looked for.
struct Search {
    /// With the places that refused: others are asked first.
    ctx: RequestCtx,
    /// Places that refused, and when they did last.
    refused: Vec<(NodeId, Instant)>,
    /// How long an answer that has begun may wait; `None` before it has.
    patience: Option<Duration>,
    give_up: Instant,
    pause: Duration,
}

impl Session {
    /// Opens the sequence at a place that takes it. A place that refuses is passed over for others, and asked once more
    /// where there is none. Then its refusal stands; but an answer that has begun waits for its model until it is back.
    pub(super) async fn opening(
        &mut self,
        desk: &mut Desk<'_>,
        candidate: &Candidate,
    ) -> Result<Open, Trouble> {
        // Opened here, so that the account knows when the model was asked.
        desk.books.account(&self.model);
        let patience = self.has_begun().then(|| Duration::from_millis(desk.job.config.resume_wait_ms));
        let mut search = Search::new(self.ctx(desk), patience);
        loop {
            let (place, trouble) = match search.backend(desk, &self.model).await {
                Err(error) => (None, Trouble::from(error)),
                Ok(backend) => match self.open_at(&backend, &search.ctx, desk, candidate).await {
                    Ok(open) => {
                        self.node = backend.node();
                        self.digest.get_or_insert_with(|| backend.card().digest.clone());
                        return Ok(open);
                    }
                    Err(trouble) => (Some(backend.node()), trouble),
                },
            };
            tracing::debug!(model = self.model, ?place, ?trouble, "no sequence");
            search.refused(place, trouble).await?;
        }
    }

    async fn open_at(
        &self,
        backend: &Arc<dyn Backend>,
        ctx: &RequestCtx,
        desk: &mut Desk<'_>,
        candidate: &Candidate,
    ) -> Result<Open, Trouble> {
        if self.digest.as_ref().is_some_and(|digest| *digest != backend.card().digest) {
            let why = "what is there has other weights than those that began the answer".to_owned();
            return Err(BackendError::Unavailable { model: self.model.clone(), why }.into());
        }
        let is_first = desk.books.account(&self.model).numerics.is_empty();
        let codec = backend.codec();
        let prompt = ctx
            .bound(async { Ok(prompt_ids(desk.job.request.conversation(), codec.clone()).await) })
            .await??;
        // What is emitted goes in with the prompt where it is spelled in this vocabulary.
        let held = candidate.ids_in(codec.digest()).unwrap_or_default();
        let job = desk.job;
        let gate = match &job.request.constraint {
            None => None,
            Some(pattern) => {
                let limit = Duration::from_millis(job.config.constraint_budget_ms);
                let left = job.request.max_tokens.saturating_sub(held.len() as u32);
                let gate = job.constraints.gate(pattern, codec.clone(), &held, left, limit);
                let gate = ctx.bound(async { Ok(gate.await) }).await?.map_err(RouterError::from)?;
                Some(OpenGate { gate, pattern: Arc::new(pattern.clone()), emitted: held.len(), left })
            }
        };
        let asked = job.request.sampler.clone();
        let temperature = desk.temperature.unwrap_or(asked.temperature);
        let lane = (asked.lane << LANE_BITS) | desk.lane;
        let alternatives = job.request.top_logprobs.unwrap_or(0);
        let sampler = SamplerSpec { lane, temperature, alternatives, ..asked };
        let ids = [prompt.as_slice(), &held].concat();
        let opened = backend.open(ctx, OpenRequest { prompt: ids, sampler, gate }).await?;
        let account = desk.books.account(&self.model);
        if is_first {
            account.prompt_tokens = prompt.len();
            account.cached_prompt_tokens = opened.cached;
            account.numerics.clone_from(&backend.card().numerics);
        }
        let author = Author { model: self.model.as_str().into(), vocabulary: codec.digest().into() };
        let sequence = OpenSequence { backend: backend.clone(), codec, seq: opened.seq };
        Ok(Open { sequence, author, prompt, held, ahead: false })
    }
}

impl Search {
    fn new(ctx: RequestCtx, patience: Option<Duration>) -> Self {
        let give_up = Instant::now() + patience.unwrap_or_default();
        Self { ctx, refused: Vec::new(), patience, give_up, pause: RETRY_PAUSE.0 }
    }

    async fn backend(&self, desk: &Desk<'_>, model: &str) -> Result<Arc<dyn Backend>, BackendError> {
        let asked = self.ctx.bound(desk.backend(&self.ctx, model));
        if self.patience.is_none() {
            return asked.await;
        }
        let too_long =
            |_| BackendError::EngineLost { model: model.into(), why: "it did not come back in time".into() };
        tokio::time::timeout_at(self.give_up, asked).await.unwrap_or_else(|late| Err(too_long(late)))
    }

    /// Returns when the next place is to be asked: at once where this one refused for the first time, else after a
    /// pause. `place` is `None` where there was none.
    ///
    /// # Errors
    /// This trouble, where it stands.
    async fn refused(&mut self, place: Option<NodeId>, trouble: Trouble) -> Result<(), Trouble> {
        if !is_of_one_place(&trouble) {
            return Err(trouble);
        }
        if let Some(place) = place {
            // Elsewhere the request goes on rather than begins: nobody downloads a model for it.
            self.ctx.attempt = self.ctx.attempt.max(1);
            self.ctx.avoid.retain(|avoided| *avoided != place);
            self.ctx.avoid.push(place);
            if self.is_news(place) {
                // However long it took there: another place may be free.
                self.give_up = Instant::now() + self.patience.unwrap_or_default();
                return Ok(());
            }
        }
        if self.patience.is_none() {
            return Err(trouble);
        }
        if Instant::now() + self.pause >= self.give_up {
            return Err(match trouble {
                Trouble::Refused(why) => Trouble::Lost(why.to_string()),
                lost => lost,
            });
        }
        let pause = tokio::time::sleep(self.pause).map(Ok);
        self.ctx.bound(pause).await?;
        self.pause = (self.pause * 2).min(RETRY_PAUSE.1);
        Ok(())
    }

    /// Notes that a place refuses. Whether it has not just done so before: a request that has not begun may meet one that
    /// is lost and comes back several times, until its deadline; one that has begun has its patience for that.
    fn is_news(&mut self, place: NodeId) -> bool {
        let now = Instant::now();
        match self.refused.iter_mut().find(|(refused, _)| *refused == place) {
            Some((_, at)) => now - std::mem::replace(at, now) >= REFUSES_FOR && self.patience.is_none(),
            None => {
                self.refused.push((place, now));
                true
            }
        }
    }
}

/// Whether another place may do better, or the same one later.
fn is_of_one_place(trouble: &Trouble) -> bool {
    use BackendError::{EngineLost, Load, Overloaded, Unavailable};
    match trouble {
        Trouble::Lost(_) => true,
        Trouble::Refused(RouterError::Backend(error)) => {
            matches!(error, Unavailable { .. } | Overloaded { .. } | Load { .. } | EngineLost { .. })
        }
        Trouble::Refused(_) | Trouble::Over(_) => false,
    }
}
