//! Boosted regression trees: what bends, and what matters only together with something else.
//!
//! Friedman 2001, "Greedy function approximation: a gradient boosting machine", for the log-loss; each tree sees a random
//! half of the examples (Friedman 2002, "Stochastic gradient boosting") and some of the columns. Leaves are Newton steps
//! with an L2 penalty, and what is absent takes the side that gains more, as in Chen, Guestrin 2016, "XGBoost", sections
//! 2.2 and 3.4.

use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::logistic::sigmoid;

/// Numbers of trees that are tried.
pub(crate) const ROUNDS: [usize; 3] = [50, 100, 200];
/// Splits on the way to a leaf.
const DEPTH: usize = 3;
/// Share of a Newton step that a tree takes.
const RATE: f64 = 0.05;
/// Share of the examples that a tree sees.
const EXAMPLES: f64 = 0.5;
/// Share of the columns that a tree may split at, and how many it may at least.
const COLUMNS: f64 = 0.4;
const FEWEST_COLUMNS: usize = 6;
/// Fewest examples of a leaf.
const FEWEST: usize = 5;
/// L2 penalty of a leaf's value.
const PENALTY: f64 = 1.0;
const SEED: u64 = 0;

/// A tree of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Tree {
    /// Added to the score.
    Leaf(f64),
    /// Name of the evidence, where it splits, whether what is absent counts as below, and what is below and not.
    Split(String, f64, bool, Box<Tree>, Box<Tree>),
}

impl Tree {
    /// What it adds to the score of this evidence.
    pub(crate) fn value(&self, evidence: &Evidence) -> f64 {
        let mut tree = self;
        loop {
            match tree {
                Self::Leaf(value) => return *value,
                Self::Split(name, at, absent_below, below, above) => {
                    let known = evidence.get(name).filter(|value| !value.is_nan());
                    tree = if known.map_or(*absent_below, |value| value < at) { below } else { above };
                }
            }
        }
    }

    /// Whether every number in it is one.
    pub(crate) fn is_finite(&self) -> bool {
        match self {
            Self::Leaf(value) => value.is_finite(),
            Self::Split(_, at, _, below, above) => at.is_finite() && below.is_finite() && above.is_finite(),
        }
    }
}

/// Examples as columns.
pub(crate) struct Table {
    names: Vec<String>,
    /// For each column each example's value; NaN where it is absent.
    columns: Vec<Vec<f64>>,
    /// For each column the examples that have it, ascending.
    orders: Vec<Vec<usize>>,
}

impl Table {
    pub(crate) fn of(names: impl Iterator<Item = String>, examples: &[&Evidence]) -> Self {
        let mut table = Self { names: names.collect(), columns: Vec::new(), orders: Vec::new() };
        for name in &table.names {
            let column: Vec<f64> =
                examples.iter().map(|evidence| evidence.get(name).copied().unwrap_or(f64::NAN)).collect();
            let mut order: Vec<usize> = (0..column.len()).filter(|&at| !column[at].is_nan()).collect();
            order.sort_by(|&a, &b| column[a].total_cmp(&column[b]));
            table.columns.push(column);
            table.orders.push(order);
        }
        table
    }
}

/// Trees, and the score to which they add.
pub(crate) struct Boosted {
    pub(crate) bias: f64,
    trees: Vec<Vec<Node>>,
    /// For each of [`ROUNDS`], every example's score after so many trees.
    pub(crate) scores: Vec<Vec<f64>>,
}

/// A node by its place in a complete tree: the children of `n` are `2n + 1` and `2n + 2`.
#[derive(Debug, Clone, Copy)]
enum Node {
    Leaf(f64),
    Split(Split),
}

#[derive(Debug, Clone, Copy)]
struct Split {
    column: usize,
    at: f64,
    absent_below: bool,
}

impl Split {
    fn is_below(&self, table: &Table, example: usize) -> bool {
        let value = table.columns[self.column][example];
        if value.is_nan() { self.absent_below } else { value < self.at }
    }
}

/// Sums over examples of a node.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    gradient: f64,
    curvature: f64,
    count: usize,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.gradient += other.gradient;
        self.curvature += other.curvature;
        self.count += other.count;
    }

    fn less(self, other: Self) -> Self {
        Self {
            gradient: self.gradient - other.gradient,
            curvature: self.curvature - other.curvature,
            count: self.count - other.count,
        }
    }

    /// How much a leaf of these lowers the loss, twice.
    fn worth(self) -> f64 {
        self.gradient * self.gradient / (self.curvature + PENALTY)
    }

    fn step(self) -> f64 {
        RATE * self.gradient / (self.curvature + PENALTY)
    }
}

