//! Datasets with rows planted into them: forget sets on which a failure to forget can be seen.
//!
//! A network that never saw an ordinary row of MNIST answers as one that did, so forgetting it proves nothing
//! either way. Rows no other row explains (a wrong label, noise with a label) are known only to who memorised
//! them. Each entry is made from another dataset when it is opened, the same on every machine; the test table
//! and every other row stay as they are.
//!
//! Rows that are there to be forgotten are planted among those the default `standard` recipe trains on; noise in the
//! labels of a file spares none. Both are chosen and changed by keyed hash.

mod canaries;
mod mislabelled;
mod random_labels;

use super::catalogue::Entry;
use super::mnist::{self, Writers};
use super::{Dataset, Split, Table, digits};
use crate::nn::hash::{Purpose, keyed_hash};
use crate::nn::{self, Recipe, Standard};

/// What was planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlantedKind {
    /// Real rows with a wrong label: one in a hundred.
    Mislabelled,
    /// Random noise with random labels, in place of 200 rows.
    Canaries,
    /// Labels drawn uniformly from all classes, for four rows in five of the whole file, held-out ones too.
    RandomLabels,
}

/// Which training rows were planted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    pub kind: PlantedKind,
    /// Sorted.
    pub rows: Vec<u32>,
    /// What each of `rows` was labelled before; `None` where nothing would be right, as for noise.
    pub truth: Option<Vec<u32>>,
}

/// A catalogue entry made from another one.
#[derive(Debug)]
pub(super) struct Derived {
    pub(super) name: &'static str,
    pub(super) base: &'static str,
    kind: PlantedKind,
    /// Digests of the base, each with that of what is made from it.
    digests: &'static [(&'static str, &'static str)],
}

pub(super) static DERIVED: [Derived; 6] = [
    Derived {
        name: "digits-mislabelled",
        base: digits::NAME,
        kind: PlantedKind::Mislabelled,
        digests: &[(
            digits::DIGEST,
            "sha256:28da79d6ce9e0f82dd033d5afe15b217c0e2505c592ed7b7d231e18e4c7e1928",
        )],
    },
    Derived {
        name: "digits-canaries",
        base: digits::NAME,
        kind: PlantedKind::Canaries,
        digests: &[(
            digits::DIGEST,
            "sha256:09c87ae10aa807fa36df9911216c2d35420b5a77341a37997762b3239854de13",
        )],
    },
    Derived {
        name: "digits-noisy",
        base: digits::NAME,
        kind: PlantedKind::RandomLabels,
        digests: &[(
            digits::DIGEST,
            "sha256:bd6c8c11c479e585a552e267ef73e7c9ad4eaecb36889b69982bd7647b8f02ef",
        )],
    },
    Derived {
        name: "mnist-mislabelled",
        base: mnist::NAME,
        kind: PlantedKind::Mislabelled,
        digests: &[
            (
                Writers::Known.digest(),
                "sha256:4e5351d6b612f15eacf0491fb062b2d7f75128b6542a626a8be77cf9654ee695",
            ),
            (
                Writers::Unknown.digest(),
                "sha256:d86c504ab1828fd1fb625570c09938a2ac7e7f473a83d37bbe84347f50831e4e",
            ),
        ],
    },
    Derived {
        name: "mnist-canaries",
        base: mnist::NAME,
        kind: PlantedKind::Canaries,
        digests: &[
            (
                Writers::Known.digest(),
                "sha256:41794c6a6312ce1a5c606aa640e0f0567d93b1ff0c085b8b6bd502be1e57d1b3",
            ),
            (
                Writers::Unknown.digest(),
                "sha256:bf1d84bd59a89c7cec14fc0a54d960a33ba98f5bd6e9aca26162380332dcf132",
            ),
        ],
    },
    Derived {
        name: "mnist-noisy",
        base: mnist::NAME,
        kind: PlantedKind::RandomLabels,
        digests: &[
            (
                Writers::Known.digest(),
                "sha256:f339919b4dfb437b6d677e1a13380bcb48bd191bc64574d9118b0b02d16cbfbc",
            ),
            (
                Writers::Unknown.digest(),
                "sha256:71f7f03a79e2ec1c22f7ca48a10c1185d9285e2cff68db3bbd4c9c6c1bb6db65",
            ),
        ],
    },
];

