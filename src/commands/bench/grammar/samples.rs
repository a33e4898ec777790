//! Texts that a model writes under constraints, for others to judge.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use understudy_engine::verbs::{
    JobEvent, JobId, OpenSpec, Outcome, RunSpec, SamplerSpec, SeqKey, SignalMode, StopReason, StopWhen,
    TokenId, Verb,
};
use understudy_gateway::NodeConfig;
use understudy_grammars::measure::Case;
use understudy_grammars::{Budget, Constraint, Grammar, Pattern, ProtoFormat, ProtoSource, Vocabulary};
use understudy_router::gate;

use super::model::Model;
use crate::error::Error;

/// Texts at the same time.
const STREAMS: usize = 8;
/// Budgets exceed the least by up to so many tokens.
const SPARE: u64 = 48;

/// Lets a model write `count` texts of each language at temperature 1, each under a case in turn and with a
/// budget of its own, and writes them to `file`, a JSON object on each line: first the cases, each with its
/// language, number, name and what it says, then for each text language, number of the case, text, and
/// whether it was complete. Returns how many of each language were.
pub fn write(
    (path, model): (&Path, &str),
    vocabulary: &Arc<Vocabulary>,
    languages: &[(&str, &[Case])],
    (count, seed): (usize, u64),
    file: &Path,
) -> Result<Value, Error> {
    let failed = |error: std::io::Error| Error::invalid(format!("--texts {}: {error}", file.display()));
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).map_err(failed)?);
    let mut writer = Writer(Model::open(path, model, &NodeConfig::default())?);
    let mut report = serde_json::Map::new();
    for (language, cases) in languages {
        let compile = |case: &Case| {
            Some((case.clone(), Grammar::compile(&case.pattern, vocabulary, &Budget::default()).ok()?))
        };
        let grammars: Vec<_> = cases.iter().filter_map(compile).collect();
        for (number, (case, _)) in grammars.iter().enumerate().take(count) {
            let line = json!({
                "language": language, "case": number, "name": case.name, "given": given(&case.pattern),
            });
            writeln!(out, "{line}").map_err(failed)?;
        }
        let mut complete = 0;
        let todo = (0..count).filter_map(|number| {
            let of = number % grammars.len().max(1);
            let (case, grammar) = grammars.get(of)?;
            Some(Task { of, case, grammar, seed: seed.wrapping_add(number as u64) })
        });
        writer.run(todo, &mut |task, text, is_complete| {
            complete += usize::from(is_complete);
            let line = json!({
                "language": language, "case": task.of, "text": text, "complete": is_complete,
            });
            writeln!(out, "{line}").map_err(failed)
        })?;
        report.insert(
            (*language).into(),
            json!({"texts": if grammars.is_empty() { 0 } else { count }, "complete": complete}),
        );
    }
    out.flush().map_err(failed)?;
    Ok(Value::Object(report))
}

/// What a judge needs to know of a pattern.
fn given(pattern: &Pattern) -> Value {
    match pattern {
        Pattern::Json(spec) => json!({"schema": spec.schema}),
        Pattern::Sql(spec) => {
            json!({"schema": spec.schema, "double_quoted_strings": spec.double_quoted_strings})
        }
        Pattern::Graphql(spec) => json!({"schema": spec.schema}),
        Pattern::Lark(spec) => json!({"grammar": spec.grammar}),
        Pattern::Calls(spec) => {
            json!(spec.tools.iter().map(|tool| (&tool.name, &tool.parameters)).collect::<Vec<_>>())
        }
        Pattern::Protobuf(spec) => json!({
            "message": spec.message,
            "json": spec.format == ProtoFormat::Json,
            "files": match &spec.source {
                ProtoSource::Files(files) => json!(files),
                ProtoSource::Descriptors(_) => Value::Null,
            },
        }),
        Pattern::Regex(expression) => json!(expression),
        Pattern::Choice(options) => json!(options),
    }
}

