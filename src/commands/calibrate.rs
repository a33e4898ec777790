//! `understudy calibrate`: rows of two models become a profile.

use understudy_agents::eval::{Calibration, EvalError, Rows, examples};
use understudy_calibration::profile::Goal;
use understudy_calibration::study::{Figure, Figures, Plan};

use crate::cli::{Calibrate, GoalArgs};
use crate::error::Error;
use crate::render::{line, table};

pub fn run(args: Calibrate) -> Result<(), Error> {
    let files: Vec<Rows> = args.rows.iter().map(|path| Rows::read(path)).collect::<Result<_, _>>()?;
    let paired = examples::pairs(&files)?;
    let task = args.task.unwrap_or_else(|| paired.suite.clone());
    let plan = Plan { seed: args.seed, ..Plan::default() };
    let found = Calibration::of(paired, &task, goal(&args.goal), plan)?;
    std::fs::write(&args.out, found.profile.to_json() + "\n")
        .map_err(|error| EvalError::Output(format!("{}: {error}", args.out.display())))?;
    if args.json {
        return line(&found.as_json().to_string());
    }
    print(&found)?;
    line(&format!("profile     {}", args.out.display()))
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
