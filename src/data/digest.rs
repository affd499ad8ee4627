//! The canonical encoding of a dataset, hashed.

use super::{FeatureData, InputSpec, Table};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 18] = b"lethe dataset v1\n\0";

/// See [`super::Dataset::compute_digest`] for the encoding.
pub(super) fn dataset(input: &InputSpec, n_classes: usize, tables: &[&Table]) -> String {
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    let (kind, first, second) = match *input {
        InputSpec::Image { height, width } => (0, height, width),
        InputSpec::Vector { n_features, .. } => (1, n_features, 0),
    };
    hash.update([kind]);
    hash.update(first.to_le_bytes());
    hash.update(second.to_le_bytes());
    let n_classes = u32::try_from(n_classes).expect("labels are u32, so classes are too");
    hash.update(n_classes.to_le_bytes());
    for table in tables {
        hash.update((table.n_rows() as u64).to_le_bytes());
        match &table.features {
            FeatureData::U8(values) => {
                hash.update([0]);
                hash.update(values);
            }
            FeatureData::F32(values) => {
                hash.update([1]);
                update_words(&mut hash, values, |value| value.to_le_bytes());
            }
        }
        update_words(&mut hash, &table.labels, |label| label.to_le_bytes());
        match &table.subjects {
            None => hash.update([0]),
            Some(subjects) => {
                hash.update([1]);
                update_words(&mut hash, subjects, |subject| subject.to_le_bytes());
            }
        }
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// Feeds words in little-endian order, in chunks: a call a word would cost more than the hashing.
fn update_words<T: Copy, const N: usize>(hash: &mut Sha256, words: &[T], bytes: impl Fn(T) -> [u8; N]) {
    let mut buffer = Vec::with_capacity(1024 * N);
    for chunk in words.chunks(1024) {
        buffer.clear();
        buffer.extend(chunk.iter().flat_map(|&word| bytes(word)));
        hash.update(&buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(subjects: Option<Vec<u64>>) -> Table {
        Table { features: FeatureData::U8(vec![1, 2, 3, 4]), labels: vec![0, 1], subjects }
    }

    #[test]
    fn the_digest_is_the_documented_encoding() {
        let mut bytes = b"lethe dataset v1\n\0".to_vec();
        bytes.extend([0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]);
        bytes.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 1, 0, 0, 0]);
        bytes.extend([1, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
        let expected = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let input = InputSpec::Image { height: 1, width: 2 };
        assert_eq!(dataset(&input, 2, &[&table(Some(vec![7, 8]))]), expected);
    }

    #[test]
    fn every_part_of_a_row_changes_the_digest() {
        let input = InputSpec::Image { height: 1, width: 2 };
        let whole = dataset(&input, 2, &[&table(Some(vec![7, 8]))]);
        let mut pixel = table(Some(vec![7, 8]));
        pixel.features = FeatureData::U8(vec![1, 2, 3, 5]);
        let mut label = table(Some(vec![7, 8]));
        label.labels[1] = 0;
        let others = [
            dataset(&input, 2, &[&pixel]),
            dataset(&input, 2, &[&label]),
            dataset(&input, 2, &[&table(Some(vec![7, 9]))]),
            dataset(&input, 2, &[&table(None)]),
            dataset(&input, 3, &[&table(Some(vec![7, 8]))]),
            dataset(&InputSpec::Image { height: 2, width: 1 }, 2, &[&table(Some(vec![7, 8]))]),
        ];
        assert!(others.iter().all(|other| *other != whole));
    }
}