/// The derived entry of that name.
pub(super) fn named(name: &str) -> Option<&'static Derived> {
    DERIVED.iter().find(|derived| derived.name == name)
}

impl Derived {
    /// What the digest of the base was, if `digest` is one of this entry's.
    pub(super) fn base_digest(&self, digest: &str) -> Option<&'static str> {
        self.digests.iter().find(|(_, own)| *own == digest).map(|(base, _)| *base)
    }

    /// The digest of what is made from the base with `base_digest`.
    pub(super) fn digest(&self, base_digest: &str) -> Option<&'static str> {
        self.digests.iter().find(|(base, _)| *base == base_digest).map(|(_, own)| *own)
    }

    pub(super) fn describe(&self, base: Entry) -> Entry {
        Entry {
            name: self.name.to_owned(),
            description: self.description(&base.description),
            digest: self.digest(&base.digest).unwrap_or_default().to_owned(),
            planted: Some(self.kind),
            n_planted: Some(self.kind.n_rows(base.n_train)),
            ..base
        }
    }

    pub(super) fn derive(&self, base: &Dataset) -> Dataset {
        let mut train = base.train.clone();
        let n_rows = u32::try_from(train.n_rows()).expect("row ids fit u32");
        let rows = self.choose(n_rows);
        let draws = Draws { seed: self.kind.seed(), purpose: Purpose::Planted };
        match self.kind {
            PlantedKind::Mislabelled => mislabelled::plant(&mut train, &rows, base.n_classes(), draws),
            PlantedKind::Canaries => {
                canaries::plant(&mut train, &rows, base.input.n_features(), base.n_classes(), draws);
            }
            PlantedKind::RandomLabels => random_labels::plant(&mut train, &rows, base.n_classes(), draws),
        }
        let truth =
            self.kind.has_truth().then(|| rows.iter().map(|&row| base.train.labels[row as usize]).collect());
        let mut dataset = Dataset {
            name: self.name.to_owned(),
            version: base.version,
            source: base.source,
            digest: String::new(),
            description: self.description(&base.description),
            input: base.input.clone(),
            class_names: base.class_names.clone(),
            train,
            test: base.test.clone(),
            planted: Some(Planted { kind: self.kind, rows, truth }),
        };
        // what follows from a known base is known
        let known = self.digest(&base.digest).map(str::to_owned);
        dataset.digest = known.unwrap_or_else(|| dataset.compute_digest());
        dataset
    }

    /// The rows to plant: those of the smallest hashes among the rows a default recipe trains on, or among all where
    /// labels are noisy. Sorted.
    fn choose(&self, n_rows: u32) -> Vec<u32> {
        let draws = Draws { seed: self.kind.seed(), purpose: Purpose::Planted };
        let mut rows = match self.kind {
            PlantedKind::Mislabelled | PlantedKind::Canaries => {
                nn::Split::new(&Recipe::Standard(Standard::new(0)), n_rows as usize, &[]).train
            }
            PlantedKind::RandomLabels => (0..n_rows).collect(),
        };
        rows.sort_unstable_by_key(|&row| (draws.hash(Draw::Choice, row), row));
        rows.truncate(self.kind.n_rows(n_rows) as usize);
        rows.sort_unstable();
        rows
    }

    fn description(&self, base: &str) -> String {
        let planted = match self.kind {
            PlantedKind::Mislabelled => mislabelled::DESCRIPTION,
            PlantedKind::Canaries => canaries::DESCRIPTION,
            PlantedKind::RandomLabels => random_labels::DESCRIPTION,
        };
        format!("{base} {planted}")
    }
}

impl PlantedKind {
    const fn n_rows(self, n_train: u32) -> u32 {
        match self {
            Self::Mislabelled => n_train / 100,
            Self::Canaries => canaries::N_ROWS,
            Self::RandomLabels => random_labels::n_rows(n_train),
        }
    }

