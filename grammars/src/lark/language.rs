//! A grammar as the machine reads it: the left-corner transform, made while a text is read.
//!
//! A *goal* is a symbol that is due. Reading a terminal with which it may begin leaves the *rest* of the
//! goal: what is due once a part of it has been read with which it begins. Rules that begin with
//! themselves are nothing special then: they are a rest that may come again (Rosenkrantz and Lewis 1970).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::normal::Rules;
use super::rules::Symbol;
use super::spacing::Spacing;
use crate::machine::{After, Language, Offer, Read, TextThen};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    part: Part,
    /// Whether ignored text may come first.
    gap: bool,
    /// Whether nothing may be read of it, if the part allows that.
    optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    Goal(Symbol),
    /// What is left of a rule of which a text of a symbol has been read.
    Rest {
        goal: u32,
        read: Symbol,
    },
}

/// What a part may go on with.
#[derive(Debug, Default)]
struct Plan {
    /// Nothing has to be read.
    ends: bool,
    /// Terminals, and the frames after each.
    terminals: Vec<(u32, Vec<Vec<Frame>>)>,
    /// Gaps that may come before all of them.
    gaps: Vec<usize>,
}

/// Plans kept. When there are more all are dropped, and the machine begins afresh.
const PLANS: usize = 50_000;

/// The language of a grammar.
pub(crate) struct Lark {
    rules: Rules,
    spacing: Spacing,
    plans: HashMap<Part, Arc<Plan>>,
    /// Symbols that a rule's texts may begin with, itself included.
    corners: HashMap<u32, Arc<HashSet<Symbol>>>,
    /// Parts of which nothing can be left.
    done: HashMap<Part, bool>,
}

impl Lark {
    pub(super) fn new(rules: Rules, spacing: Spacing) -> Self {
        let (plans, corners, done) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { rules, spacing, plans, corners, done }
    }

    fn goal(&self, symbol: Symbol) -> Frame {
        Frame { part: Part::Goal(symbol), gap: true, optional: self.rules.is_nullable(symbol) }
    }

    /// The rest of a goal, where something can be left of it.
    fn rest(&mut self, goal: u32, read: Symbol) -> Option<Frame> {
        let part = Part::Rest { goal, read };
        (!self.is_done(part)).then_some(Frame { part, gap: true, optional: true })
    }

    fn corners(&mut self, goal: u32) -> Arc<HashSet<Symbol>> {
        if let Some(known) = self.corners.get(&goal) {
            return known.clone();
        }
        let mut corners = HashSet::from([Symbol::Rule(goal)]);
        let mut todo = vec![goal];
        while let Some(rule) = todo.pop() {
            for first in self.rules.firsts(rule) {
                if corners.insert(first)
                    && let Symbol::Rule(rule) = first
                {
                    todo.push(rule);
                }
            }
        }
        let corners = Arc::new(corners);
        self.corners.insert(goal, corners.clone());
        corners
    }

    /// Where a goal can be after a text of `read`: productions, and how far they are read. Rules of which
    /// nothing more has to come count as read, the goal itself too.
    fn places(&mut self, goal: u32, read: Symbol) -> (Vec<(u32, usize)>, bool) {
        let corners = self.corners(goal);
        let (mut places, mut ends) = (Vec::new(), false);
        let (mut seen, mut todo) = (HashSet::from([read]), vec![read]);
        while let Some(symbol) = todo.pop() {
            ends |= symbol == Symbol::Rule(goal);
            for (production, at) in self.rules.begins(symbol) {
                let whole = &self.rules.productions[*production as usize];
                let left = Symbol::Rule(whole.left);
                if !corners.contains(&left) {
                    continue;
                }
                let rest = &whole.right[*at as usize + 1..];
                if !rest.is_empty() {
                    places.push((*production, *at as usize + 1));
                }
                if rest.iter().all(|symbol| self.rules.is_nullable(*symbol)) && seen.insert(left) {
                    todo.push(left);
                }
            }
        }
        (places, ends)
    }

