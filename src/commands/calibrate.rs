//! `understudy calibrate`: rows of two models become a profile.

use std::path::Path;

use serde_json::json;
use understudy_agents::eval::examples::{self, Paired};
use understudy_agents::eval::{Calibration, EvalError, Rows, routes};
use understudy_calibration::profile::{Goal, LadderProfile, Profile, Rung};
use understudy_calibration::study::{Figure, Figures, Plan};
use understudy_calibration::{Cost, Example, Pair};
use understudy_gateway::NodeConfig;
use understudy_ledger::replay::{self, Judged};
use understudy_ledger::{Entry, Filter, Reader};

use crate::cli::{Calibrate, GoalArgs};
use crate::error::Error;
use crate::render::{line, table};

pub fn run(args: Calibrate) -> Result<(), Error> {
    if args.route {
        return route(&args);
    }
    let paired = match &args.replay {
        Some(file) => replayed(file.as_deref(), args.task.as_deref())?,
        None => examples::pairs(&rows(&args)?)?,
    };
    let task = args.task.unwrap_or_else(|| paired.suite.clone());
    let plan = Plan { seed: args.seed, ..Plan::default() };
    let found = Calibration::of(paired, &task, goal(&args.goal), plan)?;
    write(&args.out, &found.profile)?;
    if args.json {
        return line(&found.as_json().to_string());
    }
    print(&found)?;
    line(&format!("profile     {}", args.out.display()))
}

fn rows(args: &Calibrate) -> Result<Vec<Rows>, Error> {
    Ok(args.rows.iter().map(|path| Rows::read(path)).collect::<Result<_, _>>()?)
}

fn write(out: &Path, profile: &LadderProfile) -> Result<(), Error> {
    let written = std::fs::write(out, profile.to_json() + "\n");
    Ok(written.map_err(|error| EvalError::Output(format!("{}: {error}", out.display())))?)
}

/// What prompts tell of each model.
fn route(args: &Calibrate) -> Result<(), Error> {
    let files = rows(args)?;
    let suite = files.first().map_or("", |rows| rows.header.identity.suite.as_str());
    let profile = routes(&files, args.task.as_deref().unwrap_or(suite))?;
    write(&args.out, &profile)?;
    let rung = |rung: &Rung| {
        let Profile { model, fitted_on, auroc, ece, .. } = &rung.profile;
        json!({"model": model, "rows": fitted_on.rows, "right": fitted_on.right, "auroc": auroc, "ece": ece})
    };
    if args.json {
        let rungs: Vec<_> = profile.rungs.iter().map(rung).collect();
        return line(&json!({"task": profile.task, "rungs": rungs}).to_string());
    }
    let shown = profile.rungs.iter().map(|rung| {
        let Profile { model, fitted_on, auroc, ece, .. } = &rung.profile;
        let auroc = auroc.map_or("-".to_owned(), |auroc| format!("{auroc:.3}"));
        vec![
            model.clone(),
            fitted_on.rows.to_string(),
            fitted_on.right.to_string(),
            auroc,
            format!("{ece:.3}"),
        ]
    });
    line(&table(&["MODEL", "ROWS", "RIGHT", "AUROC", "ERROR"], shown))?;
    line(&format!("profile     {}", args.out.display()))
}