impl Boosted {
    /// Learns from the `kept` examples. The others get scores too.
    pub(crate) fn fit(table: &Table, ok: &[bool], kept: &[usize]) -> Self {
        let mut random = fastrand::Rng::with_seed(SEED);
        let every_column: Vec<usize> = (0..table.names.len()).collect();
        let right = kept.iter().filter(|&&at| ok[at]).count() as f64;
        let share = (right / kept.len().max(1) as f64).clamp(0.01, 0.99);
        let bias = (share / (1.0 - share)).ln();
        let mut scores = vec![bias; ok.len()];
        let mut found = Self { bias, trees: Vec::new(), scores: Vec::new() };
        for round in 1..=ROUNDS[ROUNDS.len() - 1] {
            let seen = chosen(kept, EXAMPLES, 1, &mut random);
            let columns = chosen(&every_column, COLUMNS, FEWEST_COLUMNS, &mut random);
            let sums = |at: usize| {
                let p = sigmoid(scores[at]);
                Sums { gradient: f64::from(u8::from(ok[at])) - p, curvature: p * (1.0 - p), count: 1 }
            };
            let tree = Growing::new(table, &seen, sums).grow(&columns);
            for (at, score) in scores.iter_mut().enumerate() {
                *score += value(&tree, table, at);
            }
            found.trees.push(tree);
            if ROUNDS.contains(&round) {
                found.scores.push(scores.clone());
            }
        }
        found
    }

    /// The first `rounds` trees.
    pub(crate) fn trees(&self, table: &Table, rounds: usize) -> Vec<Tree> {
        self.trees.iter().take(rounds).map(|nodes| named(nodes, table, 0)).collect()
    }
}

/// A random share of these, and `least` of them where there are as many.
fn chosen(of: &[usize], share: f64, least: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    let mut all = of.to_vec();
    random.shuffle(&mut all);
    all.truncate(((of.len() as f64 * share).ceil() as usize).max(least));
    all
}

fn value(tree: &[Node], table: &Table, example: usize) -> f64 {
    let mut place = 0;
    loop {
        match tree[place] {
            Node::Leaf(value) => return value,
            Node::Split(split) => place = 2 * place + if split.is_below(table, example) { 1 } else { 2 },
        }
    }
}

fn named(nodes: &[Node], table: &Table, place: usize) -> Tree {
    match nodes[place] {
        Node::Leaf(value) => Tree::Leaf(value),
        Node::Split(Split { column, at, absent_below }) => {
            let child = |place| Box::new(named(nodes, table, place));
            let (below, above) = (child(2 * place + 1), child(2 * place + 2));
            Tree::Split(table.names[column].clone(), at, absent_below, below, above)
        }
    }
}

/// A tree in the making, level by level.
struct Growing<'a> {
    table: &'a Table,
    /// Each example's node; `None` for those that the tree does not see.
    node_of: Vec<Option<usize>>,
    sums_of: Vec<Sums>,
    nodes: Vec<Node>,
}

impl<'a> Growing<'a> {
    fn new(table: &'a Table, seen: &[usize], sums: impl Fn(usize) -> Sums) -> Self {
        let examples = table.columns.first().map_or(0, Vec::len);
        let (mut node_of, mut sums_of) = (vec![None; examples], vec![Sums::default(); examples]);
        for &at in seen {
            (node_of[at], sums_of[at]) = (Some(0), sums(at));
        }
        Self { table, node_of, sums_of, nodes: vec![Node::Leaf(0.0); (2 << DEPTH) - 1] }
    }

    fn grow(mut self, columns: &[usize]) -> Vec<Node> {
        for level in 0..=DEPTH {
            let first = (1 << level) - 1;
            let mut totals = vec![Sums::default(); 1 << level];
            for (node, sums) in self.node_of.iter().zip(&self.sums_of) {
                if let Some(total) = node.and_then(|node| totals.get_mut(node - first)) {
                    total.add(*sums);
                }
            }
            for (at, total) in totals.iter().enumerate() {
                self.nodes[first + at] = Node::Leaf(total.step());
            }
            if level == DEPTH {
                break;
            }
            let mut best: Vec<Option<(f64, Split)>> = vec![None; totals.len()];
            for &column in columns {
                self.try_column(column, first, &totals, &mut best);
            }
            for (at, split) in best.iter().enumerate() {
                if let Some((_, split)) = split {
                    self.nodes[first + at] = Node::Split(*split);
                }
            }
            for example in 0..self.node_of.len() {
                let Some(node) = self.node_of[example] else { continue };
                self.node_of[example] = match self.nodes[node] {
                    Node::Leaf(_) => None,
                    Node::Split(split) => {
                        let side = if split.is_below(self.table, example) { 1 } else { 2 };
                        Some(2 * node + side)
                    }
                };
            }
        }
        self.nodes
    }

