//! What a pass writes and reads, planned on the host before anything is launched.
//!
//! A *slot* is one token's place in the cache: `page * PAGE_LEN + place in the page`. Sequences
//! with as many rows as each other attend in one batch, since a device is paid by the launch.

use std::collections::BTreeMap;

use crate::kv::{PAGE_LEN, PageId};
use crate::model::{ModelConfig, Row};

/// The plan of a pass.
#[derive(Debug, PartialEq)]
pub(super) struct Pass {
    /// Where each row's key and value go.
    pub slots: Vec<usize>,
    /// The same as runs of consecutive slots, in row order.
    pub spans: Vec<Span>,
    /// Pages that this pass begins but does not fill. They are cleared first: what a page's last
    /// holder left behind is masked, but a NaN would pass through any mask.
    pub stale: Vec<PageId>,
    pub groups: Vec<Group>,
}

/// Rows `row..row + len` go to slots `slot..slot + len`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub row: usize,
    pub slot: usize,
    pub len: usize,
}

/// Sequences that attend together.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    /// The first row of each sequence.
    pub starts: Vec<usize>,
    /// Rows of each sequence.
    pub count: usize,
    /// What global layers see.
    pub global: View,
    /// What windowed layers see, where the model has them.
    pub local: Option<View>,
}

/// The keys and values that a group reads.
#[derive(Debug, PartialEq)]
pub(super) struct View {
    pub source: Source,
    /// Slots for each sequence.
    pub len: usize,
    /// `[sequences][rows][slots]`: 0 where a row sees a slot, else minus infinity. `None` where
    /// every row sees every slot.
    pub mask: Option<Vec<f32>>,
}

/// Where they lie.
#[derive(Debug, PartialEq)]
pub(super) enum Source {
    /// One sequence's slots from this one on: nothing has to be gathered.
    Run(usize),
    /// Whole pages, as many for each sequence.
    Pages(Vec<PageId>),
}

/// Rows of one sequence: positions `pos..pos + count`.
#[derive(Clone, Copy)]
struct Sequence<'a> {
    row: usize,
    pos: usize,
    count: usize,
    pages: &'a [PageId],
}

impl Pass {
    pub fn plan(config: &ModelConfig, rows: &[Row<'_>]) -> Self {
        let sequences = sequences(rows);
        let slots: Vec<usize> = rows.iter().map(|row| slot(row.pages, row.pos)).collect();
        let mut groups: BTreeMap<usize, Vec<Sequence<'_>>> = BTreeMap::new();
        for &sequence in &sequences {
            groups.entry(sequence.count).or_default().push(sequence);
        }
        let local_layer = (0..config.layers).find(|&layer| !config.is_global(layer));
        let groups = groups.into_iter().map(|(count, sequences)| Group {
            starts: sequences.iter().map(|sequence| sequence.row).collect(),
            count,
            global: View::of(&sequences, |_| 0),
            local: local_layer.map(|layer| View::of(&sequences, |pos| config.first_visible(layer, pos))),
        });
        Self {
            groups: groups.collect(),
            spans: spans(&slots),
            stale: sequences.iter().filter_map(Sequence::stale_page).collect(),
            slots,
        }
    }
}

fn slot(pages: &[PageId], pos: usize) -> usize {
    pages[pos / PAGE_LEN] as usize * PAGE_LEN + pos % PAGE_LEN
}

/// Cuts rows where the sequence changes.
fn sequences<'a>(rows: &[Row<'a>]) -> Vec<Sequence<'a>> {
    let mut found: Vec<Sequence<'a>> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match found.last_mut() {
            Some(last) if std::ptr::eq(last.pages, row.pages) && last.end() == row.pos => last.count += 1,
            _ => found.push(Sequence { row: index, pos: row.pos, count: 1, pages: row.pages }),
        }
    }
    found
}

