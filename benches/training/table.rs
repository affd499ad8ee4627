//! The one table, printed row by row as it comes about.

use crate::rounds::median;

pub struct Table {
    bars: usize,
    met: usize,
    void: usize,
}

pub struct Row {
    /// Lethe's figure, with its unit.
    pub ours: String,
    /// The figure it is held against.
    pub theirs: String,
    /// One for each round.
    pub ratios: Vec<f64>,
    pub unit: Unit,
    /// What the median should at least be.
    pub bar: Option<f64>,
    /// Why this is no fair comparison after all: its bar is neither met nor missed.
    pub flaws: Vec<&'static str>,
    pub note: String,
}

#[derive(Clone, Copy)]
pub enum Unit {
    Times,
    Percent,
}

impl Unit {
    fn show(self, ratio: f64) -> String {
        match self {
            Self::Times => format!("{ratio:.2}x"),
            Self::Percent => format!("{:.1}%", 100.0 * ratio),
        }
    }
}

impl Table {
    pub fn open() -> Self {
        println!();
        print_line(["", "Lethe", "beside it", "ratio", "range", "bar", "others", ""]);
        Self { bars: 0, met: 0, void: 0 }
    }

    /// `others` is how many cores other processes used meanwhile.
    pub fn add(&mut self, name: &str, row: &Row, others: Option<f64>) {
        let show = |ratio| row.unit.show(ratio);
        let ratio = median(&row.ratios);
        let (low, high) = row
            .ratios
            .iter()
            .fold((f64::MAX, f64::MIN), |(low, high), &ratio| (low.min(ratio), high.max(ratio)));
        let bar =
            row.bar.map_or(String::new(), |bar| format!("{} {}", show(bar), self.judge(row, ratio, bar)));
        let range =
            if row.ratios.len() > 1 { format!("{}–{}", show(low), show(high)) } else { String::new() };
        let others = others.map_or(String::new(), |others| format!("{others:.1}"));
        let flaws: String = row.flaws.iter().map(|flaw| format!(" [{flaw}]")).collect();
        let note = format!("{}{flaws}", row.note);
        print_line([name, &row.ours, &row.theirs, &show(ratio), &range, &bar, &others, &note]);
    }

    fn judge(&mut self, row: &Row, ratio: f64, bar: f64) -> &'static str {
        self.bars += 1;
        if !row.flaws.is_empty() {
            self.void += 1;
            "void"
        } else if ratio >= bar {
            self.met += 1;
            "met"
        } else {
            "MISSED"
        }
    }

    /// A row that could not be measured here.
    pub fn leave_out(&self, name: &str, reason: &str) {
        println!("{name:43} not measured: {reason}");
    }

    pub fn close(&self) {
        println!("\n{} of {} bars met, {} could not be judged", self.met, self.bars, self.void);
        println!("others: cores that other processes used meanwhile");
    }
}

fn print_line([name, ours, theirs, ratio, range, bar, others, note]: [&str; 8]) {
    let figures = format!("{ours:>14} {theirs:>14} {ratio:>8} {range:>15} {bar:>13} {others:>6}");
    println!("{}", format!("{name:43} {figures}  {note}").trim_end());
}
