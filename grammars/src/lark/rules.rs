//! Rules as productions: groups and repetitions become rules of their own.

use std::collections::HashMap;

use super::syntax::{Definition, Expr, Literal, Place, Source, is_terminal};
use crate::GrammarError;

/// What a production is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Symbol {
    Terminal(u32),
    Rule(u32),
}

/// A terminal that rules use.
#[derive(Debug)]
pub(super) struct Used {
    /// What messages call it.
    pub(super) shown: String,
    /// Where it is defined, or used first if it has no name.
    pub(super) place: Place,
    pub(super) expr: Expr,
}

/// Productions of the rules that `start` leads to.
#[derive(Debug, Default)]
pub(super) struct Productions {
    pub(super) terminals: Vec<Used>,
    /// Of each rule its alternatives. Rule 0 is `start`.
    pub(super) rules: Vec<Vec<Vec<Symbol>>>,
    /// The definition that each rule comes from, as the place of its name.
    pub(super) places: Vec<Place>,
}

/// Most rules, those of groups and repetitions included: what a frame can lead to is looked at as a whole.
const RULES: usize = 5_000;
/// Most terminals.
const TERMINALS: usize = 2_000;
/// Most symbols in all productions.
const SYMBOLS: usize = 60_000;

/// # Errors
/// [`GrammarError::Lark`] where a name is not defined, `start` is missing, or there is too much of something.
pub(super) fn lower(source: &Source) -> Result<Productions, GrammarError> {
    check_names(source)?;
    let Some(start) = source.rules.iter().position(|rule| rule.name == "start") else {
        return Err(Place::START.error("the grammar has no rule `start`, with which texts begin"));
    };
    let by_name = |definitions: &[Definition]| {
        definitions.iter().enumerate().map(|(number, rule)| (rule.name.clone(), number)).collect()
    };
    let mut lowering = Lowering {
        source,
        rule_names: by_name(&source.rules),
        terminal_names: by_name(&source.terminals),
        numbers: HashMap::new(),
        literals: HashMap::new(),
        named: HashMap::new(),
        todo: Vec::new(),
        place: source.rules[start].place,
        symbols: 0,
        made: Productions::default(),
    };
    lowering.rule_number(start)?;
    while let Some((number, definition)) = lowering.todo.pop() {
        lowering.place = source.rules[definition].place;
        let options = lowering.options(&source.rules[definition].expr)?;
        lowering.made.rules[number as usize] = options;
    }
    Ok(lowering.made)
}

/// Every name is defined, also in rules that nothing leads to, and terminals are made of terminals.
fn check_names(source: &Source) -> Result<(), GrammarError> {
    let all = source.rules.iter().chain(&source.terminals);
    let defined: std::collections::HashSet<&str> = all.map(|definition| definition.name.as_str()).collect();
    let within_terminals = source.terminals.iter().map(|definition| &definition.expr);
    let within_terminals = within_terminals.chain(source.ignored.iter().map(|(expr, _)| expr));
    let rules = source.rules.iter().map(|definition| (&definition.expr, true));
    let mut todo: Vec<(&Expr, bool)> = rules.chain(within_terminals.map(|expr| (expr, false))).collect();
    while let Some((expr, rules_allowed)) = todo.pop() {
        match expr {
            Expr::Name(name, place) if !defined.contains(name.as_str()) => {
                return Err(place.error(format!("{name} is not defined")));
            }
            Expr::Name(name, place) if !rules_allowed && !is_terminal(name) => {
                return Err(place.error(format!(
                    "the rule {name} is used within a terminal; terminals are made of terminals only"
                )));
            }
            Expr::Name(..) | Expr::Literal(..) => {}
            Expr::Seq(parts) | Expr::Either(parts) => {
                todo.extend(parts.iter().map(|part| (part, rules_allowed)));
            }
            Expr::Repeat { of, .. } => todo.push((of, rules_allowed)),
        }
    }
    Ok(())
}

struct Lowering<'a> {
    source: &'a Source,
    rule_names: HashMap<String, usize>,
    terminal_names: HashMap<String, usize>,
    /// Rules' numbers by their definitions.
    numbers: HashMap<usize, u32>,
    /// Terminals' numbers: equal literals are one terminal, named or not.
    literals: HashMap<Literal, u32>,
    named: HashMap<usize, u32>,
    /// Rules that have a number and no productions yet.
    todo: Vec<(u32, usize)>,
    /// Of the definition being lowered.
    place: Place,
    symbols: usize,
    made: Productions,
}

