//! Which terminals may come after which.

use super::normal::{Rules, parents, settle};
use super::rules::Symbol;
use crate::bits;

/// A set of terminals for each of some things.
#[derive(Debug, Clone)]
pub(super) struct Table {
    words: usize,
    bits: Vec<u32>,
}

impl Table {
    pub(super) fn new(rows: usize, terminals: usize) -> Self {
        let words = terminals.div_ceil(32).max(1);
        Self { words, bits: vec![0; rows * words] }
    }

    pub(super) fn row(&self, row: u32) -> &[u32] {
        &self.bits[row as usize * self.words..][..self.words]
    }

    pub(super) fn each(&self, row: u32) -> impl Iterator<Item = u32> + '_ {
        bits::each(self.row(row))
    }

    /// Adds a set to a row; whether that changed it.
    fn add(&mut self, row: u32, set: &[u32]) -> bool {
        let own = &mut self.bits[row as usize * self.words..][..self.words];
        let mut changed = false;
        for (own, more) in own.iter_mut().zip(set) {
            changed |= *own | more != *own;
            *own |= more;
        }
        changed
    }
}

/// Of each terminal those that may come after it, ignored text between them or not.
#[derive(Debug)]
pub(super) struct Follow {
    /// In some text.
    pub(super) may: Table,
    /// Where a text is completed the shortest way.
    pub(super) completing: Table,
}

impl Follow {
    pub(super) fn new(rules: &Rules, terminals: usize) -> Self {
        let sets = Sets { rules, terminals };
        let first = sets.ends(|right| right[..sets.needed(right.iter())].to_vec());
        let last = sets.ends(|right| right[right.len() - sets.needed(right.iter().rev())..].to_vec());
        let least = sets.least_firsts();
        let mut follow =
            Self { may: Table::new(terminals, terminals), completing: Table::new(terminals, terminals) };
        for production in &rules.productions {
            sets.add_pairs(&production.right, &last, (&first, &mut follow.may), false);
            sets.add_pairs(&production.right, &last, (&least, &mut follow.completing), true);
        }
        follow
    }
}

struct Sets<'a> {
    rules: &'a Rules,
    terminals: usize,
}

impl Sets<'_> {
    /// How many symbols there are up to the first that cannot be left out.
    fn needed<'s>(&self, mut symbols: impl ExactSizeIterator<Item = &'s Symbol>) -> usize {
        let count = symbols.len();
        symbols.position(|symbol| !self.rules.is_nullable(*symbol)).map_or(count, |at| at + 1)
    }

    /// Terminals at one end of each rule's texts; `part` gives the symbols that may be there.
    fn ends(&self, part: impl Fn(&[Symbol]) -> Vec<Symbol>) -> Table {
        let rules = self.rules.of.iter();
        let at_end = |production: &u32| part(&self.rules.productions[*production as usize].right);
        let parts: Vec<Vec<Vec<Symbol>>> =
            rules.map(|productions| productions.iter().map(at_end).collect()).collect();
        self.closed(&parts)
    }

    /// Terminals that begin the text by which each rule is completed.
    fn least_firsts(&self) -> Table {
        let first = |symbols: &Vec<Symbol>| vec![symbols.iter().take(1).copied().collect()];
        let parts: Vec<Vec<Vec<Symbol>>> =
            self.rules.least.iter().map(|least| first(&least.symbols)).collect();
        self.closed(&parts)
    }

    /// Terminals among the symbols of each rule, and of the rules among them.
    fn closed(&self, parts: &[Vec<Vec<Symbol>>]) -> Table {
        let mut table = Table::new(parts.len(), self.terminals);
        let mut own = vec![0_u32; self.terminals.div_ceil(32).max(1)];
        settle(&parents(parts), |rule| {
            own.fill(0);
            for symbol in parts[rule as usize].iter().flatten() {
                match symbol {
                    Symbol::Terminal(terminal) => bits::insert(&mut own, *terminal),
                    Symbol::Rule(rule) => {
                        own.iter_mut().zip(table.row(*rule)).for_each(|(word, more)| *word |= more);
                    }
                }
            }
            table.add(rule, &own)
        });
        table
    }

    /// For each place between two symbols of a production, ones between them left out: what may come last
    /// before it and first after it. With `needed` only before symbols that cannot be left out.
    fn add_pairs(&self, right: &[Symbol], last: &Table, (first, pairs): (&Table, &mut Table), needed: bool) {
        let mut before = vec![0_u32; self.terminals.div_ceil(32).max(1)];
        let mut single = before.clone();
        for symbol in right {
            let nullable = self.rules.is_nullable(*symbol);
            single.fill(0);
            if let Symbol::Terminal(terminal) = symbol {
                bits::insert(&mut single, *terminal);
            }
            let set = |table: &Table| match symbol {
                Symbol::Terminal(_) => single.clone(),
                Symbol::Rule(rule) => table.row(*rule).to_vec(),
            };
            if !(needed && nullable) {
                let first = set(first);
                bits::each(&before).collect::<Vec<_>>().into_iter().for_each(|terminal| {
                    pairs.add(terminal, &first);
                });
            }
            if !nullable {
                before.fill(0);
            }
            before.iter_mut().zip(set(last)).for_each(|(word, more)| *word |= more);
        }
    }
}
