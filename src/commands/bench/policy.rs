//! `understudy bench policy`: is a policy faster than the model alone, and does it say the same?
//!
//! Runs alternate, so that a machine whose speed changes changes it for both; the prompt is in the prefix cache for
//! both.

mod asking;
mod gain;
mod suite;

use serde_json::{Value, json};
use understudy_proto::v1::{Finished, GenerateRequest};
use understudy_router::PolicySpec;

use crate::cli::BenchPolicy;
use crate::error::Error;
use crate::render::{line, progress::ItemBar, table};
use crate::source::Source;
use asking::{Difference, ask, decoding, whole};
use gain::{Gain, Pair};
use suite::Prompt;

/// What is compared unless the user says otherwise: drafts by what the text repeats, by the cheaper rungs too, and
/// by a model with another tokenizer.
const POLICIES: [&str; 3] = ["speculate:with=lookup", "speculate", "speculate:draft=smollm2-135m"];
/// The same for the models.
const LADDER: [&str; 2] = ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"];
/// Tokens of the answer that warms a model up.
const WARM_UP: u32 = 16;

/// One policy on one class of prompts.
#[derive(Default)]
struct Tally {
    decode: Vec<Pair>,
    whole: Vec<Pair>,
    drafted: u64,
    accepted: u64,
    forced: u64,
    draft_off: usize,
    differences: Vec<Difference>,
}

/// One policy on the whole suite, class by class.
struct Measured {
    policy: String,
    classes: Vec<(String, Tally)>,
}

pub async fn run(args: BenchPolicy) -> Result<(), Error> {
    let suite = suite::read(&args.suite, args.limit)?;
    let policies = match args.policy.is_empty() {
        true => POLICIES.map(str::to_owned).to_vec(),
        false => args.policy.clone(),
    };
    for policy in &policies {
        let read = policy.parse::<PolicySpec>();
        read.map_err(|error| Error::new("POLICY_UNKNOWN", error.to_string()))?;
    }
    let bench = Bench::new(&args).await?;
    let mut measured: Vec<Measured> = policies
        .into_iter()
        .map(|policy| Measured {
            policy,
            classes: suite.iter().map(|(class, _)| (class.clone(), Tally::default())).collect(),
        })
        .collect();
    bench.warm_up(&suite, &measured).await?;
    let bar = ItemBar::new("policies");
    let total: usize = suite.iter().map(|(_, prompts)| prompts.len()).sum();
    let mut done = 0;
    for (class, (_, prompts)) in suite.iter().enumerate() {
        for (number, prompt) in prompts.iter().enumerate() {
            for Measured { policy, classes } in &mut measured {
                let Some((_, tally)) = classes.get_mut(class) else { continue };
                bar.advance(done, total, &format!("{} {policy}", prompt.id));
                bench.compare(prompt, policy, number % 2 == 1, tally).await?;
            }
            done += 1;
        }
    }
    bar.finish();
    match args.json {
        true => line(&bench.as_json(&measured).to_string()),
        false => bench.print(&measured),
    }
}

/// A node in this process, and who is measured on it.
struct Bench {
    source: Source,
    ladder: Vec<String>,
    pairs: usize,
}

impl Bench {
    async fn new(args: &BenchPolicy) -> Result<Self, Error> {
        let mut ladder = match args.ladder.is_empty() {
            true => LADDER.map(str::to_owned).to_vec(),
            false => args.ladder.clone(),
        };
        if let Some(model) = &args.model {
            let cheaper = ladder.into_iter().take_while(|rung| rung != model);
            ladder = cheaper.chain([model.clone()]).collect();
        }
        Ok(Self { source: Source::computing_on(args.device).await?, ladder, pairs: args.pairs })
    }

    /// Who answers.
    fn model(&self) -> &str {
        self.ladder.last().map_or("", String::as_str)
    }

    /// Loads every model that can be asked for, and lets it compute.
    async fn warm_up(&self, suite: &[(String, Vec<Prompt>)], measured: &[Measured]) -> Result<(), Error> {
        let Some(prompt) = suite.iter().find_map(|(_, prompts)| prompts.first()) else { return Ok(()) };
        let named = measured.iter().flat_map(|Measured { policy, .. }| drafters(policy));
        for model in self.ladder.iter().map(String::as_str).chain(named) {
            let request = GenerateRequest {
                model: model.to_owned(),
                constraint: None,
                max_tokens: Some(WARM_UP),
                ..prompt.request()
            };
            ask(&self.source, request).await?;
        }
        Ok(())
    }