    fn is_done(&mut self, part: Part) -> bool {
        let Part::Rest { goal, read } = part else { return false };
        if let Some(known) = self.done.get(&part) {
            return *known;
        }
        let done = self.places(goal, read).0.is_empty();
        self.done.insert(part, done);
        done
    }

    fn plan(&mut self, part: Part) -> Arc<Plan> {
        if let Some(known) = self.plans.get(&part) {
            return known.clone();
        }
        let mut after: BTreeMap<u32, Vec<Vec<Frame>>> = BTreeMap::new();
        let ends = match part {
            Part::Goal(Symbol::Terminal(terminal)) => {
                after.insert(terminal, vec![Vec::new()]);
                false
            }
            Part::Goal(Symbol::Rule(rule)) => {
                self.add_beginnings(Symbol::Rule(rule), &[], &mut after);
                false
            }
            Part::Rest { goal, read } => {
                let (places, ends) = self.places(goal, read);
                for (production, at) in places {
                    self.add_place(goal, production, at, &mut after);
                }
                ends
            }
        };
        let terminals: Vec<_> = after.into_iter().collect();
        let fits = |gap: &usize| {
            terminals.iter().all(|(terminal, _)| self.spacing.gaps[*gap].fits[*terminal as usize])
        };
        let gaps = match terminals.is_empty() {
            true => Vec::new(),
            false => (0..self.spacing.gaps.len()).filter(fits).collect(),
        };
        let plan = Arc::new(Plan { ends, terminals, gaps });
        self.plans.insert(part, plan.clone());
        plan
    }

    /// Adds what a goal goes on with within a production of which `at` symbols are read.
    fn add_place(
        &mut self,
        goal: u32,
        production: u32,
        at: usize,
        after: &mut BTreeMap<u32, Vec<Vec<Frame>>>,
    ) {
        let whole = self.rules.productions[production as usize].clone();
        let due = &whole.right[at..];
        for (skipped, symbol) in due.iter().enumerate() {
            let mut frames: Vec<Frame> = due[skipped + 1..].iter().map(|symbol| self.goal(*symbol)).collect();
            // A text of the goal and what may come after one within the goal are a text of the goal again.
            let own = Symbol::Rule(goal);
            let last = due.last().is_some_and(|last| *last == own && !self.rules.is_nullable(own));
            let is_within = whole.left == goal && (last || skipped + 1 == due.len() && *symbol == own);
            if !is_within {
                frames.extend(self.rest(goal, Symbol::Rule(whole.left)));
            }
            self.add_beginnings(*symbol, &frames, after);
            if !self.rules.is_nullable(*symbol) {
                return;
            }
        }
    }

    /// Adds the terminals with which a symbol may begin, each with its rest and then `frames`.
    fn add_beginnings(
        &mut self,
        symbol: Symbol,
        frames: &[Frame],
        after: &mut BTreeMap<u32, Vec<Vec<Frame>>>,
    ) {
        match symbol {
            Symbol::Terminal(terminal) => after.entry(terminal).or_default().push(frames.to_vec()),
            Symbol::Rule(rule) => {
                for corner in self.corners(rule).iter() {
                    if let Symbol::Terminal(terminal) = corner {
                        let rest = self.rest(rule, *corner);
                        let all = rest.into_iter().chain(frames.iter().copied()).collect();
                        after.entry(*terminal).or_default().push(all);
                    }
                }
            }
        }
    }

    /// Symbols of some that have to be read.
    fn needed(&self, symbols: &[Symbol]) -> Vec<Symbol> {
        symbols.iter().copied().filter(|symbol| !self.rules.is_nullable(*symbol)).collect()
    }

    /// Symbols in a row that have to be read, and then something else.
    fn completed(&self, gap: bool, symbols: &[Symbol], then: Option<Frame>) -> TextThen<Frame> {
        let frame = |symbol: &Symbol| Frame { part: Part::Goal(*symbol), gap: true, optional: false };
        let mut frames: Vec<Frame> = symbols.iter().map(frame).chain(then).collect();
        if let Some(first) = frames.first_mut() {
            first.gap &= gap;
        }
        (Vec::new(), frames)
    }

