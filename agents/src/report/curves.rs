//! Quality against cost: what a cascade gains for what it pays, and every baseline.

use understudy_calibration::curve::{Point, Routed};
use understudy_calibration::resampling::{percentile_interval, resample};
use understudy_calibration::study::{Figure, Figures};
use understudy_calibration::{Curve, Pair};

use crate::report::Studied;
use crate::report::chart::{Axis, Chart};
use crate::report::join::{Joined, Ladder};
use crate::report::page::escape;
use crate::report::policies::Totals;

/// Resamples of the items, for bands.
const RESAMPLES: usize = 300;
/// Places of a band.
const PLACES: usize = 40;

/// A way to choose who answers, with its colour's class.
struct Way {
    class: &'static str,
    name: &'static str,
    items: Vec<Routed>,
    band: bool,
}

/// A cost axis.
struct Cost {
    label: &'static str,
    percent: bool,
    /// Of a place on a curve.
    of: fn(&Point, &Totals) -> f64,
    /// Of a file; the teacher's alone for shares.
    measured: fn(&Totals, &Totals) -> f64,
}

const COSTS: [Cost; 3] = [
    Cost {
        label: "teacher tokens, of what the teacher alone writes",
        percent: true,
        of: |point, teacher| point.teacher_tokens / teacher.tokens.max(1e-9),
        measured: |file, teacher| file.teacher_tokens / teacher.tokens.max(1e-9),
    },
    Cost {
        label: "GB of weights read per item",
        percent: false,
        of: |point, _| point.cost.bytes / 1e9,
        measured: |file, _| file.bytes / 1e9,
    },
    Cost {
        label: "seconds per item, mean",
        percent: false,
        of: |point, _| point.cost.ms / 1e3,
        measured: |file, _| file.ms.0 / 1e3,
    },
];

pub(crate) fn section(joined: &Joined<'_>, studied: &Studied) -> String {
    let (pairs, why) = match studied {
        Studied::Nothing(why) => {
            return format!("<section><h2>Quality and cost</h2><p>No curve: {}.</section>", escape(why));
        }
        Studied::Plain(pairs, why) => (pairs, Some(why)),
        Studied::Calibrated(pairs, _) => (pairs, None),
    };
    let Some(ladder) = joined.ladder.filter(|_| !pairs.is_empty()) else {
        return "<section><h2>Quality and cost</h2><p>No curve: the two models share no item.</section>"
            .to_owned();
    };
    let ways = ways(pairs, studied);
    let charts: String = COSTS.iter().map(|cost| chart(joined, ladder, &ways, cost)).collect();
    let figures = match studied {
        Studied::Calibrated(_, study) => figures(&study.figures),
        _ => String::new(),
    };
    let missing =
        why.map_or_else(String::new, |why| format!("<p class=note>No confidences: {}.", escape(why)));
    format!(
        "<section><h2>Quality and cost</h2>{}<div class=charts>{charts}</div>{missing}<p class=note>A curve escalates \
         more and more items, those with the lowest score first; its draft is always paid for. Confidences are of \
         items that were left out of the fit, 20 times over in 5 folds. Bands and bars are 95 % (bands: 300 resamples of \
         the items). Random mixing asks one model for each item, without a draft. The oracle knows which answers are \
         right.{figures}</section>",
        legend(&ways)
    )
}

fn ways(pairs: &[Pair], studied: &Studied) -> Vec<Way> {
    let scored =
        |score: &dyn Fn(&Pair) -> f64| pairs.iter().map(|pair| Routed::new(pair, score(pair))).collect();
    let evidence = |pair: &Pair, name: &str| pair.draft.evidence.get(name).copied().unwrap_or_default();
    let mut ways = vec![
        Way {
            class: "oracle",
            name: "per-item oracle",
            items: pairs.iter().map(Routed::by_oracle).collect(),
            band: false,
        },
        Way {
            class: "length",
            name: "shorter answers stay",
            items: scored(&|pair| -evidence(pair, "length")),
            band: false,
        },
    ];
    if let Studied::Calibrated(_, study) = studied {
        let items =
            pairs.iter().zip(&study.preferences).map(|(pair, &score)| Routed::new(pair, score)).collect();
        let chow = scored(&|pair| evidence(pair, "mean_logprob"));
        ways.push(Way { class: "chow", name: "mean log-probability", items: chow, band: true });
        ways.push(Way { class: "calibrated", name: "calibrated confidence", items, band: true });
    }
    ways
}

