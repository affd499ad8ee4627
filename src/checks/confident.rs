//! Confident learning: which labels out-of-sample probabilities speak against.
//!
//! Northcutt, Jiang & Chuang 2021 (JAIR 70, arXiv:1911.00068). A class is likely for a row where its probability is at
//! least the mean probability of that class over the rows that have its label: a threshold that does not ask an unsure
//! model to be sure. Of several likely classes the most probable is taken; where the row's own label is as probable as
//! that, its own. The confident joint counts rows by label and likely class; rows without a likely class are not counted.
//! Calibrated to the number of rows of each label it says how many labels are wrong, and which are.

use super::stats::wilson;

/// What the probabilities of some rows say of their labels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Confident {
    n_classes: usize,
    /// Rows of each label.
    n_rows: Vec<f64>,
    /// The confident joint, label after label.
    joint: Vec<f64>,
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
        let mut n_rows = vec![0.0; n_classes];
        let mut joint = vec![0.0; n_classes * n_classes];
        for (&label, row) in labels.iter().zip(probabilities.chunks_exact(n_classes)) {
            n_rows[label as usize] += 1.0;
            if let Some(likely) = likely_class(label, row, &thresholds) {
                joint[label as usize * n_classes + likely as usize] += 1.0;
            }
        }
        Self { n_classes, n_rows, joint }
    }

    /// Rows of `label` that were counted.
    fn counted(&self, label: usize) -> f64 {
        self.joint[label * self.n_classes..][..self.n_classes].iter().sum()
    }

    /// How many rows of `label` really are of `class`, by the joint calibrated to the number of rows each label has.
    fn expected(&self, label: usize, class: usize) -> f64 {
        let counted = self.counted(label);
        let found = self.joint[label * self.n_classes + class];
        if counted > 0.0 { self.n_rows[label] * found / counted } else { 0.0 }
    }

    pub(super) fn noise(&self) -> Noise {
        let (mut wrong, mut rows, mut counted) = (0.0, 0.0, 0.0);
        for label in (0..self.n_classes).filter(|&label| self.counted(label) > 0.0) {
            wrong += self.n_rows[label] - self.expected(label, label);
            rows += self.n_rows[label];
            counted += self.counted(label);
        }
        let share = if rows > 0.0 { wrong / rows } else { 0.0 };
        Noise { share, interval: wilson(share, counted) }
    }

    /// The rows with wrong labels, by their places, sorted: "prune by noise rate". Of every label, as many rows as are
    /// expected to be of another class, those for which that class is ahead of the label by most; never one for which it
    /// is behind.
    pub(super) fn wrong(&self, labels: &[u32], probabilities: &[f32]) -> Vec<usize> {
        let mut by_label = vec![Vec::new(); self.n_classes];
        for (place, &label) in labels.iter().enumerate() {
            by_label[label as usize].push(place);
        }
        let mut wrong = Vec::new();
        for (label, places) in by_label.iter().enumerate() {
            for class in (0..self.n_classes).filter(|&class| class != label) {
                let lead = |place: usize| {
                    let row = &probabilities[place * self.n_classes..];
                    row[class] - row[label]
                };
                let mut ahead: Vec<(f32, usize)> = places
                    .iter()
                    .map(|&place| (lead(place), place))
                    .filter(|&(lead, _)| lead > 0.0)
                    .collect();
                ahead.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                let expected = self.expected(label, class).round() as usize;
                wrong.extend(ahead.iter().take(expected).map(|&(_, place)| place));
            }
        }
        wrong.sort_unstable();
        wrong.dedup();
        wrong
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_likely_from_the_mean_confidence_in_it_on() {
        // thresholds: class 0 (0.9 + 0.5) / 2 = 0.7, class 1 (0.8 + 0.3 + 0.1) / 3 = 0.4
        let labels = [0, 0, 1, 1, 1];
        let probabilities = [0.9, 0.1, 0.5, 0.5, 0.2, 0.8, 0.65, 0.35, 0.9, 0.1];
        let found = Confident::of(&labels, &probabilities, 2);
        // the fourth row reaches neither and is not counted
        assert_eq!(found.joint, [1.0, 1.0, 1.0, 1.0]);
        // label 0: one of two; label 1: one of the two counted, for three
        let noise = found.noise();
        assert!((noise.share - (2.0 * 0.5 + 3.0 * 0.5) / 5.0).abs() < 1e-12);
        assert!(noise.interval.0 < 0.5 && noise.interval.1 > 0.5);
        // of label 0 one row is expected to be wrong, but for none class 1 is ahead; of label 1 one and a half, rounded
        assert_eq!(found.wrong(&labels, &probabilities), [3, 4]);
    }

    #[test]
    fn as_many_rows_are_wrong_as_are_expected_to_be() {
        let labels = [[0; 8], [1; 8]].concat();
        let sure = |class: usize| [[0.9, 0.1], [0.1, 0.9]][class];
        // of label 0 two are of class 1 and a third would rather be than not
        let mut rows = vec![sure(0); 8];
        (rows[2], rows[5], rows[7]) = (sure(1), sure(1), [0.45, 0.55]);
        rows.extend([sure(1); 8]);
        let probabilities = rows.concat();
        let found = Confident::of(&labels, &probabilities, 2);
        // two of the seven counted, for eight rows: 2.3
        assert!((found.noise().share - 2.0 / 7.0 * 8.0 / 16.0).abs() < 1e-12);
        assert_eq!(found.wrong(&labels, &probabilities), [2, 5]);
    }

    #[test]
    fn an_unsure_model_speaks_against_few_labels() {
        // sure of nothing, but always surest of the label
        let labels: Vec<u32> = (0..30).map(|row| row % 3).collect();
        let row = |label: u32| (0..3).map(move |class| if class == label { 0.4 } else { 0.3 });
        let probabilities: Vec<f32> = labels.iter().flat_map(|&label| row(label)).collect();
        let found = Confident::of(&labels, &probabilities, 3);
        assert!(found.noise().share == 0.0 && found.wrong(&labels, &probabilities).is_empty());
    }

    #[test]
    fn where_another_class_is_as_probable_the_label_has_it() {
        assert_eq!(Confident::of(&[0, 1], &[0.5, 0.5, 0.5, 0.5], 2).joint, [1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn classes_without_rows_are_never_likely_and_no_rows_say_nothing() {
        let found = Confident::of(&[0, 0], &[0.1, 0.9, 0.1, 0.9], 2);
        assert_eq!(found.joint, [2.0, 0.0, 0.0, 0.0]);
        assert_eq!(Confident::of(&[], &[], 2).noise(), Noise { share: 0.0, interval: (0.0, 1.0) });
    }
}
