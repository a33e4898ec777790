//! Runs what models write, which is hostile until shown otherwise.
//!
//! | module | what it holds |
//! |---|---|
//! | [`sql`] | [`sql::Database`]: one SELECT on a read-only SQLite file, as a typed [`sql::Table`] or why there is none |
//! | [`python`] | [`python::Python`]: code and tests in two confined processes: no network, no files, no children |
//! | [`fence`] | the code of an answer: its first code block, else the whole of it |
//!
//! **Invariants.** Every call ends: within its time limit and a little for the start of a process. What runs can
//! change nothing on this machine. Where that cannot be guaranteed, nothing runs and the error says so. Calls block:
//! from async code they belong on a blocking thread.
//!
//! ```
//! use understudy_sandbox::{fence, sql::Database};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("shop.sqlite");
//! # std::fs::write(&path, [])?;
//! let table = Database::at(&path).answer("Here it is:\n```sql\nSELECT 1 + 1 AS two;\n```")?;
//! assert_eq!(table.columns, ["two"]);
//! assert_eq!(table.rows, [["2"]]);
//! assert!(Database::at(&path).answer("DROP TABLE customer").is_err());
//! assert_eq!(fence::code("```python\nx = 1\n```"), "x = 1\n");
//! # Ok(())
//! # }
//! ```

pub mod fence;
pub mod python;
pub mod sql;
