//! Asks a node, judges, and writes rows.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use understudy_proto::v1::{Finished, GenerateRequest, Sampling, ScoreRequest, generate_event::Event};

use crate::eval::judge::Verdict;
use crate::eval::rows::{Header, Identity, Journal, Row, Rows, Run, SCHEMA, now};
use crate::eval::suite::{Item, Manner, Question, Suite, Work};
use crate::eval::{EvalError, Summary, sample};
use crate::{Client, ClientError, account};

/// Refusals that concern one item: the others may still be answered. Everything else ends the
/// run, and its item is asked again by the next one.
const OF_ONE_ITEM: &[&str] = &[
    "CONSTRAINT_DEAD_END",
    "CONTEXT_OVERFLOW",
    "DEADLINE",
    "MESSAGE_TOO_LARGE",
    "NON_FINITE",
    "PROMPT_EMPTY",
    "TEMPLATE_REFUSED",
];

/// How often an item is asked whose refusal says when to try again.
const TRIES: u32 = 5;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// For calls that compute nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which suite.
    pub suite: Suite,
    /// The folder with its data.
    pub data: PathBuf,
    /// The file of rows; continued when it is there.
    pub out: PathBuf,
    /// Policy; empty is the node's choice.
    pub policy: String,
    /// Model of `direct`; empty is the node's choice.
    pub model: String,
    /// Rungs, cheapest first; empty is the node's ladder.
    pub ladder: Vec<String>,
    /// Task of the requests: the node's profiles and rules choose by it. Empty is none.
    pub task: String,
    /// Hold each answer to what its suite can say of right ones.
    pub constrain: bool,
    /// Send what answers can be checked with.
    pub validators: bool,
    /// At most this many items, chosen by the seed.
    pub limit: Option<usize>,
    /// Of the choice of items, and of sampling.
    pub seed: u64,
    /// 0 is greedy.
    pub temperature: f32,
    /// Most tokens of an answer; `None` is the suite's number.
    pub max_tokens: Option<u32>,
    /// Items asked at the same time; at least 1.
    pub concurrency: usize,
    /// For one item.
    pub timeout: Duration,
    /// Commit of the caller, for the rows.
    pub git: String,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Items with a row.
    pub done: u64,
    /// Of these, found in the file at the start.
    pub resumed: u64,
    /// Items in all.
    pub total: u64,
    /// Items with a right answer.
    pub ok: u64,
}

/// Runs a suite to its end, or to the first error that concerns every item. `watch` hears of
/// each finished row.
///
/// # Errors
/// [`EvalError`]; rows written before it stay, and the same call goes on after them.
pub async fn run(
    client: &Client,
    options: &Options,
    watch: &mut dyn FnMut(Progress),
) -> Result<Summary, EvalError> {
    let manner = Manner { constrain: options.constrain, validators: options.validators };
    let loaded = options.suite.load(&options.data, manner, client, &options.model).await?;
    let header = Header {
        identity: identity(options, loaded.digest()),
        items: loaded.items.len(),
        skipped: loaded.skipped,
        run: circumstances(options, None),
    };
    let (mut journal, there) = Journal::open(&options.out, &header)?;
    let finished: BTreeSet<&str> = there.iter().map(|row| row.item.as_str()).collect();
    let chosen = sample::choose(loaded.items, options.limit, options.seed);
    let mut left: VecDeque<Item> =
        chosen.into_iter().filter(|item| !finished.contains(item.id.as_str())).collect();
    let resumed = there.len() as u64;
    let ok = there.iter().filter(|row| row.ok).count() as u64;
    let mut progress = Progress { done: resumed, resumed, total: resumed + left.len() as u64, ok };
    watch(progress);

    // As many tasks as may be asked at once; a finished one makes room for the next.
    let asker =
        Arc::new(Asker { client: client.clone(), options: options.clone(), numerics: OnceCell::new() });
    let mut asked = JoinSet::new();
    loop {
        while asked.len() < options.concurrency.max(1) {
            let Some(item) = left.pop_front() else { break };
            let asker = asker.clone();
            asked.spawn(async move { asker.row(item).await });
        }
        let Some(joined) = asked.join_next().await else { break };
        let row = joined.map_err(|error| EvalError::Output(format!("an item was not judged: {error}")))??;
        journal.add(&row)?;
        progress.done += 1;
        progress.ok += u64::from(row.ok);
        watch(progress);
    }
    drop(journal);
    Ok(Summary::of(Rows::read(&options.out)?))
}

fn identity(options: &Options, data: String) -> Identity {
    Identity {
        suite: options.suite.name().to_owned(),
        model: options.model.clone(),
        policy: options.policy.clone(),
        seed: options.seed,
        temperature: options.temperature,
        max_tokens: options.max_tokens.unwrap_or(options.suite.max_tokens()),
        data,
        constrain: options.constrain,
        validators: options.validators,
        ladder: options.ladder.clone(),
        task: options.task.clone(),
    }
}

fn circumstances(options: &Options, device: Option<String>) -> Run {
    Run { git: options.git.clone(), time: now(), device }
}

struct Asker {
    client: Client,
    options: Options,
    /// Of the model that scores: `Score` does not say it.
    numerics: OnceCell<Option<String>>,
}

