//! From a request ("class 3", "this writer") to the training rows it means.

use super::Dataset;
use crate::domain::{ForgetSet, MostMemorised, Sample};
use crate::nn::hash::{Purpose, falls_within, keyed_hash};

/// Why a forget set means nothing here. The text goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    #[error("class {class} does not exist; the dataset has classes 0 to {max}", max = .n_classes - 1)]
    NoSuchClass { class: u32, n_classes: u32 },
    #[error("row {row} is not among the rows this model was trained on: {why}")]
    NotTrainedOn { row: u32, why: &'static str },
    #[error("subject {0} has no rows among those this model was trained on")]
    NoSuchSubject(u64),
    #[error(
        "dataset `{0}` does not say which person a row came from; `GET /datasets/{0}` says if that can be mended"
    )]
    NoSubjects(String),
    #[error("nothing was planted into dataset `{0}`; `GET /datasets` says which have planted rows")]
    NothingPlanted(String),
    #[error("must be at most {max}, half of the rows this model was trained on")]
    TooManyMemorised { max: usize },
    #[error("which rows are the most memorised is not known before a run has found out")]
    NotChosen,
    #[error("the forget set is empty: the model was trained on no such row, or has forgotten it")]
    Empty,
    #[error("the forget set holds every training row; revoke the model instead")]
    Everything,
    #[error("fraction must lie between 0 and 1, both excluded")]
    BadFraction,
}

/// The rows `forget` means: sorted, without duplicates, all among `trained`, neither none nor all of them.
///
/// `trained` holds the ids of the rows the model was trained on, sorted and without duplicates. A class
/// or subject means its rows among those; a row named by id must be one of them. A sample takes each row
/// on its own, by a keyed hash of (seed, row id): the same seed picks the same rows whatever else was
/// trained on, and the number of rows is `fraction` of them only on average. Planted rows are those of them that
/// were trained on. The most memorised rows are those recorded in the set, which must be among `trained` too;
/// before they are, it is [`ForgetError::NotChosen`].
pub fn resolve_forget_set(
    forget: &ForgetSet,
    dataset: &Dataset,
    trained: &[u32],
) -> Result<Vec<u32>, ForgetError> {
    let rows = match forget {
        ForgetSet::Class(class) => rows_of_class(*class, dataset, trained)?,
        ForgetSet::Rows(rows) => named_rows(rows, dataset, trained)?,
        ForgetSet::Subjects(subjects) => rows_of_subjects(subjects, dataset, trained)?,
        ForgetSet::Sample(sample) => sampled_rows(*sample, trained)?,
        ForgetSet::Planted => planted_rows(dataset, trained)?,
        ForgetSet::MostMemorised(memorised) => {
            let chosen = memorised.chosen.as_ref().ok_or(ForgetError::NotChosen)?;
            named_rows(chosen, dataset, trained)?
        }
    };
    match rows.len() {
        0 => Err(ForgetError::Empty),
        n if n == trained.len() => Err(ForgetError::Everything),
        _ => Ok(rows),
    }
}

/// Whether `forget` can mean rows among `trained`: everything [`resolve_forget_set`] would object to, but that the
/// most memorised rows are not chosen yet.
pub fn check_forget_set(forget: &ForgetSet, dataset: &Dataset, trained: &[u32]) -> Result<(), ForgetError> {
    match forget {
        ForgetSet::MostMemorised(MostMemorised { rows, chosen: None, .. }) => {
            let max = trained.len() / 2;
            match *rows {
                0 => Err(ForgetError::Empty),
                n if n as usize > max => Err(ForgetError::TooManyMemorised { max }),
                _ => Ok(()),
            }
        }
        other => resolve_forget_set(other, dataset, trained).map(drop),
    }
}

fn planted_rows(dataset: &Dataset, trained: &[u32]) -> Result<Vec<u32>, ForgetError> {
    let Some(planted) = &dataset.planted else {
        return Err(ForgetError::NothingPlanted(dataset.name.clone()));
    };
    Ok(planted.rows.iter().copied().filter(|row| trained.binary_search(row).is_ok()).collect())
}

fn rows_of_class(class: u32, dataset: &Dataset, trained: &[u32]) -> Result<Vec<u32>, ForgetError> {
    if class as usize >= dataset.n_classes() {
        let n_classes = u32::try_from(dataset.n_classes()).expect("labels are u32, so classes are too");
        return Err(ForgetError::NoSuchClass { class, n_classes });
    }
    let labels = &dataset.train.labels;
    Ok(trained.iter().copied().filter(|&row| labels[row as usize] == class).collect())
}

