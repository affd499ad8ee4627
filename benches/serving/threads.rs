//! What a process' threads are at, as the kernel tells it.

use std::fs;

/// In which the kernel counts processor time.
const TICKS_PER_SECOND: f64 = 100.0;
/// Beginnings of the names of the threads that train.
const TRAINING: [&str; 2] = ["lethe-train", "lethe-team"];

/// Seconds of processor time that the threads which train have used, of those there are now.
pub fn training_seconds(process: u32) -> Result<f64, String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).map_err(|error| error.to_string())?;
    // a thread may be gone by now
    let stats = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let ticks: u64 = stats.filter_map(|stat| training_ticks(&stat)).sum();
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Of one thread, if it is one that trains.
fn training_ticks(stat: &str) -> Option<u64> {
    // the name, in parentheses, may hold anything
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    TRAINING.iter().any(|start| name.starts_with(start)).then_some(ticks(11)? + ticks(12)?)
}
