//! Measuring two sides so that a busy neighbour slows down both.

use std::time::{Duration, Instant};

/// On a busy machine a row may take minutes; after this long it makes do with the rounds it has.
const PATIENCE: Duration = Duration::from_secs(60);
/// But with no fewer than these.
pub const FEWEST: usize = 3;

/// Every round's figure of either side.
pub struct Sides {
    pub ours: Vec<f64>,
    pub theirs: Vec<f64>,
}

/// Runs both sides once a round, the order turned round each time.
pub fn alternate(
    n_rounds: usize,
    mut ours: impl FnMut() -> Result<f64, String>,
    mut theirs: impl FnMut() -> Result<f64, String>,
) -> Result<Sides, String> {
    let mut sides = Sides { ours: Vec::new(), theirs: Vec::new() };
    let start = Instant::now();
    for round in 0..n_rounds {
        if round >= FEWEST && start.elapsed() > PATIENCE {
            break;
        }
        if round % 2 == 0 {
            sides.theirs.push(theirs()?);
            sides.ours.push(ours()?);
        } else {
            sides.ours.push(ours()?);
            sides.theirs.push(theirs()?);
        }
    }
    Ok(sides)
}

impl Sides {
    /// How many times as long theirs took, round by round: for seconds.
    pub fn speedups(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| theirs / ours).collect()
    }

    /// Ours as a share of theirs, round by round: for figures where more is better.
    pub fn shares(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect()
    }
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    f64::midpoint(sorted[low], sorted[high])
}
