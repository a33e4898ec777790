//! What the gateway adds to the engine: the same scripted engine, called in this process and over gRPC on loopback, in turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tonic::Request;
use tonic::transport::Channel;
use understudy_agents::ClientError;
use understudy_backend::{Backend, BackendError, OpenRequest, RequestCtx, RunEvent};
use understudy_engine::verbs::{RunSpec, SamplerSpec, SignalMode, StopWhen, TokenId};
use understudy_gateway::Failure;
use understudy_proto::v1::{GenerateRequest, generate_event::Event, inference_client::InferenceClient};

use super::scripted::{MODEL, Scripted};
use super::spread::Spread;
use crate::error::Error;
use crate::render::table;

/// Requests of each kind; as many again of a tenth come before.
const FIRST: usize = 1000;
/// Long answers of each kind.
const ANSWERS: usize = 40;
const TOKENS: u32 = 256;
/// A step while tokens are timed. Without it the engine would run ahead of any reader and wait for it, which is what would be timed.
const STEP: Duration = Duration::from_micros(500);
const PROMPT: &str = "say the alphabet";
const TIMEOUT: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// To the first token, in milliseconds.
    engine_first_ms: Spread,
    gateway_first_ms: Spread,
    /// The difference of the medians, and of the 99th percentiles.
    added_first_ms_p50: f64,
    added_first_ms_p99: f64,
    /// Microseconds of wall time that a token takes longer through the gateway, while an engine decodes one sequence.
    added_token_us: f64,
    /// Microseconds of processor time per token, of node and client together; none where the system does not say.
    engine_token_cpu_us: Option<f64>,
    gateway_token_cpu_us: Option<f64>,
}

pub async fn measure() -> Result<Report, Error> {
    let node = Scripted::start(Duration::ZERO, 4).await?;
    let (backend, mut client) = (node.backend().await?, node.client().await?);
    let (mut engine, mut gateway) = (Vec::new(), Vec::new());
    for round in 0..FIRST + FIRST / 10 {
        let direct = direct(&backend, 1).await?.first;
        let served = served(&mut client, 1).await?.first;
        if round >= FIRST / 10 {
            engine.push(direct.as_secs_f64() * 1e3);
            gateway.push(served.as_secs_f64() * 1e3);
        }
    }
    node.stop().await;
    let (engine, gateway) = (Spread::of(engine), Spread::of(gateway));

    let node = Scripted::start(STEP, 4).await?;
    let (backend, mut client) = (node.backend().await?, node.client().await?);
    let (mut direct_sum, mut served_sum) = (Sum::default(), Sum::default());
    for _ in 0..ANSWERS {
        let before = cpu();
        direct_sum.add(direct(&backend, TOKENS).await?, before);
        let before = cpu();
        served_sum.add(served(&mut client, TOKENS).await?, before);
    }
    node.stop().await;
    Ok(Report {
        engine_first_ms: engine,
        gateway_first_ms: gateway,
        added_first_ms_p50: gateway.p50 - engine.p50,
        added_first_ms_p99: gateway.p99 - engine.p99,
        added_token_us: served_sum.token_us() - direct_sum.token_us(),
        engine_token_cpu_us: direct_sum.cpu_us(),
        gateway_token_cpu_us: served_sum.cpu_us(),
    })
}

/// When the tokens of an answer came.
struct Answered {
    first: Duration,
    /// Between the first and the last.
    rest: Duration,
}

/// Of several answers.
#[derive(Default)]
struct Sum {
    rest: Duration,
    tokens: u32,
    cpu: Option<Duration>,
}

impl Sum {
    fn add(&mut self, answered: Answered, before: Option<Duration>) {
        self.rest += answered.rest;
        self.tokens += TOKENS - 1;
        let spent = before.zip(cpu()).map(|(before, now)| now.saturating_sub(before));
        self.cpu = spent.map(|spent| self.cpu.unwrap_or_default() + spent);
    }

    fn token_us(&self) -> f64 {
        self.rest.as_secs_f64() * 1e6 / f64::from(self.tokens.max(1))
    }

    fn cpu_us(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(self.tokens.max(1)))
    }
}

/// As a policy calls an engine of this process.
async fn direct(backend: &Arc<dyn Backend>, tokens: u32) -> Result<Answered, Error> {
    let ctx = RequestCtx::new("bench").with_timeout(TIMEOUT);
    let failed = |error: BackendError| Error::from(Failure::from(error));
    let prompt: Vec<TokenId> = PROMPT.bytes().map(TokenId::from).collect();
    let (at, begun) = (prompt.len(), Instant::now());
    let open = OpenRequest { prompt, sampler: SamplerSpec::default(), gate: None };
    let seq = backend.open(&ctx, open).await.map_err(failed)?.seq;
    let spec = RunSpec { max_tokens: tokens, stop_when: StopWhen::default(), signals: SignalMode::None };
    let mut run = backend.run(&ctx, seq, at, spec).await.map_err(failed)?;
    let mut times = Vec::new();
    while let RunEvent::Step(_) = run.next(&ctx).await.map_err(failed)? {
        times.push(Instant::now());
    }
    backend.close(seq);
    answered(begun, &times)
}

/// As a client calls a node.
async fn served(client: &mut InferenceClient<Channel>, tokens: u32) -> Result<Answered, Error> {
    let failed = |status: tonic::Status| Error::from(ClientError::from(status));
    let begun = Instant::now();
    let mut request = Request::new(GenerateRequest {
        prompt: PROMPT.to_owned(),
        model: MODEL.to_owned(),
        max_tokens: Some(tokens),
        ..GenerateRequest::default()
    });
    request.set_timeout(TIMEOUT);
    let mut events = client.generate(request).await.map_err(failed)?.into_inner();
    let mut times = Vec::new();
    while let Some(event) = events.message().await.map_err(failed)? {
        if let Some(Event::Delta(_)) = event.event {
            times.push(Instant::now());
        }
    }
    answered(begun, &times)
}

fn answered(begun: Instant, times: &[Instant]) -> Result<Answered, Error> {
    match times {
        [first, ..] => Ok(Answered { first: *first - begun, rest: *times.last().unwrap_or(first) - *first }),
        [] => Err(Error::internal("an answer without a token")),
    }
}

/// Processor time of this process so far.
fn cpu() -> Option<Duration> {
    /// Of `/proc`, on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before may have spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND))
}

impl Report {
    /// As a table.
    pub fn lines(&self) -> Vec<String> {
        let row = |what: &str, spread: &Spread| [vec![what.to_owned()], spread.cells()].concat();
        let mut lines = vec![
            table(
                &["MS TO THE FIRST TOKEN", "COUNT", "P50", "P99", "MAX"],
                vec![
                    row("the engine in this process", &self.engine_first_ms),
                    row("the node over gRPC", &self.gateway_first_ms),
                ],
            ),
            format!(
                "added: {:.3} ms, 99th percentile {:.3} ms; per token {:.1} us",
                self.added_first_ms_p50, self.added_first_ms_p99, self.added_token_us
            ),
        ];
        if let (Some(engine), Some(gateway)) = (self.engine_token_cpu_us, self.gateway_token_cpu_us) {
            lines.push(format!(
                "processor time per token: {engine:.0} us for the engine alone, {gateway:.0} us with node and client"
            ));
        }
        lines
    }
}
