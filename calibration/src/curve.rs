//! What a two-rung cascade gains for what it pays.
//!
//! Items are escalated in the order of their scores, lowest first. At each share of escalated items stands the quality of
//! the mix; the baseline, random mixing, is the straight line from the draft's quality to the teacher's, exactly.

use crate::evidence::{Cost, Pair};

/// One item under a score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Routed {
    /// Lower is escalated sooner.
    pub score: f64,
    /// Value of the draft: 1 right, 0 wrong.
    pub draft: f64,
    /// Value of the teacher's answer.
    pub teacher: f64,
    /// Value of what the cascade answers after an escalation: the teacher's, unless it chooses between the two.
    pub escalated: f64,
    /// Cost of the draft, which is always paid.
    pub draft_cost: Cost,
    /// Cost of the escalation.
    pub teacher_cost: Cost,
}

impl Routed {
    /// An item whose escalation gives the teacher's answer.
    pub fn new(pair: &Pair, score: f64) -> Self {
        let value = |ok: bool| f64::from(u8::from(ok));
        Self {
            score,
            draft: value(pair.draft.ok),
            teacher: value(pair.teacher.ok),
            escalated: value(pair.teacher.ok),
            draft_cost: pair.draft.cost,
            teacher_cost: pair.teacher.cost,
        }
    }

    /// The score of the per-item oracle: items that only the teacher gets right come first, those that only the draft
    /// gets right last.
    pub fn by_oracle(pair: &Pair) -> Self {
        let routed = Self::new(pair, 0.0);
        Self { score: routed.draft - routed.teacher, ..routed }
    }
}

/// A place on the curve: all items with a score below some threshold are escalated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Share of escalated items, 0 to 1.
    pub share: f64,
    /// Mean value.
    pub quality: f64,
    /// Cost of an item, on average.
    pub cost: Cost,
    /// Tokens that the teacher wrote, of an item, on average.
    pub teacher_tokens: f64,
}

/// Quality against share of teacher calls, from none to all.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Ascending share; items of equal score move together, so between two points the items in between come in random
    /// order, and the expectation is the straight line.
    pub points: Vec<Point>,
    /// Quality of the draft alone.
    pub draft: f64,
    /// Quality of the teacher alone.
    pub teacher: f64,
}

impl Curve {
    /// `None` without items.
    pub fn of(items: &[Routed]) -> Option<Self> {
        let n = items.len() as f64;
        let mut order: Vec<&Routed> = items.iter().collect();
        order.sort_by(|a, b| a.score.total_cmp(&b.score));
        let mean = |value: fn(&Routed) -> f64| items.iter().map(value).sum::<f64>() / n;
        let scaled = |cost: Cost| Cost { tokens: cost.tokens / n, bytes: cost.bytes / n, ms: cost.ms / n };
        let draft = mean(|item| item.draft);
        let start = Point {
            share: 0.0,
            quality: draft,
            cost: items.iter().fold(Cost::default(), |sum, item| sum + scaled(item.draft_cost)),
            teacher_tokens: 0.0,
        };
        let mut points = vec![start];
        for tied in order.chunk_by(|a, b| a.score == b.score) {
            let mut point = *points.last()?;
            for item in tied {
                point.share += 1.0 / n;
                point.quality += (item.escalated - item.draft) / n;
                point.cost = point.cost + scaled(item.teacher_cost);
                point.teacher_tokens += item.teacher_cost.tokens / n;
            }
            points.push(point);
        }
        (!items.is_empty()).then(|| Self { points, draft, teacher: mean(|item| item.teacher) })
    }

    /// Average performance gap recovered, as in RouteLLM (Ong et al. 2024, section 3): the performance gap recovered at
    /// a share c of teacher calls,
    ///
    /// ```text
    /// PGR(c) = (quality(c) - quality of the draft) / (quality of the teacher - quality of the draft),
    /// ```
    ///
    /// averaged over c from 0 to 1. There it is a mean over ten values of c, here the area under the whole curve. Random
    /// mixing has 0.5. `None` unless the teacher is better.
    pub fn apgr(&self) -> Option<f64> {
        let area = self.points.windows(2).map(|ends| {
            let [from, to] = [ends[0], ends[1]];
            (to.share - from.share) * ((from.quality + to.quality) / 2.0 - self.draft)
        });
        self.has_gap().then(|| area.sum::<f64>() / (self.teacher - self.draft))
    }

    /// The share of the gap between draft and teacher that a quality recovers. `None` unless the teacher is better.
    pub fn gap_recovered(&self, quality: f64) -> Option<f64> {
        self.has_gap().then(|| (quality - self.draft) / (self.teacher - self.draft))
    }

