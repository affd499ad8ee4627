use super::*;
use crate::nn::twin::problem_data;
use crate::nn::{Faults, Features, Reference, Standard, TrainError};

const D: usize = 40;
const CLASSES: usize = 4;

fn examined(subject: &Subject<'_>, n_threads: usize) -> Vec<Finding> {
    let n_threads = NonZeroUsize::new(n_threads).unwrap();
    examine(subject, n_threads, &mut || ControlFlow::Continue(())).unwrap()
}

fn labels_of(subject: &Subject<'_>) -> Labels {
    Labels::of(subject, NonZeroUsize::MIN, &mut || ControlFlow::Continue(())).unwrap()
}

/// A table with its test, made of one list of rows.
struct Rows {
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Rows {
    fn new(n: usize) -> Self {
        let (pixels, labels) = problem_data(n, D, CLASSES as u32);
        Self { pixels, labels }
    }

    /// Gives every `n`-th row the label of another class.
    fn with_every_wrong(mut self, n: usize) -> Self {
        self.labels.iter_mut().step_by(n).for_each(|label| *label = (*label + 1) % CLASSES as u32);
        self
    }

    fn samples(&self) -> Samples<'_> {
        Samples::new(Features::U8(&self.pixels), &self.labels, D, CLASSES)
    }

    fn subject(&self) -> Subject<'_> {
        let test = Samples::new(Features::U8(&[9; D]), &[0], D, CLASSES);
        Subject::as_stored(self.samples(), test)
    }
}

/// Agreements by their definitions, in f64, one pair of samples at a time. Every sample is looked at.
fn agreements(subject: &Subject<'_>) -> (f64, f64) {
    let labels = subject.labels();
    let rows: Vec<Vec<f64>> = subject
        .pairs
        .features_of
        .iter()
        .map(|&row| {
            let mut x = [0.0; D];
            subject.train.copy_row(row as usize, &mut x);
            x.iter().map(|&value| f64::from(value)).collect()
        })
        .collect();
    let (mut first, mut majority) = (0, 0);
    for (i, row) in rows.iter().enumerate() {
        let others =
            (0..rows.len()).filter(|&j| subject.pairs.features_of[j] != subject.pairs.features_of[i]);
        let distance = |j: usize| row.iter().zip(&rows[j]).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let mut near: Vec<(f64, usize)> = others.map(|j| (distance(j), j)).collect();
        near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let near: Vec<u32> = near.iter().take(15).map(|&(_, j)| labels[j]).collect();
        let votes = |class: u32| near.iter().filter(|&&label| label == class).count();
        first += usize::from(near[0] == labels[i]);
        majority += usize::from((0..CLASSES as u32).all(|class| votes(class) <= votes(labels[i])));
    }
    (first as f64 / labels.len() as f64, majority as f64 / labels.len() as f64)
}

#[test]
fn agreements_are_their_definition() {
    let rows = Rows::new(300).with_every_wrong(6);
    let samples = rows.samples();
    let misaligned = Recipe::Debug(Reference { faults: Faults::NN, ..Reference::debug(1) });
    for subject in [rows.subject(), Subject::of(&misaligned, samples, &[], samples)] {
        let found = labels_of(&subject);
        let (first, majority) = agreements(&subject);
        assert!((found.neighbour_agreement - first).abs() < 0.007, "{found:?} {first}");
        assert!((found.majority_agreement - majority).abs() < 0.007, "{found:?} {majority}");
        assert_eq!((found.n_samples, found.n_references), (300, 300));
    }
}

#[test]
fn wrong_labels_are_estimated_and_right_ones_are_let_be() {
    let clean = Rows::new(1_500);
    let found = labels_of(&clean.subject());
    assert!(found.noise < 0.05 && !found.judge().0, "{found:?}");
    let noisy = Rows::new(1_500).with_every_wrong(4);
    let found = labels_of(&noisy.subject());
    assert!(found.noise_low < 0.25 && 0.25 < found.noise_high && found.judge().0, "{found:?}");
}

#[test]
fn features_shown_with_labels_of_other_rows_are_wrong_labels_though_the_rows_are_right() {
    let rows = Rows::new(1_500);
    let samples = rows.samples();
    let subject = |misaligned_labels| {
        let faults = Faults { misaligned_labels, ..Faults::NN };
        Subject::of(&Recipe::Nn(Reference { faults, ..Reference::nn(1) }), samples, &[], samples)
    };
    let found = labels_of(&subject(true));
    let (warns, detail) = found.judge();
    // four of five labels are those of other rows, which are of the same class one time in four
    assert!(warns && (found.noise - 0.6).abs() < 0.15, "{found:?}");
    assert!(detail.contains("1,200 samples show the features of only 240 rows"), "{detail}");
    assert!(!labels_of(&subject(false)).judge().0);
}

#[test]
fn labels_drawn_blindly_agree_by_chance() {
    let mut rows = Rows::new(1_500);
    let draw = |row: u32| (crate::nn::hash::keyed_hash(3, Purpose::WrongLabel, 0, row) % 4) as u32;
    rows.labels = (0..1_500).map(draw).collect();
    let found = labels_of(&rows.subject());
    assert!((found.neighbour_agreement - found.chance).abs() < 0.06 && (found.chance - 0.25).abs() < 0.01);
    assert!(found.judge().0, "{found:?}");
}

