//! `understudy bench grammar`: what constraints cost, and whether they keep their promises.

mod corpus;
mod model;
mod samples;
mod speed;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};
use understudy_actors::source::EngineFactory;
use understudy_engine::codec::Codec;
use understudy_gateway::{GgufEngines, NodeConfig};
use understudy_grammars::Budget;
use understudy_grammars::measure::complete::{Completed, complete};
use understudy_grammars::measure::exact::{Exactness, exact};
use understudy_grammars::measure::judge::{Judged, judge};
use understudy_grammars::measure::{Case, Times};
use understudy_router::vocabulary_of;

use crate::cli::BenchGrammar;
use crate::error::Error;
use crate::render::{line, table};

/// Everything that was measured, by what it is of.
type Report = Map<String, Value>;

pub fn run(args: &BenchGrammar) -> Result<(), Error> {
    let path = super::model_file(&args.model)?;
    let codec = codec(&path, &args.model)?;
    let started = Instant::now();
    let vocabulary = Arc::new(vocabulary_of(codec.as_ref()));
    let vocabulary_ms = started.elapsed().as_secs_f64() * 1e3;
    let data = args.data.join("grammar");
    let schemas = corpus::schemas(&data.join("jsonschemabench"), codec.as_ref())?;
    let suite = corpus::suite(&data.join("json-schema-test-suite/tests/draft2020-12"), codec.as_ref())?;
    if schemas.is_empty() && suite.is_empty() {
        return Err(Error::invalid(format!("--data: {} has no schemas", data.display())));
    }
    let mut report = Report::new();
    report.insert("model".into(), json!(args.model));
    report.insert("vocabulary_tokens".into(), json!(vocabulary.len()));
    report.insert("vocabulary_ms".into(), json!(vocabulary_ms));
    let budget = Budget::default();
    report.insert("jsonschemabench".into(), judged(&judge(&schemas, &vocabulary, &budget), args.verdicts));
    report.insert("json_schema_suite".into(), judged(&judge(&suite, &vocabulary, &budget), args.verdicts));
    let sql = corpus::sql(&data.join("sql/spider"), codec.as_ref())?;
    report.insert("spider".into(), judged(&judge(&sql, &vocabulary, &budget), args.verdicts));
    let graphql = corpus::graphql(&data.join("graphql"), codec.as_ref())?;
    report.insert("graphql".into(), judged(&judge(&graphql, &vocabulary, &budget), args.verdicts));
    let calls = corpus::calls(&schemas, false, codec.as_ref())?;
    report.insert("calls".into(), judged(&judge(&calls, &vocabulary, &budget), args.verdicts));
    let after_text = corpus::calls(&schemas, true, codec.as_ref())?;
    report
        .insert("calls_after_text".into(), judged(&judge(&after_text, &vocabulary, &budget), args.verdicts));
    if args.triples > 0 {
        report.insert(
            "completion".into(),
            completed(&in_parallel(
                &[&schemas[..], &calls, &after_text, &sql, &graphql].concat(),
                |part, share| complete(part, &vocabulary, args.triples * share.0 / share.1, args.seed, false),
            )),
        );
    }
    if args.pairs > 0 {
        report.insert(
            "exactness".into(),
            exactness(&in_parallel(
                &[&schemas[..], &calls, &after_text, &sql, &graphql[..graphql.len().min(1)]].concat(),
                |part, share| exact(part, &vocabulary, args.pairs * share.0 / share.1, args.seed),
            )),
        );
    }
    if args.speed {
        report.insert("speed".into(), speed::measure(&path, &args.model, &vocabulary)?);
    }
    if let Some(file) = &args.texts {
        let protobuf = corpus::protobuf(&data.join("protobuf"))?;
        let languages =
            [("json", &schemas[..]), ("sql", &sql), ("graphql", &graphql), ("protobuf", &protobuf)];
        let texts =
            samples::write((&path, &args.model), &vocabulary, &languages, (args.samples, args.seed), file)?;
        report.insert("texts".into(), texts);
    }
    match args.json {
        true => line(&Value::Object(report).to_string()),
        false => print(&report),
    }
}

fn codec(path: &Path, model: &str) -> Result<Arc<dyn Codec>, Error> {
    let engines = GgufEngines::new(&NodeConfig::default())?;
    let loaded = engines.load(path, model).map_err(|error| Error::invalid(error.to_string()))?;
    Ok(loaded.codec)
}

