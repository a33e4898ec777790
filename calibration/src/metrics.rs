//! How good confidences are.

/// The area under the ROC curve: how often a right answer has a higher score than a wrong one, ties counting half (the
/// Mann-Whitney statistic). `None` unless there are both.
pub fn auroc(scores: &[f64], ok: &[bool]) -> Option<f64> {
    let right = ok.iter().filter(|&&ok| ok).count() as f64;
    let wrong = ok.len() as f64 - right;
    if right == 0.0 || wrong == 0.0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let (mut wins, mut wrong_below) = (0.0, 0.0);
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let right_here = tied.iter().filter(|&&at| ok[at]).count() as f64;
        let wrong_here = tied.len() as f64 - right_here;
        wins += right_here * (wrong_below + wrong_here / 2.0);
        wrong_below += wrong_here;
    }
    Some(wins / (right * wrong))
}

/// Mean squared distance of the confidences to what came out (Brier 1950); 0 without answers.
pub fn brier(confidences: &[f64], ok: &[bool]) -> f64 {
    let squares = confidences.iter().zip(ok).map(|(c, &ok)| (c - f64::from(u8::from(ok))).powi(2));
    squares.sum::<f64>() / confidences.len().max(1) as f64
}

/// Answers of similar confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Least confidence that belongs here.
    pub from: f64,
    /// First confidence that does not, save 1 in the last bin.
    pub to: f64,
    /// Answers.
    pub count: usize,
    /// Mean confidence of them; 0 without any.
    pub confidence: f64,
    /// Share of them that is right; 0 without any.
    pub right: f64,
}

/// Bins of equal width, 0 to 1: a reliability diagram.
pub fn reliability(confidences: &[f64], ok: &[bool], bins: usize) -> Vec<Bin> {
    let bins = bins.max(1);
    let bin_of = |confidence: f64| ((confidence * bins as f64) as usize).min(bins - 1);
    let bin = |at: usize| {
        let inside: Vec<(f64, bool)> =
            confidences.iter().copied().zip(ok.iter().copied()).filter(|(c, _)| bin_of(*c) == at).collect();
        let count = inside.len().max(1) as f64;
        Bin {
            from: at as f64 / bins as f64,
            to: (at + 1) as f64 / bins as f64,
            count: inside.len(),
            confidence: inside.iter().map(|(c, _)| c).sum::<f64>() / count,
            right: inside.iter().filter(|(_, ok)| *ok).count() as f64 / count,
        }
    };
    (0..bins).map(bin).collect()
}

/// The expected calibration error over ten bins of equal width (Naeini, Cooper, Hauskrecht 2015); 0 without answers.
pub fn ece(confidences: &[f64], ok: &[bool]) -> f64 {
    let bins = reliability(confidences, ok, 10);
    let off: f64 = bins.iter().map(|bin| bin.count as f64 * (bin.confidence - bin.right).abs()).sum();
    off / confidences.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auroc_counts_pairs_and_halves_ties() {
        let ok = [true, false, true, false];
        assert_eq!(auroc(&[0.9, 0.1, 0.8, 0.2], &ok), Some(1.0));
        assert_eq!(auroc(&[0.1, 0.9, 0.2, 0.8], &ok), Some(0.0));
        assert_eq!(auroc(&[0.5; 4], &ok), Some(0.5));
        assert_eq!(auroc(&[0.9, 0.5, 0.5, 0.1], &ok), Some(0.875));
        assert_eq!(auroc(&[0.1, 0.2], &[true, true]), None);
    }

    #[test]
    fn calibration_errors_are_the_distance_to_what_came_out() {
        let ok = [true, true, false, false];
        assert_eq!(ece(&[1.0, 1.0, 0.0, 0.0], &ok), 0.0);
        assert!((ece(&[0.75, 0.75, 0.25, 0.25], &ok) - 0.25).abs() < 1e-12);
        assert!((brier(&[0.5; 4], &ok) - 0.25).abs() < 1e-12);
        let bins = reliability(&[1.0, 0.95, 0.05, 0.5], &ok, 10);
        assert_eq!((bins[9].count, bins[9].right, bins[0].count, bins[5].count), (2, 1.0, 1, 1));
        assert_eq!(bins.iter().map(|bin| bin.count).sum::<usize>(), 4);
    }
}
