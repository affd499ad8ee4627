//! What every group of rows is given: the data, the number of rounds, the table to write into.

use crate::data::Images;
use crate::machine::{self, Neighbours};
use crate::rounds::FEWEST;
use crate::table::{Row, Table};

/// Cores others may use beyond those a row leaves over, before it is not a measurement any more.
const TOLERANCE: f64 = 0.15;

pub struct Bench {
    pub images: Images,
    pub rounds: usize,
    pub table: Table,
    /// Rows whose name does not contain it are left out.
    filter: String,
}

impl Bench {
    pub fn new(filter: String) -> Self {
        let rounds = std::env::var("LETHE_BENCH_ROUNDS").map_or(5, |text| {
            text.parse().ok().filter(|&n| n > 0).expect("LETHE_BENCH_ROUNDS is a number above zero")
        });
        let images = Images::find();
        println!("{}", machine::describe());
        println!("images: {}", images.describe());
        println!(
            "medians of {rounds} alternating rounds ({FEWEST} where they are slow), the ratio's range beside it"
        );
        Self { images, rounds, table: Table::open(), filter }
    }

    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }

    /// Measures a row that keeps `cores` cores busy, if it is wanted; a reason why it cannot be takes its place
    /// in the table.
    pub fn row(
        &mut self,
        name: &str,
        cores: usize,
        measure: impl FnOnce(&Images, usize) -> Result<Row, String>,
    ) {
        if !self.wants(name) {
            return;
        }
        let neighbours = Neighbours::watch();
        match measure(&self.images, self.rounds) {
            Ok(mut row) => {
                let others = neighbours.cores();
                let left_over = machine::cores() as f64 - cores as f64;
                if others.is_some_and(|others| others > left_over + TOLERANCE) {
                    row.flaws.push("others were using its cores");
                }
                self.table.add(name, &row, others);
            }
            Err(reason) => self.table.leave_out(name, &reason),
        }
    }
}
