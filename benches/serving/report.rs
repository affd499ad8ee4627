//! What is printed, and what it is held against.

use crate::rounds::median;
use std::fmt;

/// Cores others may use without making a figure void.
pub const MOST_OTHERS: f64 = 0.1;

/// A figure of several rounds: the middle one, the lowest and the highest.
pub struct Spread {
    pub median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.into_iter().collect();
        let fold = |choose: fn(f64, f64) -> f64, start| values.iter().copied().fold(start, choose);
        Self { median: median(&values), low: fold(f64::min, f64::MAX), high: fold(f64::max, f64::MIN) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { median, low, high } = self;
        let range = if low < high { format!(" ({low:.digits$}–{high:.digits$})") } else { String::new() };
        let text = format!("{median:.digits$}{range}");
        // not `pad`, which would take the precision for a length
        write!(f, "{text:>width$}", width = f.width().unwrap_or(0))
    }
}

pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Default)]
pub struct Bars {
    lines: Vec<String>,
    n_missed: usize,
    n_void: usize,
}

impl Bars {
    /// Holds the median against the bar. `others` is how many cores others used meanwhile, the most of it.
    pub fn judge(&mut self, name: &str, figure: &Spread, unit: &str, bar: &Bar, others: f64) {
        let (holds, bar) = match *bar {
            Bar::AtMost(most) => (figure.median <= most, format!("≤ {most}{unit}")),
            Bar::AtLeast(least) => (figure.median >= least, format!("≥ {least}{unit}")),
        };
        let verdict = if others > MOST_OTHERS {
            self.n_void += 1;
            "void"
        } else if holds {
            "met"
        } else {
            self.n_missed += 1;
            "MISSED"
        };
        self.lines.push(format!("{name:52} {figure:>24.2}{unit:4} {bar:>10}  {verdict:7} {others:.2}"));
    }

    /// Something that is not here to be held against.
    pub fn leave_out(&mut self, name: &str, reason: &str) {
        self.lines.push(format!("{name:52} not measured: {reason}"));
    }

    /// Prints all of them; whether none is missed and all of them could be judged.
    pub fn close(self) -> bool {
        println!("\n{:52} {:>28} {:>10}  {:7} others", "bars", "median (range)", "", "");
        self.lines.iter().for_each(|line| println!("{line}"));
        println!("others: cores that other processes used meanwhile; above {MOST_OTHERS} a figure is void");
        match (self.n_missed, self.n_void) {
            (0, 0) => println!("every bar that was measured is met"),
            (missed, void) => println!("{missed} bars are missed, {void} could not be judged"),
        }
        self.n_missed == 0 && self.n_void == 0
    }
}