impl Lowering<'_> {
    fn new_rule(&mut self, place: Place) -> Result<u32, GrammarError> {
        if self.made.rules.len() >= RULES {
            let problem = format!("the grammar needs more than {RULES} rules, groups and repetitions");
            return Err(place.error(problem));
        }
        self.made.rules.push(Vec::new());
        self.made.places.push(place);
        Ok(self.made.rules.len() as u32 - 1)
    }

    fn rule_number(&mut self, definition: usize) -> Result<u32, GrammarError> {
        if let Some(known) = self.numbers.get(&definition) {
            return Ok(*known);
        }
        let number = self.new_rule(self.source.rules[definition].place)?;
        self.numbers.insert(definition, number);
        self.todo.push((number, definition));
        Ok(number)
    }

    fn terminal(&mut self, used: impl FnOnce() -> Used) -> Result<u32, GrammarError> {
        let number = self.made.terminals.len();
        if number >= TERMINALS {
            let advice = "join strings that stand for each other in one terminal";
            return Err(self.place.error(format!("the rules use more than {TERMINALS} terminals; {advice}")));
        }
        self.made.terminals.push(used());
        Ok(number as u32)
    }

    fn literal(&mut self, literal: &Literal, place: Place, name: Option<&str>) -> Result<u32, GrammarError> {
        if let Some(known) = self.literals.get(literal) {
            return Ok(*known);
        }
        let shown = name.map_or_else(|| literal.to_string(), |name| format!("{name} ({literal})"));
        let expr = Expr::Literal(literal.clone(), place);
        let number = self.terminal(|| Used { shown, place, expr })?;
        self.literals.insert(literal.clone(), number);
        Ok(number)
    }

    fn named_terminal(&mut self, definition: usize) -> Result<u32, GrammarError> {
        let Definition { name, place, expr } = &self.source.terminals[definition];
        if let Expr::Literal(literal, _) = expr {
            return self.literal(literal, *place, Some(name));
        }
        if let Some(known) = self.named.get(&definition) {
            return Ok(*known);
        }
        let used = || Used { shown: name.clone(), place: *place, expr: expr.clone() };
        let number = self.terminal(used)?;
        self.named.insert(definition, number);
        Ok(number)
    }

    /// The alternatives of an expression.
    fn options(&mut self, expr: &Expr) -> Result<Vec<Vec<Symbol>>, GrammarError> {
        match expr {
            Expr::Either(options) => options.iter().map(|option| self.sequence(option)).collect(),
            other => Ok(vec![self.sequence(other)?]),
        }
    }

    fn sequence(&mut self, expr: &Expr) -> Result<Vec<Symbol>, GrammarError> {
        let symbols = match expr {
            Expr::Seq(parts) => {
                let mut symbols = Vec::new();
                for part in parts {
                    symbols.extend(self.sequence(part)?);
                }
                return Ok(symbols);
            }
            Expr::Repeat { of, least, most } => self.repeated(of, *least, *most)?,
            other => vec![self.symbol(other)?],
        };
        self.symbols += symbols.len();
        if self.symbols > SYMBOLS {
            return Err(self
                .place
                .error(format!("the grammar's rules are longer than {SYMBOLS} symbols in all")));
        }
        Ok(symbols)
    }

    /// One symbol for an expression.
    fn symbol(&mut self, expr: &Expr) -> Result<Symbol, GrammarError> {
        Ok(match expr {
            Expr::Name(name, _) if is_terminal(name) => {
                Symbol::Terminal(self.named_terminal(self.terminal_names[name])?)
            }
            Expr::Name(name, _) => Symbol::Rule(self.rule_number(self.rule_names[name])?),
            Expr::Literal(literal, place) => Symbol::Terminal(self.literal(literal, *place, None)?),
            group => {
                let options = self.options(group)?;
                match options.as_slice() {
                    [only] if only.len() == 1 => only[0],
                    _ => Symbol::Rule(self.rule_of(options)?),
                }
            }
        })
    }

    fn rule_of(&mut self, options: Vec<Vec<Symbol>>) -> Result<u32, GrammarError> {
        let number = self.new_rule(self.place)?;
        self.made.rules[number as usize] = options;
        Ok(number)
    }

    fn repeated(&mut self, of: &Expr, least: u32, most: Option<u32>) -> Result<Vec<Symbol>, GrammarError> {
        let once = self.symbol(of)?;
        let mut symbols = vec![once; least as usize];
        match most {
            None => {
                let more = self.rule_of(Vec::new())?;
                self.made.rules[more as usize] = vec![Vec::new(), vec![once, Symbol::Rule(more)]];
                symbols.push(Symbol::Rule(more));
            }
            Some(most) => {
                // Each may be followed by one fewer.
                let mut rest = None;
                for _ in least..most {
                    let one_more = [once].into_iter().chain(rest).collect();
                    rest = Some(Symbol::Rule(self.rule_of(vec![Vec::new(), one_more])?));
                }
                symbols.extend(rest);
            }
        }
        Ok(symbols)
    }
}
