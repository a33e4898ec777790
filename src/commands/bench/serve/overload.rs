//! A node under many times what it can do: does it go on doing what it can, refuse the rest quickly, and stay as large as it was?
//!
//! Requests come whether or not others were answered (open loop, exponential gaps): people at a few per cent of the capacity, agents at a
//! third, the rest is batch. The engine is scripted, so that it does not slow down where load and node share a machine, or a real one, which
//! does.

mod ask;
mod subject;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use understudy_backend::RequestCtx;
use understudy_gateway::Admission;
use understudy_gateway::admission::Capacity;
use understudy_proto::v1::Priority;

use super::spread::Spread;
use crate::cli::Overload as Options;
use crate::error::Error;
use crate::render::table;
use ask::{Asked, Asker, Outcome};
use subject::Subject;

/// Load before anything is counted: the queue is full, and the service time known.
const WARM_UP: Duration = Duration::from_secs(1);
/// The gap between two looks at the clock; whatever is due by then is sent.
const GAP: Duration = Duration::from_millis(1);
/// Connections that share the load.
const CONNECTIONS: usize = 4;
/// Refusals of the admission alone.
const REFUSALS: usize = 100_000;

/// Requests of one priority.
struct Class {
    name: &'static str,
    priority: Priority,
    /// Of the capacity; batch is what remains of the load.
    share: Option<f64>,
    deadline: Duration,
}

const CLASSES: [Class; 3] = [
    Class {
        name: "interactive",
        priority: Priority::Interactive,
        share: Some(0.05),
        deadline: Duration::from_secs(2),
    },
    Class { name: "agent", priority: Priority::Agent, share: Some(0.3), deadline: Duration::from_secs(5) },
    Class { name: "batch", priority: Priority::Batch, share: None, deadline: Duration::from_secs(20) },
];

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    model: String,
    /// Of a scripted engine.
    step_ms: Option<f64>,
    sequences: usize,
    tokens: u32,
    seconds: f64,
    /// Answers per second of as many callers as sequences, each asking again when answered.
    capacity_rps: f64,
    offered_rps: f64,
    /// Answers per second that were complete within their deadline.
    goodput_rps: f64,
    goodput_share: f64,
    classes: Vec<ClassReport>,
    /// From sending to the refusal, at the client, of requests refused when they came.
    refusal_ms: Spread,
    /// The same in the admission alone, in microseconds.
    admission_refusal_us: Spread,
    /// Memory of this process, node and load together, in bytes; none where the system does not say.
    rss: Option<Memory>,
}

#[derive(Debug, Serialize)]
struct ClassReport {
    priority: &'static str,
    offered: usize,
    complete: usize,
    /// Refused when they came.
    refused: usize,
    /// Refused while they waited.
    displaced: usize,
    /// Cut at the deadline, answered too late, or failed.
    late: usize,
    failed: usize,
    /// Why they failed, of the first.
    failure: Option<String>,
    /// In the queue, of those that were answered.
    wait_ms: Spread,
}

#[derive(Debug, Serialize)]
struct Memory {
    start: u64,
    quarter: u64,
    half: u64,
    end: u64,
}

/// Everything that was asked, as it ends.
type Record = Arc<Mutex<Vec<(usize, Asked)>>>;

/// `model` is the real one, where that is asked for.
pub async fn measure(options: &Options, model: &str) -> Result<Report, Error> {
    let step = Duration::from_secs_f64(options.step_ms / 1e3);
    let node = match options.real {
        true => Subject::real(model, options.sequences).await?,
        false => Subject::scripted(step, options.sequences).await?,
    };
    let step_ms = (!options.real).then_some(options.step_ms);
    let model = node.model().to_owned();
    let mut askers = Vec::new();
    for _ in 0..CONNECTIONS {
        askers.push(node.asker(options.tokens).await?);
    }
    let capacity_rps = capacity(&askers, options.sequences, options.seconds).await?;
    let (asked, window, rss) = flood(&askers, capacity_rps, options).await;
    node.stop().await;
    let seconds = options.seconds;
    let counted = |(_, asked): &&(usize, Asked)| window.contains(&asked.ended);
    let good = |asked: &Asked| matches!(asked.outcome, Outcome::Complete { .. });
    let goodput_rps = asked.iter().filter(counted).filter(|(_, asked)| good(asked)).count() as f64 / seconds;
    let ours = |class: usize| {
        let sent = asked.iter().filter(|(_, asked)| window.contains(&asked.sent));
        sent.filter(|(index, _)| *index == class).map(|(_, asked)| asked).collect::<Vec<_>>()
    };
    let sent: Vec<&Asked> = (0..CLASSES.len()).flat_map(&ours).collect();
    let at_once = |asked: &&Asked| match asked.outcome {
        Outcome::Refused { displaced: false } => Some(ms(asked.ended - asked.sent)),
        _ => None,
    };
    Ok(Report {
        model,
        step_ms,
        sequences: options.sequences,
        tokens: options.tokens,
        seconds,
        capacity_rps,
        offered_rps: sent.len() as f64 / seconds,
        goodput_rps,
        goodput_share: goodput_rps / capacity_rps,
        classes: CLASSES
            .iter()
            .enumerate()
            .map(|(index, class)| class_report(class.name, &ours(index)))
            .collect(),
        refusal_ms: Spread::of(sent.iter().filter_map(at_once).collect()),
        admission_refusal_us: refusals().await?,
        rss,
    })
}

