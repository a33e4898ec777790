//! Tables and their columns, as names with numbers.

use std::collections::HashMap;

use super::Dialect;

/// What a statement may speak of.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) tables: Vec<Table>,
    /// Column names, each once: tables share them.
    pub(super) columns: Vec<Spelled>,
    column_ids: HashMap<String, u16>,
    table_ids: HashMap<String, u16>,
    /// Tables that have a column of each name.
    pub(super) holders: Vec<Vec<u16>>,
    folds: bool,
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: Spelled,
    /// Numbers of names, in the order of the table.
    pub(super) columns: Vec<u16>,
    /// Those that a statement may write.
    pub(super) writable: Vec<u16>,
    has: Vec<u64>,
}

/// A name as the schema has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spelled {
    pub(super) text: String,
    /// Whether it can only be written in quotes, since its case matters.
    pub(super) exact: bool,
}

/// A column as the schema's text states it.
#[derive(Debug)]
pub(super) struct Stated {
    pub(super) name: Spelled,
    pub(super) writable: bool,
}

/// Most names of one kind.
pub(super) const NAMES: usize = 60_000;

impl Schema {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { folds: dialect.folds(), ..Self::default() }
    }

    /// `false` where there are too many names, or one occurs twice.
    pub(super) fn add(&mut self, name: Spelled, stated: Vec<Stated>) -> bool {
        if self.tables.len() >= NAMES || self.columns.len() + stated.len() >= NAMES {
            return false;
        }
        let table = self.tables.len() as u16;
        if self.table_ids.insert(self.key(&name.text), table).is_some() {
            return false;
        }
        let (mut columns, mut writable, mut has) = (Vec::new(), Vec::new(), Vec::new());
        for column in stated {
            let key = self.key(&column.name.text);
            let id = *self.column_ids.entry(key).or_insert_with(|| {
                self.columns.push(column.name);
                self.holders.push(Vec::new());
                self.columns.len() as u16 - 1
            });
            let word = usize::from(id) / 64;
            if has.len() <= word {
                has.resize(word + 1, 0_u64);
            }
            if has[word] >> (id % 64) & 1 == 1 {
                return false;
            }
            has[word] |= 1 << (id % 64);
            columns.push(id);
            self.holders[usize::from(id)].push(table);
            if column.writable {
                writable.push(id);
            }
        }
        self.tables.push(Table { name, columns, writable, has });
        true
    }

    /// Names that are equal have equal keys.
    pub(super) fn key(&self, text: &str) -> String {
        if self.folds { text.to_owned() } else { text.to_ascii_lowercase() }
    }

    pub(super) fn column_id(&self, key: &str) -> Option<u16> {
        self.column_ids.get(key).copied()
    }

    pub(super) fn has(&self, table: u16, column: u16) -> bool {
        let has = &self.tables[usize::from(table)].has;
        has.get(usize::from(column) / 64).is_some_and(|word| word >> (column % 64) & 1 == 1)
    }
}
