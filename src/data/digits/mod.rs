//! The catalogue entry `digits`: handwritten-looking digits that need no file and no network.
//!
//! Several hundred invented people each have a hand of their own (slant, width, pen, preferred forms,
//! sloppiness) that shows in every digit they write; each digit written differs a little from the last.
//! The picture is drawn from strokes. Everything follows from one constant seed by arithmetic that is
//! the same on every machine, so the table and its digest are part of the program.

mod drawing;
mod glyphs;
mod pen;
mod random;
mod writer;

use super::catalogue::Entry;
use super::{Dataset, FeatureData, InputSpec, Table};
use crate::domain::Source;
use pen::SIDE;
use random::{Purpose, Random};
use std::sync::{Arc, OnceLock};
use writer::Writer;

pub(super) const NAME: &str = "digits";
const VERSION: u32 = 1;
const DESCRIPTION: &str = "Handwritten-looking 28×28 grey digits drawn by the program: 400 invented people \
                           wrote the training rows, 80 others the test rows.";
const INPUT: InputSpec = InputSpec::Image { height: SIDE as u32, width: SIDE as u32 };
const N_TRAIN: u32 = 40_000;
const N_TEST: u32 = 5_000;
const TRAIN_WRITERS: std::ops::Range<u32> = 0..400;
const TEST_WRITERS: std::ops::Range<u32> = 400..480;
/// What the tables hash to, on every machine.
pub(super) const DIGEST: &str = "sha256:20b3ee9e7814b2ceb27b1451abbae9d162b690dc25e5d0bafa0e583ce2327548";

/// Drawn once in the life of the process, when first asked for.
pub(super) fn dataset() -> Arc<Dataset> {
    static DIGITS: OnceLock<Arc<Dataset>> = OnceLock::new();
    Arc::clone(DIGITS.get_or_init(|| Arc::new(generate())))
}

pub(super) fn describe() -> Entry {
    Entry {
        name: NAME.to_owned(),
        version: VERSION,
        description: DESCRIPTION.to_owned(),
        input: INPUT,
        class_names: class_names(),
        n_train: N_TRAIN,
        n_test: N_TEST,
        n_subjects: Some(TRAIN_WRITERS.end - TRAIN_WRITERS.start),
        planted: None,
        n_planted: None,
        digest: DIGEST.to_owned(),
        source: Some(Source::Embedded),
        note: None,
    }
}

fn class_names() -> Vec<String> {
    (0..10).map(|digit| digit.to_string()).collect()
}

fn generate() -> Dataset {
    let mut dataset = Dataset {
        name: NAME.to_owned(),
        version: VERSION,
        source: Source::Embedded,
        digest: String::new(),
        description: DESCRIPTION.to_owned(),
        input: INPUT,
        class_names: class_names(),
        train: table(Purpose::Train, N_TRAIN, TRAIN_WRITERS),
        test: table(Purpose::Test, N_TEST, TEST_WRITERS),
        planted: None,
    };
    dataset.digest = dataset.compute_digest();
    dataset
}

/// `n_rows` digits by `writers`. Who wrote a row and which digit it shows are drawn for each row on its
/// own, so neither people nor classes come in blocks.
fn table(purpose: Purpose, n_rows: u32, writers: std::ops::Range<u32>) -> Table {
    let writers: Vec<(u64, Writer)> = writers.map(|id| (u64::from(id), Writer::new(id))).collect();
    let n = n_rows as usize;
    let mut pixels = vec![0; n * SIDE * SIDE];
    let (mut labels, mut subjects) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for (row, image) in (0..n_rows).zip(pixels.as_chunks_mut().0) {
        let mut random = Random::new(purpose, row);
        let (subject, writer) = &writers[random.pick(writers.iter().map(|(_, writer)| writer.diligence))];
        let digit = random.below(10);
        let strokes = drawing::draw(writer, digit as usize, &mut random);
        pen::ink(&strokes, writer.softness, writer.ink, image);
        labels.push(digit);
        subjects.push(*subject);
    }
    Table { features: FeatureData::U8(pixels), labels, subjects: Some(subjects) }
}

#[cfg(test)]
mod tests;