impl Asker {
    /// The row of an item: judged, or with the refusal that concerns it alone.
    async fn row(&self, item: Item) -> Result<Row, EvalError> {
        let mut tries = 1;
        loop {
            let answered = match &item.work {
                Work::Ask(question) => self.ask(&item, question).await,
                Work::Score { ids } => self.score(&item, ids).await,
            };
            match answered {
                Ok(row) => return Ok(row),
                Err(EvalError::Node(refusal)) if OF_ONE_ITEM.contains(&refusal.code.as_str()) => {
                    let error = format!("{}: {}", refusal.code, refusal.message);
                    return Ok(Row { error: Some(error), ..self.empty_row(&item, None) });
                }
                Err(EvalError::Node(refusal)) if tries < TRIES && refusal.retry_after.is_some() => {
                    tries += 1;
                    tokio::time::sleep(refusal.retry_after.unwrap_or_default().min(LONGEST_WAIT)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn ask(&self, item: &Item, question: &Question) -> Result<Row, EvalError> {
        let options = &self.options;
        let request = GenerateRequest {
            messages: question.messages.clone(),
            constraint: question.constraint.clone(),
            validators: question.validators.clone(),
            collect_evidence: true,
            policy: options.policy.clone(),
            model: options.model.clone(),
            ladder: options.ladder.clone(),
            task: options.task.clone(),
            max_tokens: Some(options.max_tokens.unwrap_or(options.suite.max_tokens())),
            sampling: Some(Sampling {
                temperature: options.temperature,
                seed: Some(options.seed),
                ..Sampling::default()
            }),
            ..GenerateRequest::default()
        };
        let finished = self.finished(request).await?;
        let text = finished.text.clone();
        let judge = question.judge.clone();
        // A judge may run a query or a program for seconds.
        let judged = tokio::task::spawn_blocking(move || judge.verdict(&text)).await;
        let verdict = judged
            .unwrap_or_else(|error| Ok(Verdict::Wrong(format!("the judge failed: {error}"))))
            .map_err(EvalError::Input)?;
        let was_cut = finished.finish_reason != "stop" && finished.finish_reason != "constraint";
        let error = match verdict {
            Verdict::Right => None,
            Verdict::Wrong(why) if was_cut => Some(format!("{why} (ended by {})", finished.finish_reason)),
            Verdict::Wrong(why) => Some(why),
        };
        Ok(Row {
            policy: finished.policy,
            model: finished.model,
            ok: error.is_none(),
            score: f64::from(u8::from(error.is_none())),
            answer: Some(finished.text),
            error,
            usage: account::usage(finished.usage.unwrap_or_default()),
            timing: account::timing(finished.timing.unwrap_or_default()),
            ledger: account::ledger(&finished.ledger.unwrap_or_default()),
            ..self.empty_row(item, Some(finished.numerics))
        })
    }

    async fn finished(&self, request: GenerateRequest) -> Result<Finished, ClientError> {
        let mut events = self.client.generate(request, self.options.timeout).await?;
        while let Some(event) = events.next().await {
            if let Some(Event::Finished(finished)) = event?.event {
                return Ok(finished);
            }
        }
        Err(ClientError::cut_off())
    }

    async fn score(&self, item: &Item, ids: &[u32]) -> Result<Row, EvalError> {
        let begun = Instant::now();
        let model = self.options.model.clone();
        let request = ScoreRequest { model, ids: ids.to_vec(), ..ScoreRequest::default() };
        let scored = self.client.score(request, self.options.timeout).await?;
        let total_ms = begun.elapsed().as_secs_f64() * 1000.0;
        let (Some(&logprob), Some(&tokens)) = (scored.logprobs.first(), scored.tokens.first()) else {
            return Err(ClientError::too_old("scores no token ids").into());
        };
        let device = self.numerics_of(&scored.model).await;
        let nll = -f64::from(logprob);
        let finite = nll.is_finite() && tokens > 0;
        Ok(Row {
            model: scored.model,
            ok: finite,
            score: if finite { nll / f64::from(tokens) } else { 0.0 },
            error: (!finite).then(|| format!("the log-probability of {tokens} tokens is {logprob}")),
            usage: json!({"prompt_tokens": ids.len(), "completion_tokens": 0, "cached_prompt_tokens": 0}),
            timing: json!({"ttft_ms": null, "total_ms": total_ms, "decode_tok_s": null}),
            nll: finite.then_some(nll),
            tokens: finite.then_some(u64::from(tokens)),
            ..self.empty_row(item, device)
        })
    }

    /// The arithmetic of a loaded model; `None` when the node does not tell.
    async fn numerics_of(&self, model: &str) -> Option<String> {
        let asked = async || {
            let models = self.client.models(PATIENCE).await.ok()?;
            let status = models.into_iter().find(|status| status.model == model)?;
            Some(status.numerics).filter(|numerics| !numerics.is_empty())
        };
        self.numerics.get_or_init(asked).await.clone()
    }

    /// A row of an item that nobody answered.
    fn empty_row(&self, item: &Item, device: Option<String>) -> Row {
        let options = &self.options;
        Row {
            schema: SCHEMA,
            suite: options.suite.name().to_owned(),
            item: item.id.clone(),
            policy: options.policy.clone(),
            model: options.model.clone(),
            checkpoint: None,
            ok: false,
            score: 0.0,
            question: item.question(),
            answer: None,
            expected: item.expected.clone(),
            error: None,
            usage: Value::Null,
            timing: Value::Null,
            ledger: Value::Null,
            seed: options.seed,
            run: circumstances(options, device),
            nll: None,
            tokens: None,
        }
    }
}
