//! Rows of `eval` as one HTML file that needs no other: no script, style, font or picture from elsewhere.
//!
//! | module | what it holds |
//! |---|---|
//! | `join` | files of one suite, joined by item; which models are draft and teacher |
//! | `policies` | the table: a line for each file |
//! | `curves` | quality against cost, with every baseline |
//! | `reliability` | how often answers of a confidence are right |
//! | `validators` | what validators found, and a histogram of their times |
//! | `items` | each item: question, expected, and what every policy said and decided |
//! | `chart` | axes, lines, bands and marks as SVG |
//! | `page` | the frame: style, script, escaping |
//!
//! **Invariant.** Everything that comes from rows is text: it passes `page::escape` on its way. The page's policy lets
//! no script run but its own, should one slip through.

mod chart;
mod curves;
mod items;
mod join;
mod page;
mod policies;
mod reliability;
mod validators;

use understudy_calibration::Pair;
use understudy_calibration::study::{Plan, Study, study};

use crate::eval::rows::Rows;
use crate::eval::{EvalError, examples};
use join::Joined;

/// The report on files of rows of one suite. What the rows do not allow is left out, and the report says so: curves need
/// both models of a ladder asked alone, confidences need `ledger.candidates`.
///
/// # Errors
/// [`EvalError::Input`], when there is no file, when files are of different suites or data, or when one has an item
/// twice.
pub fn html(files: &[Rows]) -> Result<String, EvalError> {
    let joined = Joined::of(files)?;
    let studied = Studied::of(&joined);
    let sections = [
        policies::section(&joined),
        curves::section(&joined, &studied),
        reliability::section(&joined, &studied),
        validators::section(&joined),
        items::section(&joined),
    ];
    Ok(page::page(&joined, &sections))
}

/// What the rows of a ladder allow.
pub(crate) enum Studied {
    /// Cross-fitted confidences of these pairs.
    Calibrated(Vec<Pair>, Box<Study>),
    /// The pairs without evidence, and why.
    Plain(Vec<Pair>, String),
    /// There is no ladder.
    Nothing(String),
}

impl Studied {
    fn of(joined: &Joined<'_>) -> Self {
        let Some(ladder) = &joined.ladder else {
            let why = "a curve needs rows of two models, each asked alone (policy direct)";
            return Self::Nothing(why.to_owned());
        };
        let files = [ladder.draft, ladder.teacher].map(|at| joined.files[at].clone());
        let calibrated = examples::pairs(&files).and_then(|paired| {
            let found = study(&paired.pairs, Plan::default())?;
            Ok(Self::Calibrated(paired.pairs, Box::new(found)))
        });
        calibrated.unwrap_or_else(|why| Self::Plain(joined.plain_pairs(ladder), why.to_string()))
    }
}
