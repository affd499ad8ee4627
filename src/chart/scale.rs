//! Axes: round numbers that hold the data.

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// A range with its tick marks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    pub lower: f64,
    pub upper: f64,
    pub ticks: Vec<f64>,
}

impl Scale {
    /// About `n_ticks` steps of 1, 2 or 5 times a power of ten that hold every value, within `limits`.
    /// Values must be finite; without any, the limits are taken as they are.
    pub(super) fn around(values: impl Iterator<Item = f64>, limits: (f64, f64), n_ticks: u32) -> Self {
        let (min, max) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(value), max.max(value)));
        let (min, max) = if min <= max { (min.max(limits.0), max.min(limits.1)) } else { limits };
        let span = (max - min).max((limits.1 - limits.0).min(max.abs().max(1.0)) * 0.01);
        let step = round_step(span / f64::from(n_ticks));
        let (mut first, mut last) = ((min / step).floor(), (max / step).ceil());
        if last <= first {
            if first * step < limits.1 { last = first + 1.0 } else { first = last - 1.0 }
        }
        let count = (last - first) as u32;
        let ticks: Vec<f64> = (0..=count)
            .map(|i| (first + f64::from(i)) * step)
            .filter(|tick| *tick >= limits.0 - step * 1e-6 && *tick <= limits.1 + step * 1e-6)
            .collect();
        Self { lower: (first * step).max(limits.0), upper: (last * step).min(limits.1), ticks }
    }

    /// Epochs from `first` to `last`, with at most about ten whole-numbered ticks.
    pub(super) fn epochs(first: u32, last: u32) -> Self {
        let (first, last) = if first < last { (first, last) } else { (last.saturating_sub(1), last + 1) };
        let step = (round_step(f64::from(last - first) / 8.0).max(1.0)) as u32;
        let mut ticks: Vec<f64> =
            (first..=last).filter(|epoch| epoch.is_multiple_of(step)).map(f64::from).collect();
        if step > 1 && first == 1 {
            ticks.insert(0, 1.0);
        }
        Self { lower: f64::from(first), upper: f64::from(last), ticks }
    }

    /// Digits after the point that tell neighbouring ticks apart.
    fn decimals(&self) -> usize {
        let step = match self.ticks.as_slice() {
            [a, b, ..] => b - a,
            _ => 1.0,
        };
        (0..6).find(|&digits| is_whole(step * 10f64.powi(digits))).unwrap_or(6) as usize
    }
}

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let part = (value - self.lower) / (self.upper - self.lower);
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.lower..self.upper
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        if *value >= 1e5 { format!("{value:.1e}") } else { format!("{value:.0$}", self.decimals()) }
    }
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6
}

/// The smallest of 1, 2, 5 × 10ⁿ that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_data() {
        let scale = Scale::around([0.63, 0.975].into_iter().map(|v| v * 100.0), (0.0, 100.0), 5);
        assert_eq!(scale.ticks, [60.0, 70.0, 80.0, 90.0, 100.0]);
        assert_eq!((scale.lower, scale.upper), (60.0, 100.0));
    }

    #[test]
    fn close_values_get_decimals() {
        let scale = Scale::around([97.61, 97.99].into_iter(), (0.0, 100.0), 5);
        assert!(scale.lower <= 97.61 && scale.upper >= 97.99, "{scale:?}");
        assert_eq!(scale.decimals(), 1, "{scale:?}");
    }

    #[test]
    fn a_single_value_or_none_still_makes_an_axis() {
        for values in [vec![], vec![0.0], vec![100.0], vec![50.0]] {
            let scale = Scale::around(values.iter().copied(), (0.0, 100.0), 5);
            assert!(scale.lower < scale.upper, "{values:?} {scale:?}");
            assert!(scale.ticks.len() >= 2, "{values:?} {scale:?}");
        }
    }

    #[test]
    fn epoch_ticks_are_whole_numbers_from_one() {
        assert_eq!(Scale::epochs(1, 10).ticks, [1.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(Scale::epochs(1, 50).ticks, [1.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(Scale::epochs(1, 1).ticks, [0.0, 1.0, 2.0]);
    }
}
