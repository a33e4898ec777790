//! Decoding under a constraint beside decoding without: tokens per second, passes, and what passes wait
//! for masks.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use understudy_engine::verbs::{
    JobEvent, OpenSpec, Outcome, RunSpec, SamplerSpec, SeqKey, SignalMode, StopWhen, TokenId, Verb,
};
use understudy_gateway::NodeConfig;
use understudy_grammars::{Budget, Grammar, JsonSpec, Pattern, SqlSpec, Vocabulary, Whitespace};
use understudy_router::gate;

use super::model::Model;
use crate::error::Error;

/// Answers of which each kind's medians are taken, after one of each that leaves everything warm.
const ROUNDS: usize = 5;
/// Longest answer; free ones are as long.
const TOKENS: u32 = 96;

/// A call of a tool, as agents ask for it.
const TOOL: &str = r#"{"type": "object", "properties": {
    "name": {"const": "get_current_weather"},
    "arguments": {"type": "object", "properties": {
        "location": {"type": "string", "maxLength": 40},
        "temperature_unit": {"enum": ["celsius", "fahrenheit"]},
        "include_forecast": {"type": "boolean"},
        "number_of_days": {"type": "integer", "minimum": 1, "maximum": 14}},
      "required": ["location", "temperature_unit", "include_forecast", "number_of_days"],
      "additionalProperties": false}},
  "required": ["name", "arguments"], "additionalProperties": false}"#;
const TOOL_PROMPT: &str = "What is the weather in Paris in the next three days, in celsius? Answer with a call of the tool as compact JSON.";

/// Tables, as questions about them show them.
const TABLES: &str = "CREATE TABLE hotel (hotel_id INTEGER PRIMARY KEY, name TEXT, city TEXT, stars INTEGER);
CREATE TABLE room (room_id INTEGER PRIMARY KEY, hotel_id INTEGER REFERENCES hotel (hotel_id), floor INTEGER, beds INTEGER, price_per_night REAL);
CREATE TABLE guest (guest_id INTEGER PRIMARY KEY, first_name TEXT, last_name TEXT, home_country TEXT);
CREATE TABLE booking (booking_id INTEGER PRIMARY KEY, room_id INTEGER REFERENCES room (room_id), guest_id INTEGER REFERENCES guest (guest_id), arrival_date TEXT, nights INTEGER);";

/// A question about one table, about two, and about groups.
const QUESTIONS: [(&str, &str); 3] = [
    ("sql_one_table", "What are the names and cities of hotels with more than three stars, best first?"),
    ("sql_join", "List the first and last names of guests who booked a room with two beds."),
    (
        "sql_groups",
        "For each city, what is the average price per night of its rooms, and how many rooms are there?",
    ),
];

/// A constraint and a prompt that asks for its texts.
struct Task {
    name: &'static str,
    prompt: String,
    pattern: Pattern,
}

fn tasks() -> Vec<Task> {
    let json = |name, whitespace| {
        let pattern = Pattern::Json(JsonSpec { whitespace, ..JsonSpec::new(TOOL) });
        Task { name, prompt: TOOL_PROMPT.into(), pattern }
    };
    let sql = |(name, question)| {
        let prompt = format!("{TABLES}\n\n{question} Answer with one SQL query and nothing else.");
        Task { name, prompt, pattern: Pattern::Sql(SqlSpec { schema: TABLES.into(), ..SqlSpec::default() }) }
    };
    let calls = [json("tool_call_compact", Whitespace::None), json("tool_call", Whitespace::Usual)];
    calls.into_iter().chain(QUESTIONS.map(sql)).collect()
}

