//! What a pass takes by the number of tokens it decodes: what checking a draft costs.

/// Most rows whose time is told apart.
pub const MOST_ROWS: usize = 64;

/// Seconds of a pass by its number of decoding rows, as measured lately on this model and device.
///
/// A pass of one sequence has one row for its next token and one for each token of a draft.
///
/// ```
/// use understudy_engine::pace::Pace;
///
/// let pace = Pace::measured([(1, 0.010), (8, 0.017)]);
/// assert_eq!(pace.seconds(1), Some(0.010));
/// assert!((pace.seconds(4).unwrap() - 0.013).abs() < 1e-9);
/// assert_eq!(pace.seconds(9), None);
/// assert_eq!(Pace::measured(pace.pairs()), pace);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// By number of rows less one.
    measured: [Option<f64>; MOST_ROWS],
}

impl Default for Pace {
    fn default() -> Self {
        Self { measured: [None; MOST_ROWS] }
    }
}

impl Pace {
    /// Of pairs of rows, from 1 to [`MOST_ROWS`], and seconds; other rows are left out.
    pub fn measured(times: impl IntoIterator<Item = (usize, f64)>) -> Self {
        let mut pace = Self::default();
        for (rows, seconds) in times {
            if let Some(place) = rows.checked_sub(1).and_then(|index| pace.measured.get_mut(index)) {
                *place = Some(seconds);
            }
        }
        pace
    }

    /// What was measured: pairs of rows and seconds, as [`measured`](Self::measured) takes them.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.measured.iter().enumerate().filter_map(|(index, seconds)| Some((index + 1, (*seconds)?)))
    }

    /// Seconds of a pass with so many rows: measured, or on the line between the nearest fewer and the
    /// nearest more rows that were. `None` where one of them is missing.
    pub fn seconds(&self, rows: usize) -> Option<f64> {
        let index = rows.checked_sub(1)?;
        let (upto, from) = (self.measured.get(..=index)?, self.measured.get(index..)?);
        let fewer = upto.iter().rposition(Option::is_some)?;
        let more = index + from.iter().position(Option::is_some)?;
        let (low, high) = (self.measured[fewer]?, self.measured[more]?);
        let share = (index - fewer) as f64 / (more - fewer).max(1) as f64;
        Some(low + share * (high - low))
    }
}
