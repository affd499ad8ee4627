//! Settings: a flag, an environment variable and a default each. Read once, in `main`.

use crate::store::Retention;
use crate::webhooks::Reach;
use clap::builder::BoolishValueParser;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Everything a server can be told from outside.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct Config {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, env = "LETHE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR", global = true)]
    pub listen: String,

    /// Folder of the database, the models and the downloaded data.
    #[arg(long, env = "LETHE_DATA_DIR", default_value = "./lethe-data", value_name = "DIR", global = true)]
    pub data_dir: PathBuf,

    /// Folder searched first for data sets, such as `mnist/`.
    #[arg(long, env = "LETHE_DATASETS_DIR", value_name = "DIR", global = true)]
    pub datasets_dir: Option<PathBuf>,

    /// Threads that train, and runs trained at the same time, which share them; as many as the machine has cores, less one, by default.
    #[arg(long, env = "LETHE_TRAIN_THREADS", value_name = "N", global = true,
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub train_threads: Option<u16>,

    /// Most memory the runs at work may need together, as `512MiB` or `2GiB`; a request predicted to need more alone is refused.
    #[arg(long, env = "LETHE_MEMORY_LIMIT", default_value = "2GiB", value_name = "BYTES", global = true)]
    pub memory_limit: ByteSize,

    /// Event streams open at the same time; more are told to come back later. Each may need an open file and 30 KiB.
    #[arg(long, env = "LETHE_MAX_STREAMS", default_value_t = 6_000, value_name = "N", global = true,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub max_streams: u16,

    /// Events kept in the log of all runs. The log of a run that ended before the oldest of them is cut down to its last
    /// event, with its history and chart; runs, reports and versions stay.
    #[arg(long, env = "LETHE_KEEP_EVENTS", default_value_t = 1_000_000, value_name = "N", global = true)]
    pub keep_events: u64,

    /// The same by age: days for which events are kept; without end if it is not given.
    #[arg(long, env = "LETHE_KEEP_EVENTS_DAYS", value_name = "DAYS", global = true)]
    pub keep_events_days: Option<u16>,

    /// Lets webhooks go to private addresses (this machine, its network) and over plain HTTP.
    #[arg(long, env = "LETHE_WEBHOOK_PRIVATE", global = true, value_parser = BoolishValueParser::new())]
    pub webhook_private: bool,

    /// What is logged on standard error, in `tracing` filter syntax.
    #[arg(long, env = "LETHE_LOG", default_value = "info", value_name = "FILTER", global = true)]
    pub log: String,
}

impl Config {
    /// How much of the log of all runs is kept.
    pub fn retention(&self) -> Retention {
        Retention { events: self.keep_events, days: self.keep_events_days.map(u32::from) }
    }

    /// Where webhooks may go.
    pub fn reach(&self) -> Reach {
        if self.webhook_private { Reach::Anywhere } else { Reach::Public }
    }

    /// Threads that train, at least one.
    pub fn train_threads(&self) -> usize {
        self.train_threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, |n| n.get().saturating_sub(1).max(1)),
            usize::from,
        )
    }
}

/// A number of bytes, written with an optional unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            "tib" | "t" => 1 << 40,
            _ => return Err(format!("unknown unit `{unit}`; use B, KB, MB, GB, KiB, MiB, GiB or TiB")),
        };
        let number: u64 =
            number.parse().map_err(|_| "must start with a whole number, as in `2GiB`".to_owned())?;
        number.checked_mul(factor).filter(|&n| n > 0).map(Self).ok_or_else(|| {
            format!("`{text}` is not a usable number of bytes; it must lie between 1 B and 2^64 B")
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&human_bytes(u128::from(self.0)))
    }
}

/// `1536` as `1.5 KiB`.
pub fn human_bytes(bytes: u128) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [("1", 1), ("512MiB", 512 << 20), ("2 GiB", 2 << 30), ("3kb", 3_000)] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn sizes_that_mean_nothing_are_refused() {
        for text in ["", "0", "GiB", "1.5GiB", "-1", "2 bananas", "99999999999TiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_for_people() {
        assert_eq!(ByteSize(1536).to_string(), "1.5 KiB");
        assert_eq!(ByteSize(12).to_string(), "12 B");
    }
}