/// Each task free, under its constraint one token at a time, and with tokens that are foreseen; in turn, on
/// engines of the same weights.
pub fn measure(path: &Path, model: &str, vocabulary: &Arc<Vocabulary>) -> Result<Value, Error> {
    let mut report = serde_json::Map::new();
    let foreseeing = NodeConfig::default();
    let mut alone = foreseeing.clone();
    alone.engine.foreseen_tokens = 0;
    let mut engines =
        [Bench(Model::open(path, model, &alone)?), Bench(Model::open(path, model, &foreseeing)?)];
    for task in tasks() {
        let grammar = Grammar::compile(&task.pattern, vocabulary, &Budget::default())
            .map_err(|error| Error::internal(error.to_string()))?;
        let mut runs: [Vec<Run>; 3] = Default::default();
        for round in 0..=ROUNDS {
            let now = [
                engines[0].answer(&task, None)?,
                engines[0].answer(&task, Some(&grammar))?,
                engines[1].answer(&task, Some(&grammar))?,
            ];
            if round > 0 {
                now.into_iter().zip(&mut runs).for_each(|(run, runs)| runs.push(run));
            }
        }
        let [free, alone, foreseen] = runs.map(|mut runs| {
            runs.sort_by(|a, b| a.tok_s.total_cmp(&b.tok_s));
            runs.swap_remove(runs.len() / 2)
        });
        let one = |run: &Run| json!({"tok_s": run.tok_s, "tokens": run.tokens, "passes": run.passes});
        report.insert(
            task.name.into(),
            json!({
                "text": foreseen.text,
                "free": one(&free),
                "constrained": one(&alone),
                "foreseen": one(&foreseen),
                "constrained_over_free": alone.tok_s / free.tok_s,
                "foreseen_over_free": foreseen.tok_s / free.tok_s,
            }),
        );
    }
    let masks = engines.map(|bench| bench.0.engine.stats().masks);
    report.insert(
        "mask_waits".into(),
        json!({
            "passes": masks.iter().map(|stats| stats.passes).sum::<u64>(),
            "over_50_us": masks.iter().map(|stats| stats.late).sum::<u64>(),
            "longest_us": masks.iter().map(|stats| stats.longest.as_micros() as u64).max(),
        }),
    );
    Ok(Value::Object(report))
}

/// An answer that was decoded.
struct Run {
    /// From the first token to the last.
    tok_s: f64,
    tokens: usize,
    passes: u64,
    text: String,
}

struct Bench(Model);

impl Bench {
    fn answer(&mut self, task: &Task, grammar: Option<&Arc<Grammar>>) -> Result<Run, Error> {
        let failed = |why: String| Error::internal(format!("the measured answer: {why}"));
        let prompt = self.0.prompt(&task.prompt)?;
        let gate = match grammar {
            Some(grammar) => Some(
                gate(grammar, self.0.codec.clone(), &[], TOKENS)
                    .map_err(|error| failed(error.to_string()))?,
            ),
            None => None,
        };
        let at = prompt.len();
        let sampler = SamplerSpec::default();
        let (opened, ..) = self.ask(Verb::Open(OpenSpec { prompt, sampler, gate, ..OpenSpec::default() }))?;
        let Outcome::Opened { seq, .. } = opened else { return Err(failed("it did not open".into())) };
        let run = self.decode(seq, at);
        self.ask(Verb::Close { seq })?;
        run
    }

    fn decode(&mut self, seq: SeqKey, at: usize) -> Result<Run, Error> {
        let spec =
            |max_tokens| RunSpec { max_tokens, stop_when: StopWhen::default(), signals: SignalMode::None };
        self.ask(Verb::Run { seq, at, spec: spec(0) })?;
        let started = Instant::now();
        let (_, tokens, passes) = self.ask(Verb::Run { seq, at, spec: spec(TOKENS) })?;
        let tok_s = tokens.len() as f64 / started.elapsed().as_secs_f64();
        Ok(Run { tok_s, tokens: tokens.len(), passes, text: self.0.text(&tokens) })
    }

    /// A verb's outcome, the tokens that it said and its passes.
    fn ask(&mut self, verb: Verb) -> Result<(Outcome, Vec<TokenId>, u64), Error> {
        let job = self.0.submit(verb);
        let (mut events, mut tokens) = (Vec::new(), Vec::new());
        loop {
            self.0.engine.tick(&mut events);
            for (_, event) in events.drain(..).filter(|(of, _)| *of == job) {
                match event {
                    JobEvent::Step(step) => tokens.push(step.token),
                    JobEvent::Done { result, cost } => {
                        let outcome = result.map_err(|error| Error::internal(error.to_string()))?;
                        return Ok((outcome, tokens, cost.forward_passes));
                    }
                }
            }
        }
    }
}
