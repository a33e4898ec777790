//! `understudy bench router`: what deciding takes.
//!
//! Scripted engines on threads of their own write a token in a tenth of a millisecond. A decision's time is what a reader waits from the last
//! text before it to the decision: the run's end, the evidence, the confidence and the way to the reader are in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use understudy_actors::scripted::{Script, ScriptedModels};
use understudy_actors::{EngineConfig, LocalSlots, NodeHealth, NodeTree, SlotConfig, TreeOptions};
use understudy_backend::RequestCtx;
use understudy_proto::v1::EmbedRequest;
use understudy_router::{AnswerEvent, AnswerRequest, DecisionKind, RouterConfig, RouterHandle};

use crate::cli::BenchRouter;
use crate::error::Error;
use crate::render::{line, table};
use crate::source::Reached;

/// Tokens of each answer.
const ANSWER: u32 = 64;
/// Requests before any is counted.
const WARM_UP: usize = 100;
/// What a token takes. Writing in no time would fill a run's channel, and the engine would wait for its reader.
const STEP: Duration = Duration::from_micros(100);
const TIMEOUT: Duration = Duration::from_secs(60);
/// One word is one token of the embedder; it adds one at each end.
const QUESTION: &str = "the";
const QUESTION_TOKENS: usize = 64;
/// What is decided, by which policy, over engines that take so long for a token. A friend is called by a writer that asks
/// for each token, so its engine may take no time; the other rows have what is left of a step in them.
const DECISIONS: [(&str, &str, DecisionKind, Duration); 4] = [
    ("an answer stays", "cascade:threshold=0", DecisionKind::Stay, STEP),
    ("an answer escalates", "cascade:threshold=1", DecisionKind::Escalate, STEP),
    ("a rung is chosen", "route", DecisionKind::Route, STEP),
    (
        "a friend is called",
        "friend:segments=clause,entropy=0,margin=1",
        DecisionKind::FriendCall,
        Duration::ZERO,
    ),
];

/// Microseconds.
struct Times(Vec<f64>);

impl Times {
    fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    fn as_json(&self) -> Value {
        json!({"count": self.0.len(), "p50_us": self.at(0.5), "p99_us": self.at(0.99), "max_us": self.at(1.0)})
    }

    fn cells(&self) -> Vec<String> {
        let cell = |share| format!("{:.0}", self.at(share));
        vec![self.0.len().to_string(), cell(0.5), cell(0.99), cell(1.0)]
    }
}

pub async fn run(args: BenchRouter) -> Result<(), Error> {
    let mut measured = Vec::new();
    for (what, policy, kind, step) in DECISIONS {
        measured.push((what, policy, decisions(policy, kind, step, args.requests).await?));
    }
    let embedding = match &args.embedder {
        None => None,
        Some(model) => Some((model.as_str(), embeddings(model, args.requests).await?)),
    };
    if args.json {
        let decisions = measured.iter().map(|(what, policy, times)| {
            let mut row = times.as_json();
            row["decision"] = json!(what);
            row["policy"] = json!(policy);
            row
        });
        let mut found = json!({"answer_tokens": ANSWER, "decisions": decisions.collect::<Vec<_>>()});
        if let Some((model, times)) = &embedding {
            found["embedding"] = times.as_json();
            found["embedding"]["model"] = json!(model);
            found["embedding"]["tokens"] = json!(QUESTION_TOKENS);
        }
        return line(&found.to_string());
    }
    let mut rows: Vec<Vec<String>> =
        measured.iter().map(|(what, _, times)| [vec![(*what).to_owned()], times.cells()].concat()).collect();
    if let Some((model, times)) = &embedding {
        rows.push([vec![format!("{QUESTION_TOKENS} tokens' vector, {model}")], times.cells()].concat());
    }
    line(&table(&["MICROSECONDS UNTIL", "COUNT", "P50", "P99", "MAX"], rows))
}

/// How long decisions of one kind take, one of each request.
async fn decisions(
    policy: &str,
    kind: DecisionKind,
    step: Duration,
    requests: usize,
) -> Result<Times, Error> {
    let internal = |error: &dyn std::fmt::Display| Error::internal(error.to_string());
    let scripts = ["small", "large"].map(Script::new);
    scripts.iter().for_each(|script| script.tick_time(step));
    let models = Arc::new(ScriptedModels::new(scripts));
    let health = Arc::new(NodeHealth::default());
    let config = SlotConfig::new(EngineConfig { health: health.clone(), ..EngineConfig::new("") });
    let slots = LocalSlots::new(config, models.clone(), models);
    let tree = NodeTree::start(TreeOptions::default(), slots.clone(), health, vec![])
        .await
        .map_err(|error| internal(&error))?;
    let config = RouterConfig::with_ladder(["small", "large"]);
    let router = RouterHandle::spawn(config, Arc::new(slots)).await.map_err(|error| internal(&error))?;
    let policy = policy.parse().map_err(|error| internal(&error))?;
    let request =
        AnswerRequest { max_tokens: ANSWER, ..AnswerRequest::ask("which cities are large?", policy) };
    let mut times = Vec::with_capacity(requests);
    for number in 0..WARM_UP + requests {
        let ctx = RequestCtx::new(format!("bench-{number}")).with_timeout(TIMEOUT);
        let mut stream = router.answer(ctx, request.clone()).map_err(|error| internal(&error))?;
        let mut last = Instant::now();
        let mut decided = None;
        while let Some(event) = stream.next().await {
            match event.map_err(|error| internal(&error))? {
                AnswerEvent::Decided(decision) if decision.kind == kind && decided.is_none() => {
                    decided = Some(last.elapsed());
                }
                _ => last = Instant::now(),
            }
        }
        let decided = decided.ok_or_else(|| Error::internal(format!("no {kind:?} was decided")))?;
        if number >= WARM_UP {
            times.push(decided.as_secs_f64() * 1e6);
        }
    }
    router.stop();
    tree.drain(Duration::from_secs(1)).await;
    Ok(Times::of(times))
}

/// How long a question's vector takes, over gRPC on loopback.
async fn embeddings(model: &str, requests: usize) -> Result<Times, Error> {
    let reached = Reached::find(None).await?;
    let mut times = Vec::with_capacity(requests);
    for number in 0..WARM_UP + requests {
        // Other words each time: no cache can help.
        let words =
            (0..QUESTION_TOKENS - 2).map(|at| if (number >> (at % 16)) & 1 == 1 { "a" } else { QUESTION });
        let text = words.collect::<Vec<_>>().join(" ");
        let begun = Instant::now();
        let request = EmbedRequest { model: model.to_owned(), text };
        let answer = reached.client.embed(request, TIMEOUT).await?;
        let took = begun.elapsed();
        if answer.tokens as usize != QUESTION_TOKENS {
            return Err(Error::internal(format!("{} tokens, not {QUESTION_TOKENS}", answer.tokens)));
        }
        if number >= WARM_UP {
            times.push(took.as_secs_f64() * 1e6);
        }
    }
    Ok(Times::of(times))
}
