//! The seam between the engine, which knows how runs live and end, and the work itself.

use super::journal::Journal;
use super::known::KnownShelf;
use super::{audit, diagnose, train, unlearn};
use crate::artifacts::{ArtifactError, Artifacts, Model};
use crate::data::Catalogue;
use crate::domain::{Run, RunError, Work};
use crate::inference::Inference;
use crate::store::{Publish, StoreError};
use serde_json::Value;

/// Does a run's work on the thread that calls it.
pub(super) trait Executor: Send + Sync + std::fmt::Debug {
    /// Tells `journal` of everything that happens, and stops at once when it says so. The same run does the
    /// same again after an interruption: the journal leaves out what it has already recorded.
    fn execute(&self, run: &Run, journal: &mut Journal<'_>) -> Result<Outcome, Failure>;
}

/// What a finished run leaves behind.
#[derive(Debug)]
pub(super) enum Outcome {
    Version(Product),
    /// A report, and nothing changed.
    Report(Value),
}

/// What a finished run wants published. Its weights are on disk.
pub(super) type Product = Publish;

/// Why there is no product.
#[derive(Debug)]
pub(super) enum Failure {
    /// The journal said stop, and knows why.
    Stopped,
    Failed(RunError),
    Store(StoreError),
}

impl Failure {
    pub(super) fn failed(code: &str, message: &dyn std::fmt::Display) -> Self {
        Self::Failed(RunError { code: code.into(), message: message.to_string() })
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ArtifactError> for Failure {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Missing { .. } | ArtifactError::Damaged { .. } => {
                Self::failed("weights_damaged", &error)
            }
            ArtifactError::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                Self::Store(StoreError::Full)
            }
            ArtifactError::Io(error) => {
                Self::failed("storage_failed", &format_args!("cannot use the weight files: {error}"))
            }
        }
    }
}

/// The real work: training, unlearning, diagnoses and audits.
#[derive(Clone, Debug)]
pub(super) struct Workshop {
    pub(super) artifacts: Artifacts,
    pub(super) catalogue: Catalogue,
    pub(super) inference: Inference,
    pub(super) known: KnownShelf,
}

impl Executor for Workshop {
    fn execute(&self, run: &Run, journal: &mut Journal<'_>) -> Result<Outcome, Failure> {
        match &run.work {
            Work::Train(order) => train::execute(self, run, order, journal).map(Outcome::Version),
            Work::Unlearn(order) => unlearn::execute(self, run, order, journal).map(Outcome::Version),
            Work::Diagnose(order) => diagnose::execute(self, run, order, journal).map(Outcome::Report),
            Work::Audit(order) => audit::execute(self, run, order, journal).map(Outcome::Report),
        }
    }
}

impl Workshop {
    /// Writes the weights under a new id, and has them ready to be asked. What is not published in the end is garbage.
    pub(super) fn keep(&self, model: &Model) -> Result<Kept, ArtifactError> {
        let version = uuid::Uuid::now_v7();
        let (digest, size_bytes) = self.artifacts.models.put(version, model)?;
        self.inference.warm(version, size_bytes, model);
        Ok(Kept { version, digest, size_bytes })
    }
}

/// Weights on disk that no row speaks of yet.
pub(super) struct Kept {
    pub(super) version: uuid::Uuid,
    pub(super) digest: String,
    pub(super) size_bytes: u64,
}
