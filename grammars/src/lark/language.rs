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
    before: Before,
    /// Whether nothing may be read of it, if the part allows that.
    optional: bool,
}

/// What has been read before a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Before {
    /// Nothing of the text: none is ignored.
    Nothing,
    /// A terminal: ignored text may come first.
    Terminal,
    /// Ignored text, of which gap: only terminals come that fit it.
    Gap(usize),
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
    /// Gaps that may come before some of them.
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
        Frame { part: Part::Goal(symbol), before: Before::Terminal, optional: self.rules.is_nullable(symbol) }
    }

    /// The rest of a goal, where something can be left of it.
    fn rest(&mut self, goal: u32, read: Symbol) -> Option<Frame> {
        let part = Part::Rest { goal, read };
        (!self.is_done(part)).then_some(Frame { part, before: Before::Terminal, optional: true })
    }

    /// Whether a terminal may come after what has been read.
    fn fits(&self, before: Before, terminal: u32) -> bool {
        match before {
            Before::Gap(gap) => self.spacing.gaps[gap].fits[terminal as usize],
            Before::Nothing | Before::Terminal => true,
        }
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
        let fits =
            |gap: &usize| terminals.iter().any(|(terminal, _)| self.fits(Before::Gap(*gap), *terminal));
        let gaps = (0..self.spacing.gaps.len()).filter(fits).collect();
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

    /// Symbols in a row, each of which has to be read, and then something else.
    fn completed(
        &self,
        before: Before,
        symbols: impl Iterator<Item = Symbol>,
        then: Option<Frame>,
    ) -> TextThen<Frame> {
        let frame = |symbol| Frame { optional: false, ..self.goal(symbol) };
        let mut frames: Vec<Frame> = symbols.map(frame).chain(then).collect();
        frames.iter_mut().take(1).for_each(|first| first.before = before);
        (Vec::new(), frames)
    }

    fn complete_goal(&self, symbol: Symbol, before: Before) -> TextThen<Frame> {
        match symbol {
            Symbol::Terminal(terminal) => {
                let written = &self.spacing.written[terminal as usize];
                let separator = match before {
                    Before::Terminal => written.separator.as_slice(),
                    Before::Nothing | Before::Gap(_) => &[],
                };
                ([separator, &written.text].concat(), Vec::new())
            }
            Symbol::Rule(rule) => {
                self.completed(before, self.rules.least[rule as usize].symbols.iter().copied(), None)
            }
        }
    }

    /// Ways to complete what is left of a goal.
    fn complete_rest(&mut self, goal: u32, read: Symbol) -> Vec<TextThen<Frame>> {
        let mut ways = Vec::new();
        if read == Symbol::Rule(goal) {
            ways.push((Vec::new(), Vec::new()));
        }
        let corners = self.corners(goal);
        for (production, at) in self.rules.begins(read).to_vec() {
            let left = Symbol::Rule(self.rules.productions[production as usize].left);
            if corners.contains(&left) {
                let rest = self.rest(goal, left);
                let due = &self.rules.productions[production as usize].right[at as usize + 1..];
                let needed = due.iter().copied().filter(|symbol| !self.rules.is_nullable(*symbol));
                ways.push(self.completed(Before::Terminal, needed, rest));
            }
        }
        ways
    }

    /// Ways to go on after ignored text.
    fn complete_after_gap(&mut self, frame: &Frame) -> Vec<TextThen<Frame>> {
        let plan = self.plan(frame.part);
        let fitting = plan.terminals.iter().filter(|(terminal, _)| self.fits(frame.before, *terminal));
        let texts = fitting.flat_map(|(terminal, ways)| {
            let text = &self.spacing.written[*terminal as usize].text;
            ways.iter().map(|frames| (text.clone(), frames.clone()))
        });
        texts.collect()
    }
}

impl Language for Lark {
    type Frame = Frame;

    fn start(&mut self) -> Vec<Vec<Frame>> {
        vec![vec![Frame { before: Before::Nothing, ..self.goal(Symbol::Rule(0)) }]]
    }

    fn offer(&mut self, frame: &Frame) -> Offer {
        let plan = self.plan(frame.part);
        let mut choices = Vec::with_capacity(plan.terminals.len() + plan.gaps.len());
        for (terminal, _) in &plan.terminals {
            let choice = self.spacing.choices[*terminal as usize].clone();
            choices.extend(choice.filter(|_| self.fits(frame.before, *terminal)));
        }
        if frame.before == Before::Terminal {
            choices.extend(plan.gaps.iter().map(|gap| self.spacing.gaps[*gap].choice.clone()));
        }
        let optional = match frame.part {
            Part::Goal(_) => frame.optional,
            Part::Rest { .. } => frame.optional && plan.ends,
        };
        Offer { choices, optional }
    }

    fn after(&mut self, frame: &Frame, choice: usize, _read: Read<'_>) -> After<Frame> {
        let plan = self.plan(frame.part);
        let mut fitting = plan.terminals.iter().filter(|(terminal, _)| self.fits(frame.before, *terminal));
        if let Some((_, ways)) = fitting.nth(choice) {
            return After::Ways(ways.clone());
        }
        let gap = choice.checked_sub(plan.terminals.len()).and_then(|gap| plan.gaps.get(gap));
        let after = |gap: &usize| vec![Frame { before: Before::Gap(*gap), optional: false, ..*frame }];
        After::Ways(gap.map(after).into_iter().collect())
    }

    fn ways(&mut self, frame: &Frame) -> Option<Vec<TextThen<Frame>>> {
        Some(match frame.part {
            _ if matches!(frame.before, Before::Gap(_)) => self.complete_after_gap(frame),
            Part::Goal(_) if frame.optional => vec![(Vec::new(), Vec::new())],
            Part::Goal(symbol) => vec![self.complete_goal(symbol, frame.before)],
            Part::Rest { goal, read } => self.complete_rest(goal, read),
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
