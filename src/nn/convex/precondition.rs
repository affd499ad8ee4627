//! What conjugate gradients are preconditioned by: the Hessian as if all classes shared one curvature.
//!
//! The Hessian is `1/n · Σᵢ xᵢxᵢᵀ ⊗ Sᵢ + λI` with `S = diag(p) − ppᵀ`. Every `S` annihilates the vector of ones, so on
//! a shift that all classes share the Hessian is `λI` exactly. On what is left `Sᵢ` is replaced by its mean eigenvalue
//! there, `sᵢ = tr Sᵢ / (C − 1)`, which makes all classes one `d × d` matrix `A = 1/n · Σᵢ sᵢ xᵢxᵢᵀ + λI` with one
//! Cholesky factor. For two classes that is the Hessian itself; for more it is Böhning's bound (Böhning 1992, Ann.
//! Inst. Statist. Math. 44, `Sᵢ ⪯ ½(I − 11ᵀ/C)`) with each row's own curvature instead of the worst one.

use super::cholesky::Cholesky;
use super::objective::{Objective, Point};
use super::parts::triangle_bands;

/// Columns above which only the diagonal of `A` is used: its factor would take too long, and too much memory.
pub(super) const MAX_FACTOR: usize = 2_048;

/// Products of two numbers that `A` may cost; with more rows it is made of evenly spaced ones.
const MAX_WORK: usize = 1_000_000_000;

#[derive(Debug)]
pub(super) struct Preconditioner {
    shared: Shared,
    n_classes: usize,
    weight_decay: f64,
}

#[derive(Debug)]
enum Shared {
    Factor(Cholesky),
    Diagonal(Vec<f64>),
}

impl Preconditioner {
    pub(super) fn new(objective: &Objective, point: &Point) -> Self {
        let stride = stride(objective);
        let weights = curvatures(objective, point, stride);
        let n_columns = objective.rows.n_columns();
        let factor = (n_columns <= MAX_FACTOR)
            .then(|| shared_matrix(objective, &weights, stride))
            .and_then(|matrix| Cholesky::factor(matrix, n_columns, objective.n_threads));
        Self {
            shared: factor
                .map_or_else(|| Shared::Diagonal(diagonal(objective, &weights, stride)), Shared::Factor),
            n_classes: objective.n_classes,
            weight_decay: objective.weight_decay(),
        }
    }

    /// Products of two numbers that making one costs.
    pub(super) fn work(objective: &Objective) -> usize {
        let d = objective.rows.n_columns();
        if d > MAX_FACTOR {
            return objective.rows.n_values();
        }
        work_of_matrix(objective) / stride(objective) + d * d * d / 6
    }

    /// An approximation of `H⁻¹r`, linear, symmetric and positive definite in `r`.
    pub(super) fn apply(&self, r: &[f64]) -> Vec<f64> {
        let c = self.n_classes;
        let d = r.len() / c;
        let means: Vec<f64> = r.chunks_exact(c).map(|line| line.iter().sum::<f64>() / c as f64).collect();
        // one class after another
        let mut centred = vec![0.0; r.len()];
        for (class, side) in centred.chunks_exact_mut(d).enumerate() {
            for (column, value) in side.iter_mut().enumerate() {
                *value = r[column * c + class] - means[column];
            }
        }
        match &self.shared {
            Shared::Factor(factor) => factor.solve(&mut centred),
            Shared::Diagonal(diagonal) => {
                for side in centred.chunks_exact_mut(d) {
                    side.iter_mut().zip(diagonal).for_each(|(value, entry)| *value /= entry);
                }
            }
        }
        let mut z = vec![0.0; r.len()];
        for (column, line) in z.chunks_exact_mut(c).enumerate() {
            for (class, value) in line.iter_mut().enumerate() {
                *value = centred[class * d + column] + means[column] / self.weight_decay;
            }
        }
        z
    }
}

/// About how many products of two numbers all rows' outer products take.
fn work_of_matrix(objective: &Objective) -> usize {
    let n = objective.n_rows();
    let mean = objective.rows.n_values().div_ceil(n);
    (n * mean * mean).div_ceil(2)
}

/// Every how many rows one is used: fewer rows than a few for each column would say too little.
fn stride(objective: &Objective) -> usize {
    let enough = objective.n_rows() / (4 * objective.rows.n_columns());
    work_of_matrix(objective).div_ceil(MAX_WORK).min(enough).max(1)
}

/// `sᵢ/n` of every row that is used, scaled to stand for those that are not.
fn curvatures(objective: &Objective, point: &Point, stride: usize) -> Vec<f64> {
    let (n, c) = (objective.n_rows(), objective.n_classes);
    let n_used = n.div_ceil(stride);
    let rows = point.probabilities.chunks_exact(c).step_by(stride);
    // one class has no curvature at all, nor has it anything to be centred
    let others = c.max(2) - 1;
    rows.map(|p| (1.0 - p.iter().map(|p| p * p).sum::<f64>()).max(0.0) / (others * n_used) as f64).collect()
}

/// The upper triangle of `A`, row-major.
fn shared_matrix(objective: &Objective, weights: &[f64], stride: usize) -> Vec<f64> {
    let n = objective.rows.n_columns();
    let mut matrix = vec![0.0; n * n];
    let n_threads = objective.n_threads.get();
    // each entry is one thread's sum over the rows in order, so the bands decide no bit
    std::thread::scope(|scope| {
        let mut rest = &mut matrix[..];
        for (number, band) in (1..).zip(triangle_bands(0..n, n_threads)) {
            let (lines, tail) = std::mem::take(&mut rest).split_at_mut(band.len() * n);
            rest = tail;
            let mut work = move || {
                for (row, &weight) in (0..).step_by(stride).zip(weights) {
                    let row = objective.rows.row(row);
                    let first = row.columns.partition_point(|&column| (column as usize) < band.start);
                    for (at, &column) in row.columns.iter().enumerate().skip(first) {
                        let column = column as usize;
                        if column >= band.end {
                            break;
                        }
                        let scaled = weight * f64::from(row.values[at]);
                        let line = &mut lines[(column - band.start) * n..][..n];
                        for (&other, &value) in row.columns[at..].iter().zip(&row.values[at..]) {
                            line[other as usize] += scaled * f64::from(value);
                        }
                    }
                }
            };
            if number == n_threads {
                work();
            } else {
                scope.spawn(work);
            }
        }
    });
    matrix.iter_mut().step_by(n + 1).for_each(|entry| *entry += objective.weight_decay());
    matrix
}

/// The diagonal of `A`.
fn diagonal(objective: &Objective, weights: &[f64], stride: usize) -> Vec<f64> {
    let mut diagonal = vec![objective.weight_decay(); objective.rows.n_columns()];
    for (row, &weight) in (0..).step_by(stride).zip(weights) {
        let row = objective.rows.row(row);
        for (&column, &value) in row.columns.iter().zip(row.values) {
            diagonal[column as usize] += weight * f64::from(value) * f64::from(value);
        }
    }
    diagonal
}
