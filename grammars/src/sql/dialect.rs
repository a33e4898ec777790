//! What dialects differ in: words that are no names, functions, types.

use std::collections::BTreeSet;

/// Whose SQL is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite, the dialect of which it is guaranteed that statements prepare.
    #[default]
    Sqlite,
    /// PostgreSQL: names are right and statements parse; types are not checked.
    Postgres,
    /// MySQL: as PostgreSQL.
    Mysql,
}

/// What a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Plain,
    Aggregate,
    /// Needs `OVER`.
    Window,
}

/// A function: its name, fewest and most arguments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) least: u8,
    pub(super) most: u8,
    pub(super) call: Call,
}

const fn plain(name: &'static str, least: u8, most: u8) -> Function {
    Function { name, least, most, call: Call::Plain }
}
const fn aggregate(name: &'static str, least: u8, most: u8) -> Function {
    Function { name, least, most, call: Call::Aggregate }
}
const fn window(name: &'static str, least: u8, most: u8) -> Function {
    Function { name, least, most, call: Call::Window }
}

/// Most arguments of functions that take any number.
const MANY: u8 = 8;

const COMMON: &[Function] = &[
    aggregate("count", 1, 1),
    aggregate("sum", 1, 1),
    aggregate("avg", 1, 1),
    aggregate("min", 1, 1),
    aggregate("max", 1, 1),
    plain("abs", 1, 1),
    plain("coalesce", 2, MANY),
    plain("length", 1, 1),
    plain("lower", 1, 1),
    plain("nullif", 2, 2),
    plain("replace", 3, 3),
    plain("round", 1, 2),
    plain("substr", 2, 3),
    plain("trim", 1, 1),
    plain("ltrim", 1, 1),
    plain("rtrim", 1, 1),
    plain("upper", 1, 1),
    window("row_number", 0, 0),
    window("rank", 0, 0),
    window("dense_rank", 0, 0),
    window("percent_rank", 0, 0),
    window("cume_dist", 0, 0),
    window("ntile", 1, 1),
    window("lag", 1, 3),
    window("lead", 1, 3),
    window("first_value", 1, 1),
    window("last_value", 1, 1),
    window("nth_value", 2, 2),
];

const SQLITE: &[Function] = &[
    aggregate("total", 1, 1),
    aggregate("group_concat", 1, 2),
    plain("ifnull", 2, 2),
    plain("iif", 3, 3),
    plain("instr", 2, 2),
    plain("typeof", 1, 1),
    plain("substring", 2, 3),
    plain("date", 1, MANY),
    plain("time", 1, MANY),
    plain("datetime", 1, MANY),
    plain("julianday", 1, MANY),
    plain("strftime", 2, MANY),
    plain("printf", 1, MANY),
];

const POSTGRES: &[Function] = &[
    aggregate("string_agg", 2, 2),
    aggregate("array_agg", 1, 1),
    plain("concat", 1, MANY),
    plain("date_trunc", 2, 2),
    plain("date_part", 2, 2),
    plain("to_char", 2, 2),
    plain("to_date", 2, 2),
    plain("ceil", 1, 1),
    plain("floor", 1, 1),
    plain("strpos", 2, 2),
    plain("greatest", 2, MANY),
    plain("least", 2, MANY),
    plain("now", 0, 0),
];

const MYSQL: &[Function] = &[
    aggregate("group_concat", 1, 1),
    plain("concat", 1, MANY),
    plain("ifnull", 2, 2),
    plain("year", 1, 1),
    plain("month", 1, 1),
    plain("day", 1, 1),
    plain("datediff", 2, 2),
    plain("date_format", 2, 2),
    plain("ceil", 1, 1),
    plain("floor", 1, 1),
    plain("greatest", 2, MANY),
    plain("least", 2, MANY),
    plain("now", 0, 0),
];

impl Dialect {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }

    pub(super) fn functions(self) -> Vec<Function> {
        let own = match self {
            Self::Sqlite => SQLITE,
            Self::Postgres => POSTGRES,
            Self::Mysql => MYSQL,
        };
        [COMMON, own].concat()
    }

    /// Types that `CAST` knows.
    pub(super) fn types(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => {
                &["integer", "int", "real", "text", "numeric", "float", "varchar", "decimal", "date"]
            }
            Self::Postgres => &[
                "integer",
                "int",
                "bigint",
                "real",
                "numeric",
                "text",
                "varchar",
                "date",
                "timestamp",
                "boolean",
            ],
            Self::Mysql => &["signed", "unsigned", "decimal", "char", "date", "datetime"],
        }
    }

    /// What quotes a name.
    pub(super) fn quotes(self) -> &'static [(char, char)] {
        match self {
            Self::Sqlite => &[('"', '"'), ('`', '`'), ('[', ']')],
            Self::Postgres => &[('"', '"')],
            Self::Mysql => &[('`', '`')],
        }
    }

    /// Whether a quoted name's case matters, and a bare name stands for its lower case.
    pub(super) fn folds(self) -> bool {
        self == Self::Postgres
    }

    /// Words that are names only when quoted. Too many do no harm.
    pub(super) fn reserved(self) -> BTreeSet<String> {
        let own = match self {
            Self::Sqlite => RESERVED_SQLITE,
            Self::Postgres => RESERVED_POSTGRES,
            Self::Mysql => RESERVED_MYSQL,
        };
        RESERVED.split_whitespace().chain(own.split_whitespace()).map(str::to_owned).collect()
    }
}

const RESERVED: &str = "add all alter and any as asc between by case cast check collate column commit constraint create \
    cross current_date current_time current_timestamp default delete desc distinct drop else end escape except exists \
    false fetch for foreign from full group having in index inner insert intersect into is join left like limit natural \
    not null offset on or order outer over partition primary references returning right rows select set table then to \
    true union unique update using values when where window with";
const RESERVED_SQLITE: &str =
    "autoincrement deferrable glob indexed isnull match nothing notnull range regexp transaction";
const RESERVED_POSTGRES: &str = "analyse analyze array asymmetric authorization binary both collation concurrently \
    current_catalog current_role current_schema current_user deferrable do freeze grant ilike initially isnull lateral \
    leading localtime localtimestamp notnull only overlaps placing session_user similar some symmetric tablesample \
    trailing user variadic verbose";
const RESERVED_MYSQL: &str = "accessible analyze asensitive before bigint binary blob both call cascade change char \
    character condition continue convert cube cume_dist current_user cursor database databases dec decimal declare \
    delayed dense_rank describe deterministic distinctrow div double dual each elseif empty enclosed escaped exit explain \
    first_value float force fulltext function generated get grant grouping groups high_priority ignore infile inout \
    insensitive int integer interval iterate json_table key keys kill lag last_value lateral lead leading leave lines load \
    localtime localtimestamp lock long longblob longtext loop low_priority master_bind match maxvalue mediumblob mediumint \
    mediumtext middleint mod modifies no_write_to_binlog nth_value ntile numeric of optimize option optionally out outfile \
    percent_rank precision procedure purge range rank read reads real recursive regexp release rename repeat replace \
    require resignal restrict return revoke rlike row row_number schema schemas sensitive separator show signal smallint \
    spatial specific sql sqlexception sqlstate sqlwarning ssl starting stored straight_join system terminated tinyblob \
    tinyint tinytext trailing trigger undo unlock unsigned usage use utc_date utc_time utc_timestamp varbinary varchar \
    varying virtual while write xor year_month zerofill";
