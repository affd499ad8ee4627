//! What Linux tells of processes and sockets.

use std::fs;

/// What all sockets of the machine hold, in bytes.
pub fn socket_bytes() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let pages: u64 = line.split_whitespace().last().unwrap().parse().unwrap();
    pages * 4_096
}

/// Connections the machine has turned away because nobody accepted them in time.
pub fn n_overflows() -> u64 {
    let text = fs::read_to_string("/proc/net/netstat").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, numbers) = (lines.next().unwrap().split(' '), lines.next().unwrap().split(' '));
    let (_, number) = names.zip(numbers).find(|(name, _)| *name == "ListenOverflows").unwrap();
    number.parse().unwrap()
}

pub fn n_open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// Processor time a process has used, in seconds.
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // its name, in parentheses, may hold anything
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    // ticks are hundredths wherever Linux tells of them
    (ticks(11) + ticks(12)) as f64 / 100.0
}
