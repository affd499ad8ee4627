//! When a delivery that failed is attempted again.

use chrono::TimeDelta;
use std::time::Duration;
use uuid::Uuid;

/// After these a delivery has failed.
pub(super) const MAX_ATTEMPTS: u32 = 10;
/// Wait behind the first attempt; each further one is `FACTOR` times as long.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const FACTOR: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_hours(6);
/// Waits are longer or shorter by up to this part, so that many deliveries that failed together do not come back together.
const JITTER: f64 = 0.2;
/// A webhook without a success for this long is disabled.
pub(super) const PATIENCE: TimeDelta = TimeDelta::days(5);

/// The wait behind the attempt with this number, counted from 1; `None` behind the last. As long as the receiver asks
/// for (`Retry-After`) if that is longer, but never longer than it ever gets.
pub(super) fn wait(delivery: Uuid, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
    if attempt >= MAX_ATTEMPTS {
        return None;
    }
    let factor = FACTOR.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let wait = FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT);
    let wait = wait.mul_f64(1.0 + JITTER * (2.0 * drawn(delivery, attempt) - 1.0));
    Some(wait.max(asked.unwrap_or_default().min(LONGEST_WAIT)))
}

/// From `[0, 1)`, made of the delivery's id, whose last bits are random.
fn drawn(delivery: Uuid, attempt: u32) -> f64 {
    // 2⁶⁴ divided by the golden ratio: carries the last bits to the first
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let low = delivery.as_u128() as u64;
    let mixed = low.wrapping_mul(SPREAD.wrapping_mul(2 * u64::from(attempt) + 1));
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_their_jitter_to_six_hours_and_end() {
        let middles = [5.0, 20.0, 80.0, 320.0, 1_280.0, 5_120.0, 20_480.0, 21_600.0, 21_600.0];
        for _ in 0..200 {
            let id = Uuid::now_v7();
            for (attempt, middle) in (1..).zip(middles) {
                let wait = wait(id, attempt, None).unwrap().as_secs_f64();
                assert!((wait / middle - 1.0).abs() <= JITTER + 1e-9, "{attempt}: {wait}");
            }
            assert_eq!(wait(id, MAX_ATTEMPTS, None), None);
        }
    }

    #[test]
    fn deliveries_that_failed_together_come_back_apart() {
        let drawn: Vec<f64> = (0..1_000).map(|_| drawn(Uuid::now_v7(), 1)).collect();
        for tenth in 0..10 {
            let (from, to) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
            let n_inside = drawn.iter().filter(|&&x| from <= x && x < to).count();
            // 100 are expected, with a standard deviation of 9.5
            assert!((40..=160).contains(&n_inside), "{n_inside} in [{from}, {to})");
        }
    }

    #[test]
    fn a_receiver_can_ask_for_a_longer_wait_but_not_for_any() {
        let id = Uuid::now_v7();
        let minute = Duration::from_mins(1);
        assert_eq!(wait(id, 1, Some(minute)), Some(minute));
        assert!(wait(id, 5, Some(minute)).unwrap() > minute);
        assert_eq!(wait(id, 1, Some(Duration::from_hours(99))), Some(LONGEST_WAIT));
        assert_eq!(wait(id, MAX_ATTEMPTS, Some(minute)), None);
    }
}
