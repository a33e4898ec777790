//! Productions of which every symbol has a text, and what is known about them.

use super::rules::Symbol;
use super::syntax::Place;
use crate::GrammarError;

/// An alternative of a rule.
#[derive(Debug, Clone)]
pub(super) struct Production {
    pub(super) left: u32,
    /// Each has a text that is not empty.
    pub(super) right: Vec<Symbol>,
}

/// Rules whose every alternative can be completed.
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) productions: Vec<Production>,
    /// Productions of each rule.
    pub(super) of: Vec<Vec<u32>>,
    /// Whether nothing is a text of the rule.
    pub(super) nullable: Vec<bool>,
    /// A text of few tokens of each rule, of those that are not nullable.
    pub(super) least: Vec<Least>,
    /// Where terminals and rules are the first symbol of a production but for ones that may be left out.
    begin: (Vec<Vec<Place2>>, Vec<Vec<Place2>>),
}

/// A production and a position in it.
pub(super) type Place2 = (u32, u32);

#[derive(Debug, Clone, Default)]
pub(super) struct Least {
    pub(super) tokens: u32,
    /// Symbols of the text, each to be completed by its own least text.
    pub(super) symbols: Vec<Symbol>,
}

/// Longest text that completing a rule may need, in tokens.
const LONGEST: u32 = 50_000;

impl Rules {
    /// Drops alternatives that no text completes, and symbols of which nothing is the only text. `tokens`
    /// tells how many tokens a terminal's shortest text takes, `None` where it has no text.
    ///
    /// # Errors
    /// [`GrammarError::NothingMatches`] where `start` has no text but the empty one, [`GrammarError::Lark`]
    /// where a rule's shortest text is too long.
    pub(super) fn new(
        rules: &[Vec<Vec<Symbol>>],
        places: &[Place],
        tokens: &[Option<u32>],
    ) -> Result<Self, GrammarError> {
        let parents = parents(rules);
        let finite = with_text(rules, &parents, tokens);
        let filled = with_filled_text(rules, &parents, tokens, &finite);
        if !filled[0] {
            return Err(GrammarError::NothingMatches(Vec::new()));
        }
        let is = |flags: &[bool], symbol: &Symbol| match symbol {
            Symbol::Rule(rule) => flags[*rule as usize],
            Symbol::Terminal(terminal) => tokens[*terminal as usize].is_some(),
        };
        let mut normal = Self { of: vec![Vec::new(); rules.len()], ..Self::default() };
        normal.nullable = nullable(rules, &parents);
        for (left, options) in rules.iter().enumerate() {
            let mut kept: Vec<Vec<Symbol>> = Vec::new();
            for option in options.iter().filter(|option| option.iter().all(|symbol| is(&finite, symbol))) {
                kept.push(option.iter().copied().filter(|symbol| is(&filled, symbol)).collect());
            }
            kept.sort_unstable();
            kept.dedup();
            for right in kept.into_iter().filter(|right| !right.is_empty()) {
                normal.of[left].push(normal.productions.len() as u32);
                normal.productions.push(Production { left: left as u32, right });
            }
        }
        normal.find_beginnings(rules.len(), tokens.len());
        normal.find_least(rules.len(), tokens);
        let too_long =
            normal.least.iter().position(|least| least.tokens > LONGEST && least.tokens != u32::MAX);
        match too_long {
            Some(rule) => {
                let problem = format!("the shortest text of this rule takes more than {LONGEST} tokens");
                Err(places[rule].error(problem))
            }
            None => Ok(normal),
        }
    }

    pub(super) fn is_nullable(&self, symbol: Symbol) -> bool {
        matches!(symbol, Symbol::Rule(rule) if self.nullable[rule as usize])
    }

    /// Where a symbol begins a production, ones before it left out.
    pub(super) fn begins(&self, symbol: Symbol) -> &[Place2] {
        match symbol {
            Symbol::Terminal(terminal) => &self.begin.0[terminal as usize],
            Symbol::Rule(rule) => &self.begin.1[rule as usize],
        }
    }

