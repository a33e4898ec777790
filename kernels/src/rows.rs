//! Work that treats each row of a matrix on its own.

use crate::disjoint::Disjoint;
use crate::pool::ComputePool;

/// Fewest elements for which a second thread pays.
const WORTH_SPLITTING: usize = 4096;
/// Neighbouring rows that one part takes where rows lie anywhere.
const NEIGHBOURS: usize = 16;

/// Calls `work(index, row)` for every row of `width` elements, spread over the pool.
///
/// # Panics
/// When `width` is 0 or `rows` is no whole number of rows, or when `work` panics.
pub fn for_each_row(
    pool: &ComputePool,
    rows: &mut [f32],
    width: usize,
    work: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    assert!(width > 0 && rows.len().is_multiple_of(width), "rows must be whole");
    let count = rows.len() / width;
    if count < 2 || rows.len() < WORTH_SPLITTING {
        rows.chunks_exact_mut(width).enumerate().for_each(|(index, row)| work(index, row));
        return;
    }
    let parts = pool.threads().min(count);
    let shared = Disjoint::new(rows);
    pool.run(parts, &|part| {
        for index in count * part / parts..count * (part + 1) / parts {
            // SAFETY: each row index belongs to exactly one part, and rows do not overlap.
            work(index, unsafe { shared.range(index * width, width) });
        }
    });
}

/// Calls `work(index, row at[index])` for every index of `at`, spread over the pool. An index that
/// names a row again comes after the first.
///
/// # Panics
/// When `width` is 0 or `at` names a row outside `rows`, or when `work` panics.
pub fn for_each_row_at(
    pool: &ComputePool,
    rows: &mut [f32],
    width: usize,
    at: &[usize],
    work: &(dyn Fn(usize, &mut [f32]) + Sync),
) {
    assert!(width > 0, "rows have elements");
    if at.len() < 2 || at.len() * width < WORTH_SPLITTING {
        at.iter().enumerate().for_each(|(index, at)| work(index, &mut rows[at * width..][..width]));
        return;
    }
    let parts = pool.threads();
    let shared = Disjoint::new(rows);
    pool.run(parts, &|part| {
        let own = at.iter().enumerate().filter(|(_, at)| *at / NEIGHBOURS % parts == part);
        for (index, at) in own {
            // SAFETY: each row of `rows`, however often it is named, belongs to exactly one part,
            // which takes one at a time; rows do not overlap.
            work(index, unsafe { shared.range(at * width, width) });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_visited_once_with_its_index() {
        let pool = ComputePool::new(3);
        for (count, width) in [(0, 5), (1, 7), (2, 4096), (7, 1000), (64, 576)] {
            let mut rows = vec![0.0; count * width];
            for_each_row(&pool, &mut rows, width, &|index, row| {
                row.iter_mut().for_each(|value| *value += 1.0 + index as f32);
            });
            for (index, row) in rows.chunks_exact(width).enumerate() {
                assert!(row.iter().all(|&value| value == 1.0 + index as f32));
            }
        }
    }

    #[test]
    fn named_rows_are_visited_in_order_and_no_others() {
        let pool = ComputePool::new(3);
        for (count, width) in [(0, 5), (1, 7), (5, 1000), (64, 576)] {
            // Far apart and in no order, the last row twice.
            let mut at: Vec<usize> = (0..count).map(|index| index * 37 % 101).collect();
            at.extend(at.last().copied());
            let mut rows = vec![-1.0; 101 * width];
            for_each_row_at(&pool, &mut rows, width, &at, &|index, row| row.fill(index as f32));
            let mut expected = vec![-1.0; 101];
            at.iter().enumerate().for_each(|(index, &at)| expected[at] = index as f32);
            for (row, expected) in rows.chunks_exact(width).zip(expected) {
                assert!(row.iter().all(|&value| value == expected));
            }
        }
    }
}
