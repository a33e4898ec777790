//! How often answers of a confidence are right.

use understudy_calibration::metrics::{Bin, auroc, brier, ece, reliability};

use crate::eval::examples::candidates;
use crate::eval::stats::wilson;
use crate::report::Studied;
use crate::report::chart::{Axis, Chart};
use crate::report::join::Joined;
use crate::report::page::escape;

const BINS: usize = 10;

pub(crate) fn section(joined: &Joined<'_>, studied: &Studied) -> String {
    let mut diagrams = String::new();
    if let (Studied::Calibrated(pairs, study), Some(ladder)) = (studied, joined.ladder) {
        let ok: Vec<bool> = pairs.iter().map(|pair| pair.draft.ok).collect();
        let name = format!("{}, cross-fitted on these rows", joined.names[ladder.draft]);
        diagrams += &diagram(&name, &study.confidences, &ok);
    }
    for (file, name) in joined.names.iter().enumerate() {
        let reported = joined.files[file].rows.iter().filter_map(|row| {
            let confidence = candidates(row).into_iter().find(|candidate| candidate.chosen)?.confidence?;
            Some((confidence, row.ok))
        });
        let (confidences, ok): (Vec<f64>, Vec<bool>) =
            reported.filter(|(confidence, _)| (0.0..=1.0).contains(confidence)).unzip();
        if !ok.is_empty() {
            diagrams += &diagram(&format!("{name}, as the node reported"), &confidences, &ok);
        }
    }
    if diagrams.is_empty() {
        return "<section><h2>Reliability</h2><p>No row has a confidence.</section>".to_owned();
    }
    format!(
        "<section><h2>Reliability</h2><div class=charts>{diagrams}</div><p class=note>Answers in ten bins of confidence: \
         on the diagonal, confidence is the share of right answers. Bars are Wilson's 95 %; the columns show how \
         many answers a bin has.</section>"
    )
}

fn diagram(name: &str, confidences: &[f64], ok: &[bool]) -> String {
    let bins = reliability(confidences, ok, BINS);
    let mut chart = Chart::new(Axis::share("confidence"), Axis::share("right"));
    chart.line("random", "perfect calibration", &[(0.0, 0.0), (1.0, 1.0)]);
    let filled: Vec<&Bin> = bins.iter().filter(|bin| bin.count > 0).collect();
    let line: Vec<(f64, f64)> = filled.iter().map(|bin| (bin.confidence, bin.right)).collect();
    chart.line("calibrated", "right, by confidence", &line);
    for bin in filled {
        let right = (bin.right * bin.count as f64).round() as u64;
        let told = format!("{right} of {} right at confidence {:.2}", bin.count, bin.confidence);
        chart.mark("calibrated", &told, (bin.confidence, bin.right), wilson(right, bin.count as u64));
    }
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1) as f64;
    let y = Axis { label: "answers".to_owned(), from: 0.0, to: most * 1.05, percent: false };
    let mut histogram = Chart::new(Axis::share("confidence"), y);
    for bin in &bins {
        histogram.column("bar", &format!("{} answers", bin.count), (bin.from, bin.to), bin.count as f64);
    }
    let area = auroc(confidences, ok).map_or_else(|| "–".to_owned(), |area| format!("{area:.3}"));
    format!(
        "<figure><figcaption>{}<br><small>{} answers; AUROC {area}, calibration error {:.3}, Brier {:.3}</small>\
         </figcaption>{}</figure><figure><figcaption>How many answers have that confidence<br><small>in ten bins         </small></figcaption>{}</figure>",
        escape(name),
        ok.len(),
        ece(confidences, ok),
        brier(confidences, ok),
        chart.svg("Share of right answers against confidence"),
        histogram.svg("Answers per confidence")
    )
}