    /// Symbols with which a rule's texts begin: those of its productions, each with the ones before it left
    /// out.
    pub(super) fn firsts(&self, rule: u32) -> impl Iterator<Item = Symbol> + '_ {
        self.of[rule as usize].iter().flat_map(|production| {
            let right = &self.productions[*production as usize].right;
            right[..self.first_needed(right)].iter().copied()
        })
    }

    /// Symbols up to the first that cannot be left out, that one included.
    fn first_needed(&self, right: &[Symbol]) -> usize {
        let needed = right.iter().position(|symbol| !self.is_nullable(*symbol));
        needed.map_or(right.len(), |at| at + 1)
    }

    fn find_beginnings(&mut self, rules: usize, terminals: usize) {
        let mut begin = (vec![Vec::new(); terminals], vec![Vec::new(); rules]);
        for (number, production) in self.productions.iter().enumerate() {
            for (at, symbol) in production.right[..self.first_needed(&production.right)].iter().enumerate() {
                let place = (number as u32, at as u32);
                match symbol {
                    Symbol::Terminal(terminal) => begin.0[*terminal as usize].push(place),
                    Symbol::Rule(rule) => begin.1[*rule as usize].push(place),
                }
            }
        }
        self.begin = begin;
    }

    /// Shortest texts: costs fall until none can.
    fn find_least(&mut self, rules: usize, tokens: &[Option<u32>]) {
        self.least = vec![Least { tokens: u32::MAX, symbols: Vec::new() }; rules];
        let parents = {
            let of = |rule: &Vec<u32>| {
                rule.iter().map(|at| self.productions[*at as usize].right.clone()).collect()
            };
            parents(&self.of.iter().map(of).collect::<Vec<Vec<Vec<Symbol>>>>())
        };
        settle(&parents, |rule| {
            let mut best = self.least[rule as usize].clone();
            let before = best.tokens;
            for production in &self.of[rule as usize] {
                let symbols =
                    self.least_of(&self.productions[*production as usize].right, tokens, best.tokens);
                if let Some(better) = symbols {
                    best = better;
                }
            }
            let falls = best.tokens < before;
            self.least[rule as usize] = best;
            falls
        });
    }

    /// The cheapest text of a sequence, if there is one that is not empty and it is cheaper than `than`.
    fn least_of(&self, right: &[Symbol], tokens: &[Option<u32>], than: u32) -> Option<Least> {
        let cost = |symbol: &Symbol| match symbol {
            // One more for what separates it.
            Symbol::Terminal(terminal) => tokens[*terminal as usize].map_or(u32::MAX, |tokens| tokens + 1),
            Symbol::Rule(rule) => self.least[*rule as usize].tokens,
        };
        let needed = right.iter().filter(|symbol| !self.is_nullable(**symbol));
        let tokens = needed.clone().map(cost).fold(0, u32::saturating_add);
        let is_better = tokens > 0 && tokens < than;
        is_better.then(|| Least { tokens, symbols: needed.copied().collect() })
    }
}

/// Rules in whose productions each rule occurs.
pub(super) fn parents(rules: &[Vec<Vec<Symbol>>]) -> Vec<Vec<u32>> {
    let mut parents = vec![Vec::new(); rules.len()];
    for (left, options) in rules.iter().enumerate() {
        for symbol in options.iter().flatten() {
            if let Symbol::Rule(rule) = symbol {
                parents[*rule as usize].push(left as u32);
            }
        }
    }
    for parents in &mut parents {
        parents.sort_unstable();
        parents.dedup();
    }
    parents
}

/// Visits all rules, and those again in which one occurs that has changed, until none changes.
pub(super) fn settle(parents: &[Vec<u32>], mut visit: impl FnMut(u32) -> bool) {
    // Rules that are found later are rather the parts.
    let mut todo: std::collections::VecDeque<u32> = (0..parents.len() as u32).rev().collect();
    let mut waits = vec![true; parents.len()];
    while let Some(rule) = todo.pop_front() {
        waits[rule as usize] = false;
        if visit(rule) {
            for parent in &parents[rule as usize] {
                if !std::mem::replace(&mut waits[*parent as usize], true) {
                    todo.push_back(*parent);
                }
            }
        }
    }
}

/// Rules with a flag that one of their productions gives them, by the flags of others.
fn flagged(
    rules: &[Vec<Vec<Symbol>>],
    parents: &[Vec<u32>],
    gives: impl Fn(&[Symbol], &[bool]) -> bool,
) -> Vec<bool> {
    let mut flags = vec![false; rules.len()];
    settle(parents, |rule| {
        let given = !flags[rule as usize] && rules[rule as usize].iter().any(|option| gives(option, &flags));
        flags[rule as usize] |= given;
        given
    });
    flags
}

fn nullable(rules: &[Vec<Vec<Symbol>>], parents: &[Vec<u32>]) -> Vec<bool> {
    flagged(rules, parents, |option, flags| {
        option.iter().all(|symbol| matches!(symbol, Symbol::Rule(rule) if flags[*rule as usize]))
    })
}

/// Rules with some text.
fn with_text(rules: &[Vec<Vec<Symbol>>], parents: &[Vec<u32>], tokens: &[Option<u32>]) -> Vec<bool> {
    flagged(rules, parents, |option, flags| {
        option.iter().all(|symbol| match symbol {
            Symbol::Rule(rule) => flags[*rule as usize],
            Symbol::Terminal(terminal) => tokens[*terminal as usize].is_some(),
        })
    })
}

/// Rules with some text that is not empty.
fn with_filled_text(
    rules: &[Vec<Vec<Symbol>>],
    parents: &[Vec<u32>],
    tokens: &[Option<u32>],
    finite: &[bool],
) -> Vec<bool> {
    let has_text = |symbol: &Symbol| match symbol {
        Symbol::Rule(rule) => finite[*rule as usize],
        Symbol::Terminal(terminal) => tokens[*terminal as usize].is_some(),
    };
    flagged(rules, parents, |option, flags| {
        let fills = |symbol: &Symbol| match symbol {
            Symbol::Rule(rule) => flags[*rule as usize],
            Symbol::Terminal(terminal) => tokens[*terminal as usize].is_some(),
        };
        option.iter().all(has_text) && option.iter().any(fills)
    })
}
