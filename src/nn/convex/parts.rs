//! Work cut into parts that depend on its size alone, shared out among threads.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More parts would keep no more threads busy, but hold more partial sums.
pub(super) const MAX_PARTS: usize = 32;

/// Fewer rows are not worth handing to a thread.
const MIN_ROWS: usize = 64;

/// Consecutive ranges of `0..n_rows`, the same on every machine.
pub(super) fn parts_of(n_rows: usize) -> Vec<Range<usize>> {
    let len = n_rows.div_ceil(MAX_PARTS).max(MIN_ROWS);
    (0..n_rows).step_by(len).map(|start| start..(start + len).min(n_rows)).collect()
}

/// `work` of every number below `n`, in order of the numbers, whichever thread did it.
pub(super) fn map<T: Send>(n_threads: NonZeroUsize, n: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let n_threads = n_threads.get().min(n);
    if n_threads <= 1 {
        return (0..n).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        (number < n).then_some(number)
    };
    let labour = || std::iter::from_fn(take).map(|number| (number, work(number))).collect::<Vec<_>>();
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..n_threads).map(|_| scope.spawn(labour)).collect();
        let mut done = labour();
        for other in others {
            match other.join() {
                Ok(theirs) => done.extend(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|&(number, _)| number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Where to cut the rows of an `n × n` upper triangle so that `n_bands` bands have about the same number of entries.
/// The cuts may decide which thread computes an entry, never what it is.
pub(super) fn triangle_bands(rows: Range<usize>, n_bands: usize) -> Vec<Range<usize>> {
    let n = rows.len();
    let cut = |band: usize| {
        let left = 1.0 - band as f64 / n_bands as f64;
        rows.start + ((n as f64) * (1.0 - left.sqrt())) as usize
    };
    let mut bands: Vec<_> = (0..n_bands).map(|band| cut(band)..cut(band + 1)).collect();
    if let Some(last) = bands.last_mut() {
        last.end = rows.end;
    }
    bands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_bands_cover_everything_once() {
        for n in [0, 1, 63, 64, 65, 5_000, 57_001] {
            let parts = parts_of(n);
            assert!(parts.len() <= MAX_PARTS);
            let covered: Vec<usize> = parts.into_iter().flatten().collect();
            assert_eq!(covered, (0..n).collect::<Vec<_>>());
            for n_bands in [1, 2, 3, 7] {
                let covered: Vec<usize> = triangle_bands(5..n + 5, n_bands).into_iter().flatten().collect();
                assert_eq!(covered, (5..n + 5).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn results_come_in_order_from_any_number_of_threads() {
        for n_threads in [1, 2, 3, 9] {
            let results = map(NonZeroUsize::new(n_threads).unwrap(), 20, |number| number * number);
            assert_eq!(results, (0..20).map(|number| number * number).collect::<Vec<_>>());
        }
    }
}
