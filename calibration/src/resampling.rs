//! Folds and intervals, the same for the same seed.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Items in `folds` parts of nearly equal size and nearly equal mix of the groups that `group` names; for each item its
/// fold.
pub fn stratified(groups: &[usize], folds: usize, seed: u64) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut order: Vec<usize> = (0..groups.len()).collect();
    random.shuffle(&mut order);
    order.sort_by_key(|&at| groups[at]);
    let mut fold_of = vec![0; groups.len()];
    for (place, at) in order.into_iter().enumerate() {
        fold_of[at] = place % folds.max(1);
    }
    fold_of
}

/// `n` numbers below `n`, drawn with replacement.
pub fn resample(n: usize, random: &mut fastrand::Rng) -> Vec<usize> {
    (0..n).map(|_| random.usize(..n)).collect()
}

/// The middle 95 % of values; `None` without any. Values that are no numbers are left out.
pub fn percentile_interval(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let at =
        |share: f64| values.get((values.len().saturating_sub(1) as f64 * share).round() as usize).copied();
    Some((at(0.025)?, at(0.975)?))
}

/// `work` for each number below `count`, in their order. They are independent: each processor takes some.
///
/// # Errors
/// The first that `work` gives.
///
/// # Panics
/// Where `work` does.
pub(crate) fn independent<T: Send, E: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let share = || {
        let mine = std::iter::from_fn(|| {
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count)
        });
        mine.map(|number| Ok((number, work(number)?))).collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(count.max(1)));
    let done: Vec<Result<Vec<_>, E>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(share)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut done: Vec<_> = done.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, found)| found).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_have_the_same_mix_and_depend_on_the_seed() {
        let groups: Vec<usize> = (0..100).map(|n| usize::from(n % 5 == 0)).collect();
        let folds = stratified(&groups, 5, 1);
        for fold in 0..5 {
            let here = |group| (0..100).filter(|&n| folds[n] == fold && groups[n] == group).count();
            assert_eq!((here(0), here(1)), (16, 4), "fold {fold}");
        }
        assert_eq!(folds, stratified(&groups, 5, 1));
        assert_ne!(folds, stratified(&groups, 5, 2));
    }

    #[test]
    fn intervals_are_the_middle() {
        let values = (0..=1000).map(f64::from).chain([f64::NAN]);
        assert_eq!(percentile_interval(values), Some((25.0, 975.0)));
        assert_eq!(percentile_interval([]), None);
    }
}
