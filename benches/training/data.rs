//! The rows that are trained on: images from a catalogue, and tables made up on the spot.

use lethe::data::{Catalogue, Dataset, FeatureData};
use lethe::nn::{Features, Problem, Samples};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// MNIST where it is on this machine, the embedded digits otherwise.
pub struct Images {
    dataset: Arc<Dataset>,
    note: String,
}

impl Images {
    pub fn find() -> Self {
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        let folder = std::env::var_os("LETHE_DATASETS_DIR").map_or(beside, PathBuf::from);
        let has_mnist = folder.join("mnist").is_dir();
        let nowhere = tempfile::tempdir().expect("temporary folders can be made");
        let catalogue = Catalogue::new(has_mnist.then_some(folder), nowhere.path().to_owned());
        let open = |name| catalogue.open_local(name).ok().flatten();
        let (dataset, note) = match open("mnist") {
            Some(mnist) => (mnist, ""),
            None => {
                let digits = open("digits").expect("digits are embedded");
                (digits, " (MNIST is not here; LETHE_DATASETS_DIR names the folder that has it)")
            }
        };
        Self { dataset, note: note.to_owned() }
    }

    pub fn describe(&self) -> String {
        let (name, train, test) = (&self.dataset.name, self.train().n_rows(), self.dataset.test().n_rows());
        format!("{name}, {train} rows to train on and {test} to test on{}", self.note)
    }

    pub fn train(&self) -> Samples<'_> {
        self.dataset.train()
    }

    pub fn test(&self) -> Samples<'_> {
        self.dataset.test()
    }

    /// Tested on a single row: testing is not what is measured.
    pub fn untested(&self) -> Problem<'_> {
        let train = self.train();
        let row = Features::U8(&self.bytes(&self.dataset.train.features)[..train.n_features()]);
        let test = Samples::new(row, &train.labels()[..1], train.n_features(), train.n_classes());
        Problem { train, excluded: &[], test }
    }

    /// The rows as other programs read them: `train.x`, `train.y`, `test.x`, `test.y`, a byte a pixel and a
    /// byte a label.
    pub fn export(&self) -> Result<TempDir, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        for (part, table) in [("train", &self.dataset.train), ("test", &self.dataset.test)] {
            let labels: Vec<u8> = table.labels.iter().map(|&label| label as u8).collect();
            write(folder.path(), &format!("{part}.x"), self.bytes(&table.features))?;
            write(folder.path(), &format!("{part}.y"), &labels)?;
        }
        Ok(folder)
    }

    fn bytes<'a>(&self, features: &'a FeatureData) -> &'a [u8] {
        match features {
            FeatureData::U8(bytes) => bytes,
            FeatureData::F32(_) => unreachable!("{} has bytes for pixels", self.dataset.name),
        }
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), String> {
    fs::write(folder.join(name), bytes).map_err(|error| format!("{name}: {error}"))
}

/// Rows of floats without a single zero: noise around one centre for each class.
pub struct Tabular {
    features: Vec<f32>,
    labels: Vec<u32>,
    n_features: usize,
}

impl Tabular {
    pub const CLASSES: usize = 10;

    pub fn new(n_rows: usize, n_features: usize) -> Self {
        let mut random = Random(1);
        let mut draw = |reach: f32| {
            let value = random.unit() * reach;
            if value == 0.0 { reach } else { value }
        };
        let centres: Vec<f32> = (0..Self::CLASSES * n_features).map(|_| draw(0.1)).collect();
        let mut features = Vec::with_capacity(n_rows * n_features);
        let labels: Vec<u32> = (0..n_rows).map(|row| (row % Self::CLASSES) as u32).collect();
        for &label in &labels {
            let centre = &centres[label as usize * n_features..][..n_features];
            features.extend(centre.iter().map(|centre| {
                let value = centre + draw(0.5);
                if value == 0.0 { 0.5 } else { value }
            }));
        }
        Self { features, labels, n_features }
    }

    pub fn size_bytes(&self) -> usize {
        size_of_val(self.features.as_slice()) + size_of_val(self.labels.as_slice())
    }

    /// Tested on a single row.
    pub fn problem(&self) -> Problem<'_> {
        let samples = |n_rows: usize| {
            let features = Features::F32(&self.features[..n_rows * self.n_features]);
            Samples::new(features, &self.labels[..n_rows], self.n_features, Self::CLASSES)
        };
        Problem { train: samples(self.labels.len()), excluded: &[], test: samples(1) }
    }
}

/// `SplitMix64`: what is drawn only has to look irregular, and be the same every time.
struct Random(u64);

impl Random {
    /// Uniform between −1 and 1.
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}