fn named_rows(rows: &[u32], dataset: &Dataset, trained: &[u32]) -> Result<Vec<u32>, ForgetError> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows.dedup();
    for &row in &rows {
        if row as usize >= dataset.train.n_rows() {
            return Err(ForgetError::NotTrainedOn { row, why: "the training data ends before it" });
        }
        if trained.binary_search(&row).is_err() {
            return Err(ForgetError::NotTrainedOn { row, why: "it was held out or has been forgotten" });
        }
    }
    Ok(rows)
}

fn rows_of_subjects(wanted: &[u64], dataset: &Dataset, trained: &[u32]) -> Result<Vec<u32>, ForgetError> {
    let Some(subjects) = &dataset.train.subjects else {
        return Err(ForgetError::NoSubjects(dataset.name.clone()));
    };
    let mut wanted = wanted.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut seen = vec![false; wanted.len()];
    let mut rows = Vec::new();
    for &row in trained {
        if let Ok(position) = wanted.binary_search(&subjects[row as usize]) {
            seen[position] = true;
            rows.push(row);
        }
    }
    match seen.iter().position(|&seen| !seen) {
        Some(missing) => Err(ForgetError::NoSuchSubject(wanted[missing])),
        None => Ok(rows),
    }
}

fn sampled_rows(sample: Sample, trained: &[u32]) -> Result<Vec<u32>, ForgetError> {
    let Sample { fraction, seed } = sample;
    // written so that NaN is refused too
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(ForgetError::BadFraction);
    }
    let is_picked = |row: &u32| falls_within(keyed_hash(seed, Purpose::ForgetSample, 0, *row), fraction);
    Ok(trained.iter().copied().filter(is_picked).collect())
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::{tiny, tiny_vectors};
    use super::super::{Planted, PlantedKind};
    use super::*;

    const ALL: [u32; 6] = [0, 1, 2, 3, 4, 5];

    fn check(forget: &ForgetSet, trained: &[u32], expected: Result<&[u32], ForgetError>) {
        let rows = resolve_forget_set(forget, &tiny(), trained);
        assert_eq!(rows, expected.map(<[u32]>::to_vec), "{forget:?} among {trained:?}");
    }

    #[test]
    fn a_class_means_its_trained_rows() {
        check(&ForgetSet::Class(2), &ALL, Ok(&[2, 5]));
        check(&ForgetSet::Class(2), &[0, 1, 5], Ok(&[5]));
    }

    #[test]
    fn a_class_past_the_last_is_named() {
        check(&ForgetSet::Class(3), &ALL, Err(ForgetError::NoSuchClass { class: 3, n_classes: 3 }));
        let text = ForgetError::NoSuchClass { class: 3, n_classes: 3 }.to_string();
        assert_eq!(text, "class 3 does not exist; the dataset has classes 0 to 2");
    }

    #[test]
    fn a_class_forgotten_before_leaves_nothing_to_forget() {
        check(&ForgetSet::Class(2), &[0, 1, 3, 4], Err(ForgetError::Empty));
    }

    #[test]
    fn rows_are_sorted_and_named_once() {
        check(&ForgetSet::Rows(vec![5, 1, 5, 3, 1]), &ALL, Ok(&[1, 3, 5]));
    }

    #[test]
    fn a_row_the_model_never_saw_is_named() {
        let held_out = ForgetError::NotTrainedOn { row: 3, why: "it was held out or has been forgotten" };
        check(&ForgetSet::Rows(vec![5, 3]), &[0, 1, 5], Err(held_out));
        let beyond = ForgetError::NotTrainedOn { row: 6, why: "the training data ends before it" };
        check(&ForgetSet::Rows(vec![0, 6]), &ALL, Err(beyond));
        check(&ForgetSet::Rows(vec![]), &ALL, Err(ForgetError::Empty));
    }

    #[test]
    fn subjects_mean_every_row_of_theirs() {
        check(&ForgetSet::Subjects(vec![101]), &ALL, Ok(&[2, 3, 4]));
        check(&ForgetSet::Subjects(vec![101, 101]), &[1, 3], Ok(&[3]));
    }

    #[test]
    fn a_subject_without_trained_rows_is_named() {
        check(&ForgetSet::Subjects(vec![101, 5]), &ALL, Err(ForgetError::NoSuchSubject(5)));
        check(&ForgetSet::Subjects(vec![101]), &[0, 1], Err(ForgetError::NoSuchSubject(101)));
        check(&ForgetSet::Subjects(vec![]), &ALL, Err(ForgetError::Empty));
    }

    #[test]
    fn data_without_people_cannot_forget_one() {
        let error = resolve_forget_set(&ForgetSet::Subjects(vec![1]), &tiny_vectors(), &[0, 1]);
        assert_eq!(error, Err(ForgetError::NoSubjects("vectors".to_owned())));
    }

    #[test]
    fn planted_rows_mean_those_that_were_trained_on() {
        let planted = Planted { kind: PlantedKind::Mislabelled, rows: vec![1, 3, 5], truth: None };
        let dataset = Dataset { planted: Some(planted), ..tiny() };
        let rows = |trained: &[u32]| resolve_forget_set(&ForgetSet::Planted, &dataset, trained);
        assert_eq!(rows(&ALL), Ok(vec![1, 3, 5]));
        assert_eq!(rows(&[0, 2, 3]), Ok(vec![3]));
        assert_eq!(rows(&[0, 2]), Err(ForgetError::Empty));
        check(&ForgetSet::Planted, &ALL, Err(ForgetError::NothingPlanted("tiny".to_owned())));
    }

    fn memorised(rows: u32, chosen: Option<Vec<u32>>) -> ForgetSet {
        ForgetSet::MostMemorised(MostMemorised { rows, seed: 1, chosen })
    }

    #[test]
    fn the_most_memorised_rows_are_those_a_run_has_chosen() {
        check(&memorised(2, None), &ALL, Err(ForgetError::NotChosen));
        check(&memorised(2, Some(vec![4, 0])), &ALL, Ok(&[0, 4]));
        let forgotten = ForgetError::NotTrainedOn { row: 4, why: "it was held out or has been forgotten" };
        check(&memorised(2, Some(vec![4, 0])), &[0, 1, 2], Err(forgotten));
    }

    #[test]
    fn at_most_half_of_the_rows_can_be_the_most_memorised() {
        let check = |rows, trained: &[u32]| check_forget_set(&memorised(rows, None), &tiny(), trained);
        assert_eq!(check(3, &ALL), Ok(()));
        assert_eq!(check(4, &ALL), Err(ForgetError::TooManyMemorised { max: 3 }));
        assert_eq!(check(1, &[2]), Err(ForgetError::TooManyMemorised { max: 0 }));
        assert_eq!(check(0, &ALL), Err(ForgetError::Empty));
        assert_eq!(check_forget_set(&ForgetSet::Class(2), &tiny(), &[0, 1]), Err(ForgetError::Empty));
    }

    #[test]
    fn everything_cannot_be_forgotten() {
        check(&ForgetSet::Rows(ALL.to_vec()), &ALL, Err(ForgetError::Everything));
        check(&ForgetSet::Subjects(vec![100, 101]), &ALL, Err(ForgetError::Everything));
    }

    #[test]
    fn a_fraction_lies_strictly_between_none_and_all() {
        for fraction in [0.0, 1.0, -0.1, 1.5, f64::NAN, f64::INFINITY] {
            check(&ForgetSet::Sample(Sample { fraction, seed: 1 }), &ALL, Err(ForgetError::BadFraction));
        }
    }

    #[test]
    fn a_sample_is_a_property_of_each_row() {
        let all: Vec<u32> = (0..60_000).collect();
        let odd: Vec<u32> = all.iter().copied().filter(|row| row % 2 == 1).collect();
        let sample = Sample { fraction: 0.1, seed: 7 };
        let of_all = sampled_rows(sample, &all).unwrap();
        let of_odd = sampled_rows(sample, &odd).unwrap();
        // six standard deviations of a binomial around 6,000
        assert!((5_560..=6_440).contains(&of_all.len()), "{}", of_all.len());
        let odd_of_all: Vec<u32> = of_all.iter().copied().filter(|row| row % 2 == 1).collect();
        assert_eq!(of_odd, odd_of_all);
        assert_ne!(of_all, sampled_rows(Sample { seed: 8, ..sample }, &all).unwrap());
        let larger = sampled_rows(Sample { fraction: 0.2, ..sample }, &all).unwrap();
        assert!(of_all.iter().all(|row| larger.binary_search(row).is_ok()));
    }

    #[test]
    fn a_sample_too_small_to_hold_a_row_is_empty() {
        check(&ForgetSet::Sample(Sample { fraction: 1e-12, seed: 1 }), &ALL, Err(ForgetError::Empty));
    }
}