/// A text to be written.
struct Task<'a> {
    /// The number of its case.
    of: usize,
    case: &'a Case,
    grammar: &'a Arc<Grammar>,
    seed: u64,
}

/// A text in progress: its sequence is being opened, then it is written.
struct Open<'a> {
    task: Task<'a>,
    /// Tokens of the prompt, and those that the text may have.
    at: usize,
    budget: u32,
    seq: Option<SeqKey>,
    tokens: Vec<TokenId>,
}

struct Writer(Model);

impl Writer {
    /// Writes all texts, several at a time.
    fn run<'a>(
        &mut self,
        mut todo: impl Iterator<Item = Task<'a>>,
        done: &mut impl FnMut(&Task<'a>, &str, bool) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut open: HashMap<JobId, Open<'a>> = HashMap::new();
        let mut events = Vec::new();
        loop {
            while open.len() < STREAMS
                && let Some(task) = todo.next()
            {
                self.begin(task, &mut open)?;
            }
            if open.is_empty() {
                return Ok(());
            }
            self.0.engine.tick(&mut events);
            for (job, event) in events.drain(..) {
                match event {
                    JobEvent::Step(step) => {
                        if let Some(text) = open.get_mut(&job) {
                            text.tokens.push(step.token);
                        }
                    }
                    JobEvent::Done { result, .. } => {
                        let Some(text) = open.remove(&job) else { continue };
                        let outcome = result.map_err(|error| Error::internal(error.to_string()))?;
                        match outcome {
                            Outcome::Opened { seq, .. } => {
                                self.write(Open { seq: Some(seq), ..text }, &mut open)
                            }
                            outcome => self.end(&text, &outcome, done)?,
                        }
                    }
                }
            }
        }
    }

    fn write<'a>(&mut self, text: Open<'a>, open: &mut HashMap<JobId, Open<'a>>) {
        let Some(seq) = text.seq else { return };
        let spec =
            RunSpec { max_tokens: text.budget, stop_when: StopWhen::default(), signals: SignalMode::None };
        let job = self.0.submit(Verb::Run { seq, at: text.at, spec });
        open.insert(job, text);
    }

    fn end<'a>(
        &mut self,
        text: &Open<'a>,
        outcome: &Outcome,
        done: &mut impl FnMut(&Task<'a>, &str, bool) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if let Some(seq) = text.seq {
            self.0.submit(Verb::Close { seq });
        }
        let mut reader = text.task.grammar.matcher();
        let is_read = reader.validate(&text.tokens) == text.tokens.len();
        let is_ended = matches!(outcome, Outcome::Ran { stop, .. } if *stop != StopReason::ContextFull);
        let is_complete = is_read && is_ended && reader.is_accepting();
        done(&text.task, &self.0.text(&text.tokens), is_complete)
    }

    fn begin<'a>(&mut self, task: Task<'a>, open: &mut HashMap<JobId, Open<'a>>) -> Result<(), Error> {
        let failed = |why: String| Error::internal(format!("{}: {why}", task.case.name));
        let question = format!("Write an example, number {}. Name: {}.", task.seed, task.case.name);
        let prompt = self.0.prompt(&question)?;
        let least = task.grammar.matcher().min_close_tokens().unwrap_or(0) as u64;
        // Spread evenly over what is spare.
        let budget = (least + task.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % SPARE) as u32;
        let gate = gate(task.grammar, self.0.codec.clone(), &[], budget)
            .map_err(|error| failed(error.to_string()))?;
        let sampler = SamplerSpec { temperature: 1.0, seed: task.seed, ..SamplerSpec::default() };
        let at = prompt.len();
        let job =
            self.0.submit(Verb::Open(OpenSpec { prompt, sampler, gate: Some(gate), ..OpenSpec::default() }));
        open.insert(job, Open { task, at, budget, seq: None, tokens: Vec::new() });
        Ok(())
    }
}
