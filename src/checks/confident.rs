//! Confident learning: which labels out-of-sample probabilities speak against.
//!
//! Northcutt, Jiang & Chuang 2021 (JAIR 70, arXiv:1911.00068). A class is likely for a row where its probability is at
//! least the mean probability of that class over the rows that have its label: a threshold that does not ask an unsure
//! model to be sure. Of several likely classes the most probable is taken; where the row's own label is as probable as
//! that, its own. The confident joint counts rows by label and likely class; rows without a likely class are not counted.

use super::stats::wilson;

/// Rows' likely classes and how many labels they speak against.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Confident {
    /// Of each row, where there is one.
    pub(super) likely: Vec<Option<u32>>,
    pub(super) noise: Noise,
}

/// The estimated share of wrong labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Noise {
    pub(super) share: f64,
    /// The 95 % confidence interval that comes of having looked at so many rows.
    pub(super) interval: (f64, f64),
}

impl Confident {
    /// `probabilities` are those of each row's classes, row after row, by a model that was not shown the row's label.
    pub(super) fn of(labels: &[u32], probabilities: &[f32], n_classes: usize) -> Self {
        let thresholds = thresholds(labels, probabilities, n_classes);
        let rows = labels.iter().zip(probabilities.chunks_exact(n_classes));
        let likely: Vec<Option<u32>> =
            rows.map(|(&label, row)| likely_class(label, row, &thresholds)).collect();
        let noise = noise(labels, &likely, n_classes);
        Self { likely, noise }
    }
}

/// The mean probability of each class over the rows with its label; of a class without rows, out of reach.
fn thresholds(labels: &[u32], probabilities: &[f32], n_classes: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); n_classes];
    for (&label, row) in labels.iter().zip(probabilities.chunks_exact(n_classes)) {
        let (sum, n) = &mut sums[label as usize];
        *sum += f64::from(row[label as usize]);
        *n += 1.0;
    }
    sums.into_iter().map(|(sum, n)| if n > 0.0 { sum / n } else { f64::INFINITY }).collect()
}

fn likely_class(label: u32, row: &[f32], thresholds: &[f64]) -> Option<u32> {
    let candidates = (0..).zip(row.iter().zip(thresholds));
    let mut candidates = candidates.filter(|(_, (p, threshold))| f64::from(**p) >= **threshold);
    let (first, (&p, _)) = candidates.next()?;
    let best = candidates.fold((first, p), |best, (class, (&p, _))| {
        let is_better = p > best.1 || (p == best.1 && class == label);
        if is_better { (class, p) } else { best }
    });
    Some(best.0)
}

/// Of each label's rows with a likely class, the part for which that is another, weighted by how many rows the label has
/// in all: the calibration of the confident joint.
fn noise(labels: &[u32], likely: &[Option<u32>], n_classes: usize) -> Noise {
    #[derive(Clone, Copy, Default)]
    struct Label {
        rows: f64,
        counted: f64,
        other: f64,
    }
    let mut by_label = vec![Label::default(); n_classes];
    for (&label, likely) in labels.iter().zip(likely) {
        let of = &mut by_label[label as usize];
        of.rows += 1.0;
        if let Some(likely) = likely {
            of.counted += 1.0;
            of.other += f64::from(u8::from(*likely != label));
        }
    }
    let known = by_label.iter().filter(|of| of.counted > 0.0);
    let (wrong, rows) =
        known.fold((0.0, 0.0), |(wrong, rows), of| (wrong + of.rows * of.other / of.counted, rows + of.rows));
    let share = if rows > 0.0 { wrong / rows } else { 0.0 };
    let counted: f64 = by_label.iter().map(|of| of.counted).sum();
    Noise { share, interval: wilson(share, counted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_likely_from_the_mean_confidence_in_it_on() {
        // thresholds: class 0 (0.9 + 0.5) / 2 = 0.7, class 1 (0.8 + 0.3 + 0.1) / 3 = 0.4
        let labels = [0, 0, 1, 1, 1];
        let probabilities = [0.9, 0.1, 0.5, 0.5, 0.2, 0.8, 0.7, 0.3, 0.9, 0.1];
        let found = Confident::of(&labels, &probabilities, 2);
        // the fourth falls short of class 0 by rounding alone: 0.7f32 < 0.7
        assert_eq!(found.likely, [Some(0), Some(1), Some(1), None, Some(0)]);
        // label 0: one of two; label 1: one of the two counted, for three
        assert!((found.noise.share - (2.0 * 0.5 + 3.0 * 0.5) / 5.0).abs() < 1e-12);
        assert!(found.noise.interval.0 < 0.5 && found.noise.interval.1 > 0.5);
    }

    #[test]
    fn an_unsure_model_speaks_against_few_labels() {
        // sure of nothing, but always surest of the label
        let labels: Vec<u32> = (0..30).map(|row| row % 3).collect();
        let row = |label: u32| (0..3).map(move |class| if class == label { 0.4 } else { 0.3 });
        let probabilities: Vec<f32> = labels.iter().flat_map(|&label| row(label)).collect();
        assert_eq!(Confident::of(&labels, &probabilities, 3).noise.share, 0.0);
    }

    #[test]
    fn where_another_class_is_as_probable_the_label_has_it() {
        let found = Confident::of(&[0, 1], &[0.5, 0.5, 0.5, 0.5], 2);
        assert_eq!(found.likely, [Some(0), Some(1)]);
    }

    #[test]
    fn classes_without_rows_are_never_likely_and_no_rows_say_nothing() {
        let found = Confident::of(&[0, 0], &[0.1, 0.9, 0.1, 0.9], 2);
        assert_eq!(found.likely, [Some(0), Some(0)]);
        assert_eq!(Confident::of(&[], &[], 2).noise, Noise { share: 0.0, interval: (0.0, 1.0) });
    }
}