fn spans(slots: &[usize]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for (row, &slot) in slots.iter().enumerate() {
        match spans.last_mut() {
            Some(last) if last.slot + last.len == slot => last.len += 1,
            _ => spans.push(Span { row, slot, len: 1 }),
        }
    }
    spans
}

impl Sequence<'_> {
    fn end(&self) -> usize {
        self.pos + self.count
    }

    /// The page whose first slot these rows fill, but not its last. There is at most one.
    fn stale_page(&self) -> Option<PageId> {
        let begun = self.end() / PAGE_LEN;
        let begins_here = begun * PAGE_LEN >= self.pos && !self.end().is_multiple_of(PAGE_LEN);
        begins_here.then(|| self.pages[begun])
    }
}

impl View {
    fn of(sequences: &[Sequence<'_>], first_visible: impl Fn(usize) -> usize) -> Self {
        match sequences {
            [sequence] => Self::of_one(sequence, &first_visible)
                .unwrap_or_else(|| Self::of_pages(sequences, &first_visible)),
            _ => Self::of_pages(sequences, &first_visible),
        }
    }

    /// One sequence whose pages lie one behind the other.
    fn of_one(sequence: &Sequence<'_>, first_visible: &impl Fn(usize) -> usize) -> Option<Self> {
        let (start, end) = (first_visible(sequence.pos), sequence.end());
        let pages = &sequence.pages[start / PAGE_LEN..end.div_ceil(PAGE_LEN)];
        if pages.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
            return None;
        }
        let len = end - start;
        let mask = (sequence.count > 1).then(|| {
            let mut mask = vec![f32::NEG_INFINITY; sequence.count * len];
            for (index, row) in mask.chunks_exact_mut(len).enumerate() {
                let pos = sequence.pos + index;
                row[first_visible(pos) - start..=pos - start].fill(0.0);
            }
            mask
        });
        Some(Self { source: Source::Run(slot(sequence.pages, start)), len, mask })
    }