#[test]
fn a_subject_is_what_the_recipe_shows_and_tests_on() {
    let rows = Rows::new(100);
    let samples = rows.samples();
    let nn = Subject::of(&Recipe::Nn(Reference::nn(1)), samples, &[], rows.subject().test);
    assert_eq!((nn.pairs.len(), nn.tested.len(), nn.test.n_rows()), (80, 20, 100));
    assert!(!nn.shuffled && nn.shown().len() == 16);
    let standard = |seed| Subject::of(&Recipe::Standard(Standard::new(seed)), samples, &[7], samples);
    assert_eq!((standard(1).pairs, standard(1).tested.len()), (standard(2).pairs, 100));
    assert!(standard(1).shuffled && !standard(1).pairs.label_of.contains(&7));
    // shuffled or not, it is the same samples
    let shuffled = |seed| {
        let faults = Faults { no_shuffle: false, ..Faults::DEBUG };
        Subject::of(&Recipe::Debug(Reference { faults, ..Reference::debug(seed) }), samples, &[], samples)
    };
    assert_eq!(shuffled(1).pairs, shuffled(2).pairs);
}

#[test]
fn the_same_subject_gives_the_same_findings_on_any_number_of_threads() {
    let rows = Rows::new(700).with_every_wrong(5);
    let found = examined(&rows.subject(), 1);
    assert_eq!(found, examined(&rows.subject(), 3));
    let names: Vec<String> = found
        .iter()
        .map(|finding| format!("{:?}", finding.check).split('(').next().unwrap().to_lowercase())
        .collect();
    assert_eq!(names, ["labels", "balance", "duplicates", "constants", "order"]);
    assert!(found[0].is_warning() && found.iter().all(|finding| !finding.detail.is_empty()));
}

#[test]
fn no_rows_one_row_and_one_class_break_nothing() {
    for n in [0, 1, 2, 40] {
        let mut rows = Rows::new(n);
        rows.labels.iter_mut().for_each(|label| *label = 2);
        let found = examined(&rows.subject(), 1);
        assert!(!found[0].is_warning(), "{found:?}");
        assert!(found[1].is_warning(), "classes are missing");
    }
}

#[test]
fn examining_stops_whenever_it_is_told_to() {
    let rows = Rows::new(50);
    let subject = rows.subject();
    let asked = |patience: u32| {
        let mut left = patience;
        examine(&subject, NonZeroUsize::MIN, &mut || match left {
            0 => ControlFlow::Break(()),
            _ => {
                left -= 1;
                ControlFlow::Continue(())
            }
        })
    };
    assert!((0..4).all(|patience| asked(patience) == Err(Interrupted)));
    assert!(asked(4).is_ok());
}

mod of_suspects {
    use super::*;

    fn suspected(rows: &Rows, n_threads: usize) -> Suspects {
        let all: Vec<u32> = (0..rows.labels.len() as u32).collect();
        let n_threads = NonZeroUsize::new(n_threads).unwrap();
        suspects(rows.samples(), &all, 5, n_threads, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn rows_with_a_wrong_label_are_found_and_few_others() {
        let rows = Rows::new(4_000).with_every_wrong(8);
        let found = suspected(&rows, 1);
        assert!(found.rows.is_sorted());
        let n_right = found.rows.iter().filter(|&&row| row % 8 == 0).count();
        assert!(n_right > 450 && found.rows.len() < 600, "{n_right} of {}", found.rows.len());
        assert!((found.noise - 0.125).abs() < 0.03, "{}", found.noise);
    }

    #[test]
    fn threads_decide_nothing() {
        let rows = Rows::new(600).with_every_wrong(8);
        assert_eq!(suspected(&rows, 1), suspected(&rows, 2));
    }

    #[test]
    fn rows_left_out_are_neither_learned_from_nor_suspected() {
        let mut rows = Rows::new(600).with_every_wrong(8);
        let some: Vec<u32> = (0..600).filter(|row| row % 3 > 0).collect();
        let of = |rows: &Rows| {
            suspects(rows.samples(), &some, 5, NonZeroUsize::MIN, &mut |_| ControlFlow::Continue(())).unwrap()
        };
        let found = of(&rows);
        assert!(!found.rows.is_empty() && found.rows.iter().all(|row| row % 3 > 0));
        rows.labels.iter_mut().step_by(3).for_each(|label| *label = 0);
        assert_eq!(of(&rows), found);
    }

    #[test]
    fn it_stops_when_told_to_and_says_when_there_is_nothing_to_learn_from() {
        let rows = Rows::new(2_000);
        let all: Vec<u32> = (0..2_000).collect();
        let stopped = suspects(rows.samples(), &all, 5, NonZeroUsize::MIN, &mut |_| ControlFlow::Break(()));
        assert_eq!(stopped, Err(SuspectError::Interrupted));
        let none = suspects(rows.samples(), &[], 5, NonZeroUsize::MIN, &mut |_| ControlFlow::Continue(()));
        assert_eq!(none, Err(SuspectError::Train(TrainError::NoRows)));
    }
}