/// Requests of the ledger whose drafts and last answers both have a label.
fn replayed(file: Option<&Path>, task: Option<&str>) -> Result<Paired, Error> {
    let entries: Vec<Entry> = match file {
        Some(path) => {
            let opened = std::fs::File::open(path);
            let opened = opened.map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
            replay::read(std::io::BufReader::new(opened)).collect::<Result<_, _>>()?
        }
        None => {
            let reader = Reader::open(&NodeConfig::default().ledger_file()?)?;
            let entries = reader.entries(Filter::default());
            entries.collect::<Result<_, _>>()?
        }
    };
    let meant = entries.iter().filter(|entry| task.is_none_or(|task| entry.task == task));
    let mut paired = Paired {
        suite: task.unwrap_or("ledger").to_owned(),
        draft: String::new(),
        teacher: String::new(),
        pairs: Vec::new(),
        unpaired: 0,
    };
    for entry in meant {
        let judged: Vec<Judged> = replay::judged(entry).collect();
        let draft = judged.iter().find(|judged| !judged.is_teacher);
        let teacher = judged.iter().find(|judged| judged.is_teacher);
        let (Some(draft), Some(teacher)) = (draft, teacher) else {
            paired.unpaired += 1;
            continue;
        };
        if paired.pairs.is_empty() {
            (paired.draft, paired.teacher) = (draft.model.clone(), teacher.model.clone());
        }
        if (&paired.draft, &paired.teacher) != (&draft.model, &teacher.model) {
            paired.unpaired += 1;
            continue;
        }
        let item = format!("{} {}", paired.pairs.len(), entry.request_id);
        paired.pairs.push(Pair { item, draft: example(draft), teacher: example(teacher) });
    }
    match paired.pairs.is_empty() {
        true => Err(Error::invalid(
            "no request of the ledger has a draft and a last answer that both have a label; see docs/ledger.md",
        )),
        false => Ok(paired),
    }
}

fn example(judged: &Judged) -> Example {
    Example {
        evidence: judged.evidence.clone(),
        ok: judged.ok,
        cost: Cost { tokens: judged.tokens, bytes: judged.bytes, ms: judged.ms },
        outcome: judged.outcome.clone(),
    }
}

fn goal(args: &GoalArgs) -> Goal {
    let budget = args.budget.map(|share| Goal::Budget { share });
    let compute = args.compute.map(|share| Goal::Compute { share });
    let latency = args.latency.map(|ms| Goal::Latency { ms });
    let risk = args.risk.map(|alpha| Goal::Risk { alpha });
    budget.or(compute).or(latency).or(risk).unwrap_or(Goal::Quality)
}

fn print(found: &Calibration) -> Result<(), Error> {
    let (study, paired) = (&found.study, &found.paired);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    line(&format!("{}: {} items, {} unpaired", paired.suite, study.items, paired.unpaired))?;
    line(&format!(
        "{} {} right, {} {}",
        paired.draft,
        percent(study.draft),
        paired.teacher,
        percent(study.teacher)
    ))?;
    let header = ["METHOD", "AUROC", "APGR", "OVER CHOW", "CALLS", "GAP", "BEST", "OVER TEACHER", "CALLS"];
    line(&table(&header, study.figures.iter().map(row)))?;
    line(
        "each with its 95 % interval, from 20 x 5-fold cross-fitting; docs/calibration.md says what it means",
    )?;
    line(&format!("calibration error {:.3}, Brier score {:.3}", study.ece, study.brier))?;
    let rung = found.profile.rungs.first();
    if let Some(threshold) = rung.and_then(|rung| rung.threshold) {
        let (share, quality) = found.operating;
        line(&format!(
            "threshold   {threshold:.4}: {} go to {}, {} right",
            percent(share),
            paired.teacher,
            percent(quality)
        ))?;
    }
    if let Some(held) = found.certified {
        line(&format!(
            "certified   {} random splits: {} ± {} lost (asked: at most {}), {} go to {}; {} infeasible",
            held.splits,
            percent(held.loss),
            percent(held.standard_error),
            percent(held.alpha),
            percent(held.share),
            paired.teacher,
            held.infeasible
        ))?;
    }
    Ok(())
}

fn row(figures: &Figures) -> Vec<String> {
    let shown = |figure: Figure| match figure {
        Some((value, (low, high))) => format!("{value:.3} ({low:.3} to {high:.3})"),
        None => "-".to_owned(),
    };
    let columns = [
        figures.auroc,
        figures.apgr,
        figures.apgr_gain,
        figures.reach_share,
        figures.reach_gap,
        figures.best_quality,
        figures.best_over_teacher,
        figures.best_share,
    ];
    [figures.method.name().to_owned()].into_iter().chain(columns.map(shown)).collect()
}