    /// Any sequences. A shorter one is filled up with its own last page, which its mask hides:
    /// no sequence ever touches another's page.
    fn of_pages(sequences: &[Sequence<'_>], first_visible: &impl Fn(usize) -> usize) -> Self {
        let first = |sequence: &Sequence<'_>| first_visible(sequence.pos) / PAGE_LEN;
        let last = |sequence: &Sequence<'_>| (sequence.end() - 1) / PAGE_LEN;
        let count = sequences.iter().map(|sequence| last(sequence) - first(sequence) + 1).max().unwrap_or(0);
        let len = count * PAGE_LEN;
        let mut pages = Vec::with_capacity(sequences.len() * count);
        let mut mask = vec![f32::NEG_INFINITY; sequences.iter().map(|one| one.count).sum::<usize>() * len];
        let mut masks = mask.chunks_exact_mut(len.max(1));
        for sequence in sequences {
            let (first, last) = (first(sequence), last(sequence));
            pages.extend((first..first + count).map(|index| sequence.pages[index.min(last)]));
            for (pos, row) in (sequence.pos..sequence.end()).zip(&mut masks) {
                row[first_visible(pos) - first * PAGE_LEN..=pos - first * PAGE_LEN].fill(0.0);
            }
        }
        Self { source: Source::Pages(pages), len, mask: Some(mask) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, Want};

    fn config() -> ModelConfig {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/tiny-qwen3.gguf");
        Model::open(file.as_ref()).unwrap().config().clone()
    }

    fn rows(pages: &[PageId], from: usize, to: usize) -> impl Iterator<Item = Row<'_>> {
        (from..to).map(move |pos| Row { token: 0, pos, pages, want: Want::Nothing })
    }

    /// The slots that a row of the view sees, in order.
    fn seen(view: &View, sequence: usize, row: usize, rows: usize) -> Vec<usize> {
        let slots = (0..view.len).map(|index| match &view.source {
            Source::Run(slot) => slot + index,
            Source::Pages(pages) => {
                pages[sequence * view.len / PAGE_LEN + index / PAGE_LEN] as usize * PAGE_LEN
                    + index % PAGE_LEN
            }
        });
        let visible = |index: usize| match &view.mask {
            Some(mask) => mask[(sequence * rows + row) * view.len + index] == 0.0,
            None => true,
        };
        slots.enumerate().filter(|(index, _)| visible(*index)).map(|(_, slot)| slot).collect()
    }

    fn slots_of(pages: &[PageId], from: usize, to: usize) -> Vec<usize> {
        (from..to).map(|pos| slot(pages, pos)).collect()
    }

    #[test]
    fn a_row_sees_its_own_past_and_nothing_else() {
        let mut config = config();
        config.sliding = Some(crate::model::config::SlidingWindow { window: 20, period: 6, rope_base: 1e4 });
        // Apart, in a row, and in reverse: two single rows, a chunk, and another chunk.
        let tables: [&[PageId]; 4] = [&[7, 2, 9], &[3, 4, 5], &[12, 11, 10], &[20]];
        let spans = [(70, 71), (40, 41), (60, 90), (0, 30)];
        let all: Vec<Row<'_>> =
            tables.iter().zip(spans).flat_map(|(pages, (from, to))| rows(pages, from, to)).collect();
        let pass = Pass::plan(&config, &all);
        assert_eq!(
            pass.groups.iter().map(|group| (group.starts.len(), group.count)).collect::<Vec<_>>(),
            [(2, 1), (2, 30)]
        );
        for group in &pass.groups {
            for (index, &start) in group.starts.iter().enumerate() {
                for row in 0..group.count {
                    let Row { pos, pages, .. } = all[start + row];
                    assert_eq!(seen(&group.global, index, row, group.count), slots_of(pages, 0, pos + 1));
                    let local = group.local.as_ref().unwrap();
                    let from = (pos + 1).saturating_sub(20);
                    assert_eq!(seen(local, index, row, group.count), slots_of(pages, from, pos + 1));
                    if let Source::Pages(read) = &group.global.source {
                        let each = read.len() / group.starts.len();
                        let own = &read[index * each..(index + 1) * each];
                        assert!(own.iter().all(|page| pages.contains(page)), "only its own pages are read");
                    }
                }
            }
        }
    }

    #[test]
    fn pages_in_a_row_are_read_where_they_lie() {
        let config = config();
        let pages = [3, 4, 5];
        let one: Vec<_> = rows(&pages, 40, 41).collect();
        let pass = Pass::plan(&config, &one);
        let view = View { source: Source::Run(96), len: 41, mask: None };
        assert_eq!(pass.groups[0].global, view);
        assert_eq!(pass.spans, [Span { row: 0, slot: 4 * 32 + 8, len: 1 }]);
        let chunk: Vec<_> = rows(&pages, 30, 70).collect();
        let pass = Pass::plan(&config, &chunk);
        assert_eq!(pass.spans, [Span { row: 0, slot: 3 * 32 + 30, len: 40 }]);
        for row in 0..40 {
            assert_eq!(seen(&pass.groups[0].global, 0, row, 40), slots_of(&pages, 0, 31 + row));
        }
    }

    #[test]
    fn a_page_is_cleared_when_it_is_begun_and_not_filled() {
        let config = config();
        let pages = [8, 6, 4];
        let cases: [(usize, usize, &[PageId]); 7] = [
            (0, 1, &[8]),
            (0, 31, &[8]),
            (0, 32, &[]),
            (0, 33, &[6]),
            (1, 20, &[]),
            (20, 40, &[6]),
            (33, 64, &[]),
        ];
        for (from, to, stale) in cases {
            let rows: Vec<_> = rows(&pages, from, to).collect();
            assert_eq!(Pass::plan(&config, &rows).stale, stale, "{from}..{to}");
        }
    }
}