    /// The least share of teacher calls whose quality is `fraction` of the way from draft to teacher.
    pub fn share_for_gap(&self, fraction: f64) -> Option<f64> {
        self.has_gap()
            .then(|| self.share_reaching(self.draft + fraction * (self.teacher - self.draft)))
            .flatten()
    }

    /// The least share of teacher calls whose quality is `fraction` of the teacher's.
    pub fn share_for_score(&self, fraction: f64) -> Option<f64> {
        self.share_reaching(fraction * self.teacher)
    }

    /// The least share at which the curve has this quality.
    pub fn share_reaching(&self, quality: f64) -> Option<f64> {
        // Sums of many shares are not exact.
        let wanted = quality - 1e-9;
        if self.draft >= wanted {
            return Some(0.0);
        }
        self.points.windows(2).find(|ends| ends[1].quality >= wanted).map(|ends| {
            let way = ((quality - ends[0].quality) / (ends[1].quality - ends[0].quality)).clamp(0.0, 1.0);
            ends[0].share + way * (ends[1].share - ends[0].share)
        })
    }

    fn has_gap(&self) -> bool {
        self.teacher > self.draft + 1e-9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(score: f64, draft: f64, teacher: f64) -> Routed {
        let cost = |tokens| Cost { tokens, bytes: tokens * 10.0, ms: 1.0 };
        Routed { score, draft, teacher, escalated: teacher, draft_cost: cost(1.0), teacher_cost: cost(2.0) }
    }

    /// Draft right on one of four, teacher on three.
    fn items(scores: [f64; 4]) -> Vec<Routed> {
        let values = [(0.0, 1.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0)];
        scores.iter().zip(values).map(|(score, (draft, teacher))| item(*score, draft, teacher)).collect()
    }

    #[test]
    fn the_area_is_computed_by_hand_and_random_is_one_half() {
        let best = Curve::of(&items([0.1, 0.2, 0.9, 0.8])).unwrap();
        assert_eq!((best.draft, best.teacher), (0.25, 0.75));
        // Quality .25 .5 .75 .75 .75; recovered 0 .5 1 1 1.
        assert!((best.apgr().unwrap() - (0.25 + 0.75 + 1.0 + 1.0) / 4.0).abs() < 1e-12);
        assert!((best.share_for_gap(0.95).unwrap() - 0.475).abs() < 1e-9);
        assert!((best.share_for_score(0.95).unwrap() - 0.4625).abs() < 1e-9);
        let worst = Curve::of(&items([0.9, 0.8, 0.1, 0.2])).unwrap();
        assert!(worst.apgr().unwrap() < 0.5);
        let unknowing = Curve::of(&items([0.5; 4])).unwrap();
        assert!((unknowing.apgr().unwrap() - 0.5).abs() < 1e-12, "equal scores are random mixing");
        assert!((unknowing.share_for_gap(0.95).unwrap() - 0.95).abs() < 1e-9);
    }

    #[test]
    fn costs_add_up_from_the_draft_alone_to_both() {
        let curve = Curve::of(&items([0.1, 0.2, 0.9, 0.8])).unwrap();
        let (first, last) = (curve.points[0], curve.points[4]);
        assert_eq!((first.cost.tokens, first.teacher_tokens), (1.0, 0.0));
        assert!((last.cost.tokens - 3.0).abs() < 1e-12 && (last.teacher_tokens - 2.0).abs() < 1e-12);
        assert!((last.cost.bytes - 30.0).abs() < 1e-9 && (last.share - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_oracle_may_lie_above_the_teacher() {
        let pair = |draft, teacher| {
            let example = |ok| crate::Example { ok, ..Default::default() };
            Pair { item: String::new(), draft: example(draft), teacher: example(teacher) }
        };
        let pairs = [pair(true, false), pair(false, true), pair(false, true), pair(false, false)];
        let curve = Curve::of(&pairs.iter().map(Routed::by_oracle).collect::<Vec<_>>()).unwrap();
        assert!(curve.apgr().unwrap() > 1.0);
        let top = curve.points.iter().map(|point| point.quality).fold(0.0, f64::max);
        assert_eq!((top, curve.teacher), (0.75, 0.5));
    }

    #[test]
    fn without_a_gap_there_is_none_to_recover() {
        let same = Curve::of(&[item(0.1, 1.0, 1.0), item(0.2, 0.0, 0.0)]).unwrap();
        assert_eq!((same.apgr(), same.share_for_gap(0.95)), (None, None));
        assert_eq!(same.share_for_score(0.95), Some(0.0));
        assert_eq!(Curve::of(&[]), None);
    }
}