    fn complete_goal(&self, symbol: Symbol, gap: bool) -> TextThen<Frame> {
        match symbol {
            Symbol::Terminal(terminal) => {
                let written = &self.spacing.written[terminal as usize];
                let separator = if gap { written.separator.as_slice() } else { &[] };
                ([separator, &written.text].concat(), Vec::new())
            }
            Symbol::Rule(rule) => self.completed(gap, &self.rules.least[rule as usize].symbols, None),
        }
    }

    /// Ways to complete what is left of a goal, of which something has to be read unless it is `optional`.
    fn complete_rest(&mut self, goal: u32, read: Symbol, gap: bool, optional: bool) -> Vec<TextThen<Frame>> {
        let mut ways = Vec::new();
        if optional && read == Symbol::Rule(goal) {
            ways.push((Vec::new(), Vec::new()));
        }
        let corners = self.corners(goal);
        for (production, at) in self.rules.begins(read).to_vec() {
            let whole = self.rules.productions[production as usize].clone();
            let left = Symbol::Rule(whole.left);
            if !corners.contains(&left) {
                continue;
            }
            let due = &whole.right[at as usize + 1..];
            let needed = self.needed(due);
            let rest = self.completing_rest(goal, left, true);
            if optional || !needed.is_empty() {
                ways.push(self.completed(gap, &needed, rest));
                continue;
            }
            // Any one of those that could be left out, or all of them and what comes after instead.
            ways.extend(due.iter().map(|symbol| self.completed(gap, &[*symbol], rest)));
            if let Some(rest) = self.completing_rest(goal, left, false) {
                ways.push(self.completed(gap, &[], Some(rest)));
            }
        }
        ways
    }

    fn completing_rest(&mut self, goal: u32, read: Symbol, optional: bool) -> Option<Frame> {
        self.rest(goal, read).map(|rest| Frame { optional, ..rest })
    }
}

impl Language for Lark {
    type Frame = Frame;

    fn start(&mut self) -> Vec<Vec<Frame>> {
        vec![vec![Frame { gap: false, ..self.goal(Symbol::Rule(0)) }]]
    }

    fn offer(&mut self, frame: &Frame) -> Offer {
        let plan = self.plan(frame.part);
        let terminals = plan.terminals.iter();
        let terminals =
            terminals.filter_map(|(terminal, _)| self.spacing.choices[*terminal as usize].clone());
        let gaps = plan.gaps.iter().filter(|_| frame.gap).map(|gap| self.spacing.gaps[*gap].choice.clone());
        let optional = match frame.part {
            Part::Goal(_) => frame.optional,
            Part::Rest { .. } => frame.optional && plan.ends,
        };
        Offer { optional, ..Offer::of(terminals.chain(gaps)) }
    }

    fn after(&mut self, frame: &Frame, choice: usize, _read: Read<'_>) -> After<Frame> {
        let plan = self.plan(frame.part);
        match plan.terminals.get(choice) {
            Some((_, ways)) => After::Ways(ways.clone()),
            None => After::one([Frame { gap: false, optional: false, ..*frame }]),
        }
    }

    fn ways(&mut self, frame: &Frame) -> Option<Vec<TextThen<Frame>>> {
        Some(match frame.part {
            Part::Goal(_) if frame.optional => vec![(Vec::new(), Vec::new())],
            Part::Goal(symbol) => vec![self.complete_goal(symbol, frame.gap)],
            Part::Rest { goal, read } => self.complete_rest(goal, read, frame.gap, frame.optional),
        })
    }

    fn forget(&mut self) -> bool {
        let too_many = self.plans.len() > PLANS || self.done.len() > 4 * PLANS;
        if too_many {
            self.plans.clear();
            self.done.clear();
        }
        too_many
    }
}
