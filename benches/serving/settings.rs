//! How long and how often, from the environment.

use std::time::Duration;

pub struct Settings {
    /// Of one measurement of one contestant.
    pub time: Duration,
    pub rounds: usize,
    /// Rows whose name does not contain it are left out.
    filter: String,
}

impl Settings {
    pub fn new(filter: String) -> Self {
        Self {
            time: Duration::from_secs(number("LETHE_BENCH_SECONDS", 2)),
            rounds: number("LETHE_BENCH_ROUNDS", 5) as usize,
            filter,
        }
    }

    pub fn wants(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse().ok().filter(|&n| n > 0).unwrap_or_else(|| panic!("{name} is a whole number above zero"))
    })
}