    /// Pairs of answers to a prompt, with one speed for all of its pairs.
    async fn compare(
        &self,
        prompt: &Prompt,
        policy: &str,
        policy_first: bool,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let alone = GenerateRequest { model: self.model().to_owned(), ..prompt.request() };
        let with =
            GenerateRequest { policy: policy.to_owned(), ladder: self.ladder.clone(), ..prompt.request() };
        // Prefills the prompt for both. One token could not complete an answer under a constraint.
        let prefill = GenerateRequest { max_tokens: Some(1), constraint: None, ..alone.clone() };
        let (mut decode, mut all) = (Pair::default(), Pair::default());
        let mut difference = None;
        for _ in 0..self.pairs {
            ask(&self.source, prefill.clone()).await?;
            let (alone, with) = match policy_first {
                true => {
                    let with = ask(&self.source, with.clone()).await?;
                    (ask(&self.source, alone.clone()).await?, with)
                }
                false => {
                    let alone = ask(&self.source, alone.clone()).await?;
                    (alone, ask(&self.source, with.clone()).await?)
                }
            };
            decode.alone += decoding(&alone);
            decode.with += decoding(&with);
            all.alone += whole(&alone);
            all.with += whole(&with);
            tally.count(&with);
            difference = difference.or_else(|| Difference::between(&prompt.id, &alone, &with));
        }
        tally.decode.push(decode);
        tally.whole.push(all);
        tally.differences.extend(difference);
        Ok(())
    }

    fn as_json(&self, measured: &[Measured]) -> Value {
        let policies: Vec<Value> = measured.iter().map(Measured::as_json).collect();
        json!({"model": self.model(), "ladder": self.ladder, "pairs": self.pairs, "policies": policies})
    }

    fn print(&self, measured: &[Measured]) -> Result<(), Error> {
        line(&format!("tokens per second, in units of those of {} alone", self.model()))?;
        for measured in measured {
            line("")?;
            measured.print()?;
        }
        Ok(())
    }
}

/// Models that a policy names as drafters.
fn drafters(policy: &str) -> impl Iterator<Item = &str> {
    policy.split(['+', ':', ',']).filter_map(|param| param.strip_prefix("draft="))
}

impl Tally {
    fn count(&mut self, with: &Finished) {
        let Some(ledger) = &with.ledger else { return };
        self.drafted += u64::from(ledger.drafted);
        self.accepted += u64::from(ledger.accepted);
        self.forced += u64::from(ledger.forced);
        self.draft_off += ledger.decisions.iter().filter(|decision| decision.kind == "draft_off").count();
    }
}

impl Measured {
    /// The geometric means over classes: of decoding, and of all of the time.
    fn mean(&self) -> [Option<Gain>; 2] {
        let of = |pairs: fn(&Tally) -> &Vec<Pair>| {
            Gain::over(&self.classes.iter().map(|(_, tally)| pairs(tally).clone()).collect::<Vec<_>>())
        };
        [of(|tally| &tally.decode), of(|tally| &tally.whole)]
    }

    fn as_json(&self) -> Value {
        let json = |gain: Option<Gain>| gain.map(|gain| gain.as_json());
        let classes = self.classes.iter().map(|(class, tally)| {
            json!({
                "class": class,
                "prompts": tally.decode.len(),
                "decode": json(Gain::over(std::slice::from_ref(&tally.decode))),
                "whole": json(Gain::over(std::slice::from_ref(&tally.whole))),
                "drafted": tally.drafted,
                "accepted": tally.accepted,
                "forced": tally.forced,
                "draft_off": tally.draft_off,
                "mismatches": tally.differences.len(),
                "first_mismatch": tally.differences.first().map(Difference::as_json),
            })
        });
        let [decode, whole] = self.mean().map(json);
        json!({
            "policy": self.policy,
            "classes": classes.collect::<Vec<_>>(),
            "geometric_mean": {"decode": decode, "whole": whole},
        })
    }

    fn print(&self) -> Result<(), Error> {
        let header = [
            &*self.policy,
            "PROMPTS",
            "DECODE, MEDIAN",
            "DECODE, TOTAL",
            "WHOLE, MEDIAN",
            "WHOLE, TOTAL",
            "DRAFTED",
            "ACCEPTED",
            "FORCED",
            "OFF",
            "DIFFERENT",
        ];
        let gains = |gain: Option<Gain>| match gain {
            Some(gain) => [gain.median.to_string(), gain.total.to_string()],
            None => ["-".to_owned(), "-".to_owned()],
        };
        let class = |(class, tally): &(String, Tally)| {
            let mut cells = vec![class.clone(), tally.decode.len().to_string()];
            cells.extend(gains(Gain::over(std::slice::from_ref(&tally.decode))));
            cells.extend(gains(Gain::over(std::slice::from_ref(&tally.whole))));
            cells.extend([tally.drafted, tally.accepted, tally.forced].map(|count| count.to_string()));
            cells.extend([tally.draft_off, tally.differences.len()].map(|count| count.to_string()));
            cells
        };
        let mut rows: Vec<Vec<String>> = self.classes.iter().map(class).collect();
        let mean = self.mean().into_iter().flat_map(gains);
        rows.push(["geometric mean".to_owned(), String::new()].into_iter().chain(mean).collect());
        line(&table(&header, rows))?;
        for difference in self.classes.iter().filter_map(|(_, tally)| tally.differences.first()) {
            line(&format!("different: {difference}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafters_are_found_wherever_a_policy_names_them() {
        let found = |policy| drafters(policy).collect::<Vec<_>>();
        assert_eq!(found("cascade:threshold=0.6+speculate:longest=4,draft=small"), ["small"]);
        assert!(found("speculate:with=lookup").is_empty());
    }
}
