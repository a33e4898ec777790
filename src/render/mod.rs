//! What people see. Answers go to stdout; everything about them goes to stderr.

pub mod answer;
pub mod explain;
pub mod json;
pub mod marked;
pub mod partial;
pub mod progress;

use std::io::{IsTerminal, Write};

use understudy_proto::v1::DeltaOrigin;

use crate::error::Error;

/// Writes one line to stdout. A reader that went away ends the command quietly.
pub fn line(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// A count of bytes for people.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count / 1000),
        1_000_000..1_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// Columns padded to their widest cell.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut all: Vec<Vec<String>> = vec![header.iter().map(|&cell| cell.to_owned()).collect()];
    all.extend(rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let lines = all.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Terminal styles, empty when stdout is no terminal or NO_COLOR is set.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    enabled: bool,
}

impl Style {
    /// Nothing but the text.
    pub const PLAIN: Self = Self { enabled: false };
    #[cfg(test)]
    const ENABLED: Self = Self { enabled: true };

    /// For stdout.
    pub fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none();
        Self { enabled: wanted && std::io::stdout().is_terminal() }
    }

    /// Whether control sequences may be written.
    pub fn is_enabled(self) -> bool {
        self.enabled
    }

    /// The text in an author's colour.
    pub fn author(self, index: usize, text: &str) -> String {
        const COLOURS: [u8; 5] = [36, 33, 35, 32, 34];
        self.paint(COLOURS[index % COLOURS.len()], text)
    }

    /// Less important text.
    pub fn dim(self, text: &str) -> String {
        self.paint(2, text)
    }

    /// Text that no longer counts.
    pub fn struck(self, text: &str) -> String {
        if self.enabled { format!("\x1b[2;9m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Text that its author did not write token by token: underlined where it was forced, in italics where a draft
    /// was accepted.
    pub fn origin(self, origin: DeltaOrigin, text: &str) -> String {
        match origin {
            DeltaOrigin::Unspecified => text.to_owned(),
            DeltaOrigin::Forced => self.paint(4, text),
            DeltaOrigin::Accepted => self.paint(3, text),
        }
    }

    fn paint(self, code: u8, text: &str) -> String {
        if self.enabled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_do_not_trail() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        assert_eq!(table(&["X", "Y"], rows), "X     Y\na     bb\nlong  c");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(98_362_432), "98 MB");
        assert_eq!(bytes(1_117_320_768), "1.12 GB");
    }
}
