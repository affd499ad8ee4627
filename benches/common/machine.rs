//! What the operating system knows: which machine this is, how busy, and how much memory was used.

use std::fs;
use std::thread::available_parallelism;

/// One line on the machine and how quiet it is.
pub fn describe() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown");
    format!("{} cores, {} kernels, load {load} before it began", cores(), lethe::nn::kernel_family())
}

/// Ticks of processor time since the machine started.
#[derive(Clone, Copy)]
struct Ticks {
    /// Of all cores, idle or not.
    all: u64,
    /// Spent working, or taken by another machine on the same hardware.
    busy: u64,
    /// Spent by this process, its children and theirs.
    ours: u64,
}

/// How many cores others use while something is measured.
///
/// Alternating rounds do not help against a neighbour who slows down one side more than the other: threads that
/// wait for each other in a loop, as PyTorch's do, come to a near standstill when one of them has no core.
pub struct Neighbours(Option<Ticks>);

impl Neighbours {
    pub fn watch() -> Self {
        Self(ticks())
    }

    /// Cores used by others since; nothing where the system does not tell.
    pub fn cores(&self) -> Option<f64> {
        let (before, after) = (self.0?, ticks()?);
        let others = (after.busy - before.busy).saturating_sub(after.ours.saturating_sub(before.ours));
        let all = (after.all - before.all).max(1);
        Some(cores() as f64 * others as f64 / all as f64)
    }
}

pub fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

fn ticks() -> Option<Ticks> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    // user nice system idle iowait irq softirq steal; what guests use is in the first already
    let columns = stat.lines().next()?.split_whitespace().skip(1).take(8);
    let spent: Vec<u64> = columns.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let all = spent.iter().sum();
    let idle = spent.get(3)? + spent.get(4)?;
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        // `self` and `thread-self` are this process once more
        let is_process = entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        // and a process may be gone by now
        let stat = is_process.then(|| fs::read_to_string(entry.path().join("stat")).ok()).flatten();
        processes.extend(stat.and_then(|stat| Process::parse(&stat)));
    }
    let mut family = vec![u64::from(std::process::id())];
    let mut n_asked = 0;
    while let Some(&parent) = family.get(n_asked) {
        family.extend(processes.iter().filter(|process| process.parent == parent).map(|process| process.id));
        n_asked += 1;
    }
    let of_family = processes.iter().filter(|process| family.contains(&process.id));
    let ours = of_family.map(|process| process.own + process.ended_children).sum();
    Some(Ticks { all, busy: all - idle, ours })
}

/// What `/proc/<id>/stat` tells.
struct Process {
    id: u64,
    parent: u64,
    own: u64,
    ended_children: u64,
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        let id = stat.split(' ').next()?.parse().ok()?;
        // the name, in parentheses, may hold anything
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 2..)?.split(' ').collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let (own, ended_children) = (number(11)? + number(12)?, number(13)? + number(14)?);
        Some(Self { id, parent: number(1)?, own, ended_children })
    }
}

/// The most memory this process has had resident, where the system tells.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
