//! `understudy eval`: a suite of tasks, or the difference of two measurements.

use std::path::Path;
use std::time::Duration;

use understudy_agents::eval::{self, Comparison, Options, Rows, Suite, Summary};

use crate::cli::{Eval, EvalCommand, EvalRun, Server};
use crate::error::Error;
use crate::render::{line, progress::ItemBar};
use crate::source::Reached;

pub async fn run(args: Eval) -> Result<(), Error> {
    match (args.compare, args.run) {
        (Some(EvalCommand::Compare { a, b, json }), _) => compare(&a, &b, json),
        (None, Some(run)) => measure(run, &args.server).await,
        (None, None) => Err(Error::invalid("name a suite, or two files to compare")),
    }
}

async fn measure(args: EvalRun, server: &Server) -> Result<(), Error> {
    let suite = Suite::named(&args.suite)
        .ok_or_else(|| Error::invalid(format!("there is no suite {:?}", args.suite)))?;
    if !args.temperature.is_finite() || args.temperature < 0.0 {
        return Err(Error::invalid(format!("--temperature {} is not at least 0", args.temperature)));
    }
    let options = Options {
        suite,
        data: args.data,
        out: args.out,
        policy: args.policy.unwrap_or_default(),
        model: args.model.unwrap_or_default(),
        ladder: args.ladder,
        task: args.task,
        constrain: args.constrain,
        validators: args.validators,
        limit: args.limit,
        seed: args.seed,
        temperature: args.temperature,
        max_tokens: args.max_tokens,
        concurrency: args.concurrency,
        timeout: Duration::from_secs(args.timeout),
        git: env!("UNDERSTUDY_GIT_COMMIT").to_owned(),
    };
    let reached = Reached::find(server.named()).await?;
    let mut bar = ItemBar::new(suite.name());
    let summary = eval::run(&reached.client, &options, &mut |progress| bar.show(progress)).await;
    bar.finish();
    let summary = summary?;
    if args.json {
        return line(&summary.as_json().to_string());
    }
    print_summary(&summary, &options.out)
}

fn print_summary(summary: &Summary, out: &Path) -> Result<(), Error> {
    let header = &summary.rows.header;
    let who = [header.identity.model.as_str(), header.identity.policy.as_str()];
    let who = who.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ");
    line(&format!("{} {}: {} of {} items", header.identity.suite, who, summary.items, header.items))?;
    if let Some((share, (low, high))) = summary.accuracy() {
        let [share, low, high] = [share, low, high].map(|share| share * 100.0);
        line(&format!(
            "accuracy    {share:.1} % ({} right; 95 % interval {low:.1} to {high:.1} %)",
            summary.ok
        ))?;
    }
    if let Some(likelihood) = summary.likelihood {
        let perplexity = likelihood.perplexity();
        line(&format!(
            "perplexity  {perplexity:.4} ({:.2} nats, {} tokens)",
            likelihood.nll, likelihood.tokens
        ))?;
    }
    if let (Some(latency), Some(speed)) = (summary.mean_latency_ms, summary.tokens_per_s) {
        line(&format!("latency     {latency:.0} ms mean, {speed:.1} tokens/s"))?;
    }
    if summary.unanswered > 0 {
        line(&format!("unanswered  {} (their rows say why)", summary.unanswered))?;
    }
    for (why, count) in &header.skipped {
        line(&format!("left out    {count}: {why}"))?;
    }
    line(&format!("rows        {}", out.display()))
}

fn compare(a: &Path, b: &Path, json: bool) -> Result<(), Error> {
    let found = eval::compare(&Rows::read(a)?, &Rows::read(b)?)?;
    if json {
        return line(&found.as_json().to_string());
    }
    print_comparison(&found)
}

fn print_comparison(found: &Comparison) -> Result<(), Error> {
    let (a, b) = found.means;
    let (difference, (low, high)) = found.difference;
    line(&format!("{}: {} items in both, {} in one only", found.suite, found.items, found.unpaired))?;
    match (found.perplexities, found.discordant) {
        (Some((ppl_a, ppl_b)), _) => {
            line(&format!("perplexity  A {ppl_a:.4}, B {ppl_b:.4}"))?;
            line(&format!("nats/token  A {a:.5}, B {b:.5}"))?;
            line(&format!("B - A       {difference:+.6} (95 % interval {low:+.6} to {high:+.6})"))?;
        }
        (None, discordant) => {
            let percent = |share: f64| share * 100.0;
            line(&format!("accuracy    A {:.1} %, B {:.1} %", percent(a), percent(b)))?;
            let [difference, low, high] = [difference, low, high].map(percent);
            line(&format!("B - A       {difference:+.1} points (95 % interval {low:+.1} to {high:+.1})"))?;
            if let Some(found) = discordant {
                let (only_a, only_b) = (found.only_a, found.only_b);
                line(&format!("right in one only: A {only_a}, B {only_b}; McNemar p {:.3}", found.p_value))?;
            }
            line(&format!("answers that differ: {}", found.changed_answers))?;
        }
    }
    Ok(())
}
