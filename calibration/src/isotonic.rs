//! Isotonic regression by pooling adjacent violators (Barlow, Bartholomew, Bremner, Brunk 1972).

/// Ascending (score, share of right answers): the rising steps that fit best by least squares, each as a point in the
/// middle of its examples. Between points one interpolates.
pub fn knots(scores: &[f64], ok: &[bool]) -> Vec<(f64, f64)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let mut blocks: Vec<Block> = Vec::new();
    for at in order {
        let right = f64::from(u8::from(ok[at]));
        let single = Block { scores: scores[at], right, count: 1.0 };
        // Equal scores are one place.
        match blocks.last_mut() {
            Some(last) if last.score() == scores[at] => last.absorb(single),
            _ => blocks.push(single),
        }
        while let [.., before, last] = blocks.as_mut_slice() {
            if before.share() < last.share() {
                break;
            }
            before.absorb(*last);
            blocks.pop();
        }
    }
    blocks.iter().map(|block| (block.score(), block.share())).collect()
}

/// The value of the line through the knots, flat beyond its ends; 0.5 without knots.
pub fn interpolate(knots: &[(f64, f64)], score: f64) -> f64 {
    let above = knots.partition_point(|knot| knot.0 <= score);
    match (above.checked_sub(1).and_then(|below| knots.get(below)), knots.get(above)) {
        (Some(below), Some(above)) => {
            let way = (score - below.0) / (above.0 - below.0);
            below.1 + (above.1 - below.1) * way
        }
        (Some(end), None) | (None, Some(end)) => end.1,
        (None, None) => 0.5,
    }
}

#[derive(Clone, Copy)]
struct Block {
    scores: f64,
    right: f64,
    count: f64,
}

impl Block {
    fn score(&self) -> f64 {
        self.scores / self.count
    }

    fn share(&self) -> f64 {
        self.right / self.count
    }

    fn absorb(&mut self, other: Self) {
        self.scores += other.scores;
        self.right += other.right;
        self.count += other.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violators_are_pooled() {
        let ok = [false, true, false, true, true];
        let found = knots(&[1.0, 2.0, 3.0, 4.0, 5.0], &ok);
        assert_eq!(found, [(1.0, 0.0), (2.5, 0.5), (4.5, 1.0)]);
        assert_eq!(interpolate(&found, 1.75), 0.25);
        assert_eq!((interpolate(&found, -9.0), interpolate(&found, 9.0)), (0.0, 1.0));
        assert_eq!(interpolate(&[], 1.0), 0.5);
    }

    #[test]
    fn equal_scores_are_one_step() {
        assert_eq!(knots(&[1.0, 1.0, 1.0, 1.0], &[true, false, false, false]), [(1.0, 0.25)]);
        assert_eq!(knots(&[2.0, 1.0], &[false, true]), [(1.5, 0.5)]);
    }
}
