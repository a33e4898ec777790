//! `understudy report`: rows become one HTML file.

use understudy_agents::eval::{EvalError, Rows};
use understudy_agents::report;

use crate::cli::Report;
use crate::error::Error;
use crate::render::line;

pub fn run(args: &Report) -> Result<(), Error> {
    let files: Vec<Rows> = args.rows.iter().map(|path| Rows::read(path)).collect::<Result<_, _>>()?;
    let html = report::html(&files)?;
    std::fs::write(&args.html, html)
        .map_err(|error| EvalError::Output(format!("{}: {error}", args.html.display())))?;
    line(&format!("report      {}", args.html.display()))
}
