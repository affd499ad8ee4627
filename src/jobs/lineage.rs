//! Which rows a version was trained on, from the work orders of its line.

use crate::data::{Dataset, ForgetError, resolve_forget_set};
use crate::domain::{DatasetRef, ForgetSet, ModelRef, Origin, Version, Work};
use crate::nn::{Recipe, Split};
use crate::store::{Store, StoreError};
use crate::unlearn::{Claim, Method};
use uuid::Uuid;

/// Versions of one line that are followed: more forgettings in a row than anyone will ask of one model.
const MAX_DEPTH: usize = 10_000;

/// How a version came to be: trained by a recipe, then made to forget, step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineage {
    /// How the first of the line was trained: retraining repeats it.
    pub recipe: Recipe,
    pub dataset: DatasetRef,
    /// Oldest first.
    pub steps: Vec<Step>,
}

/// One forgetting in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub version: Uuid,
    pub forget: ForgetSet,
    /// Whether it did what it was asked to. If not, its rows may be asked for again.
    pub achieved: bool,
    /// Whether the version was trained anew, without everything anyone had wanted forgotten till then.
    pub exact: bool,
}

/// The training rows of a version, all sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Rows that may be asked to be forgotten: trained on, and not forgotten since.
    pub trained: Vec<u32>,
    /// Rows forgotten.
    pub forgotten: Vec<u32>,
    /// Rows of `trained` someone wanted forgotten, in vain so far. Nothing is ever trained on them again.
    pub owed: Vec<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum LineageError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("version {version} was imported, so nobody here knows which rows it was trained on")]
    Imported { version: Uuid },
    #[error("version {version} has no {what}, so nobody knows which rows it was trained on")]
    Broken { version: Uuid, what: &'static str },
    #[error("what version {version} forgot cannot be found in the dataset any more: {cause}")]
    Forgotten { version: Uuid, cause: ForgetError },
}

impl Lineage {
    /// Follows `version` back to the run that trained the first of its line.
    pub async fn of(store: &Store, version: &Version) -> Result<Self, LineageError> {
        let mut steps = Vec::new();
        let mut current = version.clone();
        while steps.len() < MAX_DEPTH {
            let made = match current.origin {
                Origin::Run(made) => made,
                Origin::Import => return Err(LineageError::Imported { version: current.id }),
            };
            let parent = match made.work {
                Work::Train(order) => {
                    steps.reverse();
                    return Ok(Self { recipe: order.recipe, dataset: made.dataset, steps });
                }
                Work::Unlearn(order) => {
                    steps.push(Step {
                        version: current.id,
                        forget: order.forget,
                        achieved: achieved(&current.metrics),
                        exact: is_exact(&current.metrics, &order.method),
                    });
                    current.parent.ok_or(LineageError::Broken { version: current.id, what: "parent" })?
                }
                // they publish none
                Work::Diagnose(_) | Work::Audit(_) => {
                    return Err(LineageError::Broken { version: current.id, what: "training" });
                }
            };
            // the ancestors' weights may be gone: their work orders are enough
            current = store.version(&ModelRef::Id(parent), true).await?;
        }
        Err(LineageError::Broken { version: version.id, what: "beginning" })
    }

    /// The line up to the version the last forgetting was asked of.
    pub fn before_last(&self) -> Self {
        let n_steps = self.steps.len().saturating_sub(1);
        Self { steps: self.steps[..n_steps].to_vec(), ..self.clone() }
    }

    /// The rows the first of the line was trained on. Sorted.
    pub fn trained_at_first(&self, dataset: &Dataset) -> Vec<u32> {
        Split::new(&self.recipe, dataset.train.n_rows(), &[]).train
    }

    /// Whether the version was trained without everything that had been forgotten till then: an exact step makes up for
    /// every approximate one before it.
    pub fn is_exact(&self) -> bool {
        self.steps.last().is_none_or(|step| step.exact)
    }

    /// Resolves every step against the dataset again, in order, each against what was left then.
    pub fn rows(&self, dataset: &Dataset) -> Result<Rows, LineageError> {
        let trained = self.trained_at_first(dataset);
        let mut rows = Rows { trained, forgotten: vec![], owed: vec![] };
        for step in &self.steps {
            let forget = resolve_forget_set(&step.forget, dataset, &rows.trained)
                .map_err(|cause| LineageError::Forgotten { version: step.version, cause })?;
            rows.owed = union(&rows.owed, &forget);
            let paid = match (step.achieved, step.exact) {
                (false, _) => continue,
                (true, false) => forget,
                (true, true) => rows.owed.clone(),
            };
            rows.owed = difference(&rows.owed, &paid);
            rows.forgotten = union(&rows.forgotten, &paid);
            rows.trained = difference(&rows.trained, &paid);
        }
        Ok(rows)
    }
}

impl Rows {
    /// What must not be trained on while `forget` is being forgotten, besides `forget` itself.
    pub fn excluded_beside(&self, forget: &[u32]) -> Vec<u32> {
        difference(&union(&self.forgotten, &self.owed), forget)
    }
}

/// Key of a version's metrics that says whether its run forgot what it was asked to.
pub(super) const ACHIEVED: &str = "forgotten";

/// What was done says the version; before `auto` could choose, the order did.
fn is_exact(metrics: &serde_json::Value, ordered: &Method) -> bool {
    metrics["claim"].as_str().map_or(ordered.claim() == Claim::Exact, |claim| claim == "exact")
}

fn achieved(metrics: &serde_json::Value) -> bool {
    metrics[ACHIEVED].as_bool().unwrap_or(false)
}

fn union(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut all = [a, b].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// `a` without `b`, both sorted.
fn difference(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut b = b.iter().copied().peekable();
    let mut is_in_b = |row: u32| {
        while b.next_if(|&other| other < row).is_some() {}
        b.peek() == Some(&row)
    };
    a.iter().copied().filter(|&row| !is_in_b(row)).collect()
}