/// Does something with a part of the cases on each processor; the share is that of the cases.
fn in_parallel<T: Send>(cases: &[Case], act: impl Fn(&[Case], (usize, usize)) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let size = cases.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let act = &act;
        let parts: Vec<_> = cases
            .chunks(size)
            .map(|part| scope.spawn(move || act(part, (part.len(), cases.len()))))
            .collect();
        parts.into_iter().filter_map(|part| part.join().ok()).collect()
    })
}

fn judged(judged: &Judged, verdicts: bool) -> Value {
    let mut report = json!({
        "cases": judged.cases,
        "compiled": judged.compiled,
        "right": judged.right,
        "samples": judged.samples,
        "samples_right": judged.samples_right,
        "false_accepts": judged.false_accepts.len(),
        "compile_us": times(&judged.compile),
        "mask_us": times(&judged.masks),
    });
    if verdicts {
        report["refused"] = json!(judged.refused);
        report["wrong"] = json!([judged.false_accepts, judged.false_rejects]);
    }
    report
}

fn completed(parts: &[Completed]) -> Value {
    let sum = |count: fn(&Completed) -> usize| parts.iter().map(count).sum::<usize>();
    json!({
        "triples": sum(|part| part.triples),
        "complete": sum(|part| part.complete),
        "failed": parts.iter().flat_map(|part| &part.failed).collect::<Vec<_>>(),
    })
}

fn exactness(parts: &[Exactness]) -> Value {
    let sum = |count: fn(&Exactness) -> usize| parts.iter().map(count).sum::<usize>();
    json!({
        "pairs": sum(|part| part.pairs),
        "split_characters": sum(|part| part.split_characters),
        "over": sum(|part| part.over),
        "under": sum(|part| part.under),
    })
}

fn times(times: &Times) -> Value {
    json!({
        "count": times.count(),
        "p50": times.quantile_us(0.5),
        "p99": times.quantile_us(0.99),
        "p999": times.quantile_us(0.999),
        "max": times.quantile_us(1.0),
    })
}

fn print(report: &Report) -> Result<(), Error> {
    line(&format!(
        "{}: {} tokens, ready in {:.0} ms",
        report["model"].as_str().unwrap_or_default(),
        report["vocabulary_tokens"],
        report["vocabulary_ms"].as_f64().unwrap_or_default()
    ))?;
    let judged = report.iter().filter(|(_, part)| part["cases"].as_u64() > Some(0));
    let rows = judged.map(|(name, part)| {
        let time = |what: &str, share: &str| format!("{:.1}", part[what][share].as_f64().unwrap_or_default());
        let mut row = vec![name.clone()];
        row.extend(
            ["cases", "compiled", "right", "samples", "samples_right", "false_accepts"]
                .map(|field| part[field].to_string()),
        );
        row.push(time("compile_us", "p50"));
        row.extend(["p50", "p99", "p999", "max"].map(|share| time("mask_us", share)));
        row
    });
    let heads = [
        "",
        "CASES",
        "COMPILED",
        "RIGHT",
        "SAMPLES",
        "RIGHT",
        "FALSE ACCEPTS",
        "COMPILE US",
        "MASK US P50",
        "P99",
        "P99.9",
        "MAX",
    ];
    line(&table(&heads, rows))?;
    if let Some(part) = report.get("completion") {
        line(&format!("complete within their budgets   {} of {}", part["complete"], part["triples"]))?;
    }
    if let Some(part) = report.get("exactness") {
        line(&format!(
            "states and tokens tried byte by byte   {}, of them {} parts of characters; {} allowed too many, {} too few",
            part["pairs"], part["split_characters"], part["over"], part["under"]
        ))?;
    }
    if let Some(Value::Object(speed)) = report.get("speed") {
        let tasks = speed.iter().filter(|(_, task)| task["free"].is_object());
        let rows = tasks.map(|(name, task)| {
            let rate = |kind: &str| format!("{:.1}", task[kind]["tok_s"].as_f64().unwrap_or_default());
            vec![name.clone(), rate("free"), rate("constrained"), rate("foreseen")]
        });
        line(&table(&["TOK/S", "FREE", "CONSTRAINED", "FORESEEN"], rows))?;
        let waits = &speed["mask_waits"];
        line(&format!(
            "passes with masks   {}; {} waited for one longer than 50 us, {} us at most",
            waits["passes"], waits["over_50_us"], waits["longest_us"]
        ))?;
    }
    Ok(())
}