fn class_report(priority: &'static str, asked: &[&Asked]) -> ClassReport {
    let count = |of: fn(&Outcome) -> bool| asked.iter().filter(|asked| of(&asked.outcome)).count();
    let wait = |asked: &&Asked| match asked.outcome {
        Outcome::Complete { waited } => Some(ms(waited)),
        _ => None,
    };
    let failure = asked.iter().find_map(|asked| match &asked.outcome {
        Outcome::Failed { why } => Some(why.clone()),
        _ => None,
    });
    ClassReport {
        priority,
        offered: asked.len(),
        complete: count(|outcome| matches!(outcome, Outcome::Complete { .. })),
        refused: count(|outcome| matches!(outcome, Outcome::Refused { displaced: false })),
        displaced: count(|outcome| matches!(outcome, Outcome::Refused { displaced: true })),
        late: count(|outcome| matches!(outcome, Outcome::Late)),
        failed: count(|outcome| matches!(outcome, Outcome::Failed { .. })),
        failure,
        wait_ms: Spread::of(asked.iter().filter_map(wait).collect()),
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Answers per second when as many callers as sequences ask again whenever they are answered.
async fn capacity(askers: &[Asker], sequences: usize, seconds: f64) -> Result<f64, Error> {
    let counted = Duration::from_secs_f64((seconds / 4.0).clamp(1.0, 10.0));
    let begun = Instant::now();
    let (from, to) = (begun + WARM_UP, begun + WARM_UP + counted);
    let mut callers = JoinSet::new();
    for index in 0..sequences {
        let asker = askers[index % askers.len()].clone();
        callers.spawn(async move {
            let mut complete = 0;
            while Instant::now() < to {
                let asked = asker.ask(Priority::Interactive, Duration::from_secs(60)).await;
                match asked.outcome {
                    Outcome::Complete { .. } if (from..to).contains(&asked.ended) => complete += 1,
                    Outcome::Complete { .. } => {}
                    other => return Err(Error::internal(format!("a caller without load: {other:?}"))),
                }
            }
            Ok(complete)
        });
    }
    let complete: Result<Vec<i32>, Error> = callers.join_all().await.into_iter().collect();
    Ok(f64::from(complete?.into_iter().sum::<i32>()) / counted.as_secs_f64())
}

/// Sends the load, and waits until the last of it has ended.
async fn flood(
    askers: &[Asker],
    capacity: f64,
    options: &Options,
) -> (Vec<(usize, Asked)>, std::ops::Range<Instant>, Option<Memory>) {
    let counted = Duration::from_secs_f64(options.seconds);
    // Room for all of it from the start: a list that moves while it grows would look like a node that grows.
    let most = capacity * options.times * (options.seconds + WARM_UP.as_secs_f64()) * 1.5;
    let record = Record::new(Mutex::new(Vec::with_capacity(most as usize)));
    let begun = Instant::now();
    let window = begun + WARM_UP..begun + WARM_UP + counted;
    let known: f64 = CLASSES.iter().filter_map(|class| class.share).sum();
    let rates = CLASSES.each_ref().map(|class| capacity * class.share.unwrap_or(options.times - known));
    let mut random = fastrand::Rng::with_seed(options.seed);
    let mut due = rates.map(|rate| begun + gap(&mut random, rate));
    let mut sent = JoinSet::new();
    let mut looks = [0.0, 0.25, 0.5].map(|share| (window.start + counted.mul_f64(share), None));
    let mut turn = 0_usize;
    while Instant::now() < window.end {
        for (class, rate) in rates.into_iter().enumerate() {
            while due[class] <= Instant::now() {
                due[class] += gap(&mut random, rate);
                turn += 1;
                let (asker, record) = (askers[turn % askers.len()].clone(), record.clone());
                sent.spawn(async move {
                    let asked = asker.ask(CLASSES[class].priority, CLASSES[class].deadline).await;
                    record.lock().unwrap_or_else(PoisonError::into_inner).push((class, asked));
                });
            }
        }
        // What has ended is in the record; its tasks need not be kept.
        while sent.try_join_next().is_some() {}
        for (at, rss) in looks.iter_mut().filter(|(at, rss)| rss.is_none() && *at <= Instant::now()) {
            let _ = at;
            *rss = rss_without(&record);
        }
        tokio::time::sleep(GAP).await;
    }
    let end = rss_without(&record);
    sent.join_all().await;
    let rss = match (looks, end) {
        ([(_, Some(start)), (_, Some(quarter)), (_, Some(half))], Some(end)) => {
            Some(Memory { start, quarter, half, end })
        }
        _ => None,
    };
    let asked = std::mem::take(&mut *record.lock().unwrap_or_else(PoisonError::into_inner));
    (asked, window, rss)
}

/// Until the next arrival, at so many per second.
fn gap(random: &mut fastrand::Rng, rate: f64) -> Duration {
    Duration::from_secs_f64(-(1.0 - random.f64()).ln() / rate.max(1e-6))
}

/// What this process holds in memory now, without what the load keeps of each request.
fn rss_without(record: &Record) -> Option<u64> {
    let kept = record.lock().unwrap_or_else(PoisonError::into_inner).len() * size_of::<(usize, Asked)>();
    Some(rss_bytes()?.saturating_sub(kept as u64))
}

/// What this process holds in memory now.
fn rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Refusals by a full admission, one after another.
async fn refusals() -> Result<Spread, Error> {
    let longest_wait = Duration::from_secs(30);
    let full = Admission::new(Capacity { running: 1, requests: 1, longest_wait, slow_reader: longest_wait });
    let place = full.enter(&RequestCtx::new("here")).await?;
    let ctx = RequestCtx::new("refused");
    let mut times = Vec::with_capacity(REFUSALS);
    for _ in 0..REFUSALS {
        let begun = Instant::now();
        let refused = full.enter(&ctx).await.is_err();
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        if !refused {
            return Err(Error::internal("a full node let a request in"));
        }
    }
    drop(place);
    Ok(Spread::of(times))
}

impl Report {
    /// As a table.
    pub fn lines(&self) -> Vec<String> {
        let Self { model, sequences, tokens, .. } = self;
        let step = self.step_ms.map_or(String::new(), |ms| format!(", {ms} ms a step"));
        let head = ["MS", "COUNT", "P50", "P99", "MAX"];
        let mut rows = vec![named("refused, at the client".into(), &self.refusal_ms)];
        rows.extend(
            self.classes.iter().map(|class| named(format!("{} waits", class.priority), &class.wait_ms)),
        );
        let classes = self.classes.iter().map(|class| {
            let counts =
                [class.offered, class.complete, class.refused, class.displaced, class.late, class.failed];
            [vec![class.priority.to_owned()], counts.map(|count| count.to_string()).to_vec()].concat()
        });
        let mut lines = vec![
            format!("{model}, {sequences} sequences{step}, {tokens} tokens an answer, {} s", self.seconds),
            format!(
                "capacity {:.1}/s, offered {:.1}/s, complete in time {:.1}/s: {:.1} % of the capacity",
                self.capacity_rps,
                self.offered_rps,
                self.goodput_rps,
                100.0 * self.goodput_share
            ),
            table(&["PRIORITY", "OFFERED", "COMPLETE", "REFUSED", "DISPLACED", "LATE", "FAILED"], classes),
            table(&head, rows),
            format!(
                "a refusal in the admission alone: {:.2} us, 99th percentile {:.2} us",
                self.admission_refusal_us.p50, self.admission_refusal_us.p99
            ),
        ];
        if let Some(Memory { start, quarter, half, end }) = &self.rss {
            let mb = |bytes: &u64| *bytes as f64 / 1e6;
            lines.push(format!(
                "memory: {:.1} MB at the start, {:.1} at a quarter, {:.1} at the half, {:.1} at the end",
                mb(start),
                mb(quarter),
                mb(half),
                mb(end)
            ));
        }
        lines
    }
}

fn named(what: String, spread: &Spread) -> Vec<String> {
    [vec![what], spread.cells()].concat()
}
