//! What the drawn table must be, whoever draws it.

use super::*;

#[test]
fn the_table_is_the_same_on_every_machine() {
    assert_eq!(dataset().digest, DIGEST);
}

#[test]
fn the_listing_tells_the_truth() {
    let (entry, dataset) = (describe(), dataset());
    assert_eq!(
        (entry.n_train as usize, entry.n_test as usize),
        (dataset.train.n_rows(), dataset.test.n_rows())
    );
    assert_eq!(entry.n_subjects.map(|n| n as usize), dataset.n_subjects());
    assert_eq!(entry.class_names.len(), dataset.n_classes());
}