fn chart(joined: &Joined<'_>, ladder: Ladder, ways: &[Way], cost: &Cost) -> String {
    let totals: Vec<Totals> = (0..joined.files.len()).map(|file| Totals::of(joined, file)).collect();
    let (draft, teacher) = (&totals[ladder.draft], &totals[ladder.teacher]);
    let place = |point: &Point| ((cost.of)(point, teacher), point.quality);
    let lines: Vec<(&Way, Vec<(f64, f64)>)> = ways
        .iter()
        .filter_map(|way| Some((way, Curve::of(&way.items)?.points.iter().map(place).collect())))
        .collect();
    let measured: Vec<(f64, f64)> =
        totals.iter().map(|file| ((cost.measured)(file, teacher), file.quality())).collect();
    let all = || lines.iter().flat_map(|(_, line)| line).chain(&measured);
    let most = all().map(|place| place.0).fold(0.0, f64::max);
    let intervals = || totals.iter().map(Totals::interval);
    let low = intervals().map(|(low, _)| low).chain(all().map(|place| place.1)).fold(1.0, f64::min);
    let high = intervals().map(|(_, high)| high).chain(all().map(|place| place.1)).fold(0.0, f64::max);
    let x = Axis { label: cost.label.to_owned(), from: 0.0, to: most * 1.03, percent: cost.percent };
    let y = Axis {
        label: "right".to_owned(),
        from: (low - 0.02).max(0.0),
        to: (high + 0.02).min(1.0),
        percent: true,
    };
    let mut chart = Chart::new(x, y);

    for (way, _) in lines.iter().filter(|(way, _)| way.band) {
        chart.band(way.class, &band(&way.items, |point| place(point)));
    }
    let ends = [draft, teacher].map(|file| ((cost.measured)(file, teacher), file.quality()));
    chart.line("random", "random mixing", &ends);
    for (way, line) in &lines {
        chart.line(way.class, way.name, line);
    }
    for (file, (totals, &at)) in totals.iter().zip(&measured).enumerate() {
        let class = if file == ladder.draft || file == ladder.teacher { "rung" } else { "policy" };
        chart.mark(class, &joined.names[file], at, totals.interval());
    }
    let told = format!("Share of right answers against {}", cost.label);
    format!("<figure>{}</figure>", chart.svg(&told))
}

/// The middle 95 % of the curves of resampled items, at equal steps of the cost.
fn band(items: &[Routed], place: impl Fn(&Point) -> (f64, f64)) -> Vec<(f64, f64, f64)> {
    let mut random = fastrand::Rng::with_seed(0);
    let curve = |items: &[Routed]| -> Vec<(f64, f64)> {
        Curve::of(items).map(|curve| curve.points.iter().map(&place).collect()).unwrap_or_default()
    };
    let whole = curve(items);
    let (Some(first), Some(last)) = (whole.first(), whole.last()) else { return Vec::new() };
    let resampled: Vec<Vec<(f64, f64)>> = (0..RESAMPLES)
        .map(|_| curve(&resample(items.len(), &mut random).iter().map(|&at| items[at]).collect::<Vec<_>>()))
        .collect();
    let at = |step: usize| {
        let x = first.0 + (last.0 - first.0) * step as f64 / PLACES as f64;
        let (low, high) = percentile_interval(resampled.iter().filter_map(|line| height(line, x)))?;
        Some((x, low, high))
    };
    (0..=PLACES).filter_map(at).collect()
}

/// Of a line with ascending x, flat beyond its ends.
fn height(line: &[(f64, f64)], x: f64) -> Option<f64> {
    let above = line.partition_point(|place| place.0 <= x);
    match (above.checked_sub(1).and_then(|below| line.get(below)), line.get(above)) {
        (Some(below), Some(above)) => {
            Some(below.1 + (above.1 - below.1) * (x - below.0) / (above.0 - below.0))
        }
        (one, other) => one.or(other).map(|end| end.1),
    }
}

fn legend(ways: &[Way]) -> String {
    let entry = |class: &str, name: &str| format!("<li class=\"{class}\"><i></i>{name}");
    let lines: String = ways.iter().rev().map(|way| entry(way.class, way.name)).collect();
    let random = entry("random", "random mixing");
    let marks = entry("rung dot", "a model alone") + &entry("policy dot", "a policy as measured");
    format!("<ul class=legend>{lines}{random}{marks}</ul>")
}

fn figures(all: &[Figures]) -> String {
    let shown = |figure: Figure| match figure {
        Some((value, (low, high))) => format!("<td>{value:.3} <small>({low:.3} to {high:.3})</small>"),
        None => "<td>–".to_owned(),
    };
    let line = |figures: &Figures| {
        let columns = [
            figures.auroc,
            figures.apgr,
            figures.apgr_gain,
            figures.reach_share,
            figures.reach_gap,
            figures.hindsight_score_share,
            figures.best_quality,
            figures.best_over_teacher,
            figures.best_share,
        ];
        let cells: String = columns.into_iter().map(shown).collect();
        format!("<tr><th scope=row>{}{cells}", escape(figures.method.name()))
    };
    let lines: String = all.iter().map(line).collect();
    format!(
        "<div class=wide><table class=numbers><thead><tr><th>who decides<th>AUROC<th>APGR<th>over mean log-prob.\
         <th>calls for 95 % of the gap<th>gap recovered<th>calls for 95 % of the score<th>best<th>over the teacher\
         <th>calls<tbody>{lines}</table></div><p class=note>Thresholds are chosen on the other folds, and calls, gap and \
         best quality measured where they were not. Calls for 95 % of the score are read off the curve in hindsight. \
         APGR is the share of the gap between draft and teacher that is recovered, averaged over the share of calls; \
         random mixing has 0.5."
    )
}