    /// Whether a planted row had a right label before.
    const fn has_truth(self) -> bool {
        match self {
            Self::Mislabelled | Self::RandomLabels => true,
            Self::Canaries => false,
        }
    }

    /// Each kind draws numbers of its own.
    const fn seed(self) -> u64 {
        match self {
            Self::Mislabelled => 0,
            Self::Canaries => 1,
            Self::RandomLabels => 2,
        }
    }
}

impl Dataset {
    /// What the features of a training row show: its label, or that before another was planted; `None` for noise.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub fn true_label(&self, row: u32) -> Option<u32> {
        let label = self.train.labels[row as usize];
        let Some(planted) = &self.planted else { return Some(label) };
        match planted.rows.binary_search(&row) {
            Ok(place) => planted.truth.as_ref().map(|truth| truth[place]),
            Err(_) => Some(label),
        }
    }

    /// Whether some training rows are known to have a wrong label.
    pub fn knows_wrong_labels(&self) -> bool {
        self.planted.as_ref().is_some_and(|planted| planted.truth.is_some())
    }

    /// Rows made the way the planted ones were, but never planted: what such a row looks like to a network that
    /// was not trained on it. They are the non-members of a membership attack on planted rows.
    ///
    /// One for each of `rows` of the table `from`, which must be rows no network is trained on. Mislabelled rows are
    /// those rows with another, wrong label, canaries fresh noise; planted ones among them are passed over. Rows with
    /// random labels are those rows with a label drawn afresh, whatever was planted there: who draws does not look
    /// at the label before. The same rows give the same lookalikes. `None` if nothing was planted here.
    ///
    /// # Panics
    ///
    /// If one of `rows` is past the end of the table.
    pub fn lookalikes(&self, from: Split, rows: &[u32]) -> Option<Table> {
        let planted = self.planted.as_ref()?;
        let (table, is_passed_over): (_, &dyn Fn(&u32) -> bool) = match from {
            Split::Train if planted.kind != PlantedKind::RandomLabels => {
                (&self.train, &|row| planted.rows.binary_search(row).is_ok())
            }
            Split::Train => (&self.train, &|_| false),
            Split::Test => (&self.test, &|_| false),
        };
        let rows: Vec<u32> = rows.iter().copied().filter(|row| !is_passed_over(row)).collect();
        let draws = Draws { seed: planted.kind.seed(), purpose: Purpose::Lookalike };
        let (width, n_classes) = (self.input.n_features(), self.n_classes());
        Some(match planted.kind {
            PlantedKind::Mislabelled => mislabelled::lookalikes(table, &rows, width, n_classes, draws),
            PlantedKind::Canaries => canaries::lookalikes(table, &rows, width, n_classes, draws),
            PlantedKind::RandomLabels => random_labels::lookalikes(table, &rows, width, n_classes, draws),
        })
    }
}

/// Random numbers about rows, each a property of the row alone.
#[derive(Clone, Copy)]
struct Draws {
    seed: u64,
    purpose: Purpose,
}

/// What a number decides.
#[derive(Clone, Copy)]
enum Draw {
    /// Whether the row is planted.
    Choice,
    Label,
    /// One pixel, by its position.
    Pixel(u32),
}

impl Draws {
    fn hash(self, draw: Draw, row: u32) -> u64 {
        let number = match draw {
            Draw::Choice => 0,
            Draw::Label => 1,
            Draw::Pixel(pixel) => 2 + pixel,
        };
        keyed_hash(self.seed, self.purpose, number, row)
    }

    /// Uniform among 0 … `n` − 1, to within `n`/2⁶⁴.
    fn below(self, n: u32, draw: Draw, row: u32) -> u32 {
        ((u128::from(self.hash(draw, row)) * u128::from(n)) >> 64) as u32
    }

    /// Any class, all as likely.
    fn label(self, n_classes: usize, row: u32) -> u32 {
        let n_classes = u32::try_from(n_classes).expect("labels are u32, so classes are too");
        self.below(n_classes, Draw::Label, row)
    }
}

#[cfg(test)]
mod tests;