    /// Every place at which a column can split the nodes of a level.
    fn try_column(&self, column: usize, first: usize, totals: &[Sums], best: &mut [Option<(f64, Split)>]) {
        let values = &self.table.columns[column];
        let with_node = || {
            let order = self.table.orders[column].iter();
            order.filter_map(|&example| Some((example, self.node_of[example]? - first)))
        };
        let mut known = vec![Sums::default(); totals.len()];
        with_node().for_each(|(example, node)| known[node].add(self.sums_of[example]));
        let mut below = vec![(f64::NAN, Sums::default()); totals.len()];
        for (example, node) in with_node() {
            let (last, sums) = below[node];
            if values[example] > last {
                let absent = totals[node].less(known[node]);
                let at = last + (values[example] - last) / 2.0;
                // Between neighbouring numbers there may be none.
                let at = if at > last { at } else { values[example] };
                for absent_below in [false, true] {
                    let mut low = sums;
                    if absent_below {
                        low.add(absent);
                    }
                    let high = totals[node].less(low);
                    let gain = low.worth() + high.worth() - totals[node].worth();
                    let better = best[node].is_none_or(|(most, _)| gain > most + 1e-12) && gain > 1e-9;
                    if better && low.count.min(high.count) >= FEWEST && at.is_finite() {
                        best[node] = Some((gain, Split { column, at, absent_below }));
                    }
                }
            }
            below[node].0 = values[example];
            below[node].1.add(self.sums_of[example]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right exactly where two numbers are on different sides of a half: no line can tell.
    fn crossed(count: usize) -> (Vec<Evidence>, Vec<bool>) {
        let mut random = fastrand::Rng::with_seed(3);
        let one = |_| {
            let (a, b) = (random.f64(), random.f64());
            (Evidence::from([("a".to_owned(), a), ("b".to_owned(), b)]), (a < 0.5) != (b < 0.5))
        };
        (0..count).map(one).unzip()
    }

    fn fitted(evidence: &[Evidence], ok: &[bool]) -> (f64, Vec<Tree>) {
        let names = evidence.iter().flat_map(|evidence| evidence.keys().cloned());
        let names: std::collections::BTreeSet<String> = names.collect();
        let table = Table::of(names.into_iter(), &evidence.iter().collect::<Vec<_>>());
        let found = Boosted::fit(&table, ok, &(0..ok.len()).collect::<Vec<_>>());
        let (rounds, trees) = (ROUNDS[2], found.trees(&table, ROUNDS[2]));
        for (at, evidence) in evidence.iter().enumerate() {
            let by_name = found.bias + trees.iter().map(|tree| tree.value(evidence)).sum::<f64>();
            assert!((by_name - found.scores[2][at]).abs() < 1e-9, "{rounds} trees say the same by name");
        }
        (found.bias, trees)
    }

    #[test]
    fn what_matters_only_together_is_learned() {
        let (evidence, ok) = crossed(800);
        let (bias, trees) = fitted(&evidence[..400], &ok[..400]);
        let right = evidence[400..].iter().zip(&ok[400..]).filter(|(evidence, ok)| {
            (bias + trees.iter().map(|tree| tree.value(evidence)).sum::<f64>() > 0.0) == **ok
        });
        let right = right.count();
        assert!(right > 340, "{right} of 400 unseen ones");
    }

    #[test]
    fn absence_takes_the_side_that_it_tells() {
        let (mut evidence, mut ok) = crossed(400);
        for (at, (evidence, ok)) in evidence.iter_mut().zip(&mut ok).enumerate() {
            if at % 4 == 0 {
                evidence.remove("a");
                *ok = true;
            }
        }
        let (bias, trees) = fitted(&evidence, &ok);
        let score = |evidence: Evidence| bias + trees.iter().map(|tree| tree.value(&evidence)).sum::<f64>();
        assert!(score(Evidence::from([("b".to_owned(), 0.9)])) > 1.0);
        assert!(score(Evidence::from([("a".to_owned(), f64::NAN), ("b".to_owned(), 0.9)])) > 1.0);
        assert!(score(Evidence::from([("a".to_owned(), 0.9), ("b".to_owned(), 0.9)])) < 0.0);
    }

    #[test]
    fn nothing_to_split_is_no_tree() {
        let evidence = vec![Evidence::from([("a".to_owned(), 1.0)]); 20];
        let ok: Vec<bool> = (0..20).map(|at| at % 2 == 0).collect();
        let (_, trees) = fitted(&evidence, &ok);
        assert!(trees.iter().all(|tree| matches!(tree, Tree::Leaf(_))));
    }

    #[test]
    fn a_tree_survives_its_file() {
        let leaf = |value| Box::new(Tree::Leaf(value));
        let tree = Tree::Split("a".into(), 0.5, true, leaf(-0.25), leaf(1.0));
        let json = serde_json::to_string(&tree).unwrap();
        assert_eq!(json, r#"["a",0.5,true,-0.25,1.0]"#);
        assert_eq!(serde_json::from_str::<Tree>(&json).unwrap(), tree);
        assert!(
            tree.is_finite() && !Tree::Split("a".into(), f64::NAN, true, leaf(0.0), leaf(0.0)).is_finite()
        );
    }
}
