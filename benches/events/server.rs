//! The program itself, in a process of its own.

use super::client;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub struct Server {
    child: Child,
    pub address: String,
    _data_dir: TempDir,
}

impl Server {
    pub fn start(n_readers: u64) -> Self {
        let data_dir = tempfile::tempdir().expect("a folder for the server");
        let mut child = Command::new(env!("CARGO_BIN_EXE_lethe"))
            .arg("--data-dir")
            .arg(data_dir.path())
            .args(["--listen", "127.0.0.1:0", "--log", "warn", "--train-threads", "1"])
            .args(["--max-streams", &(n_readers + 1).to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the server says where it listens");
        let address = line.trim_end().strip_prefix("listening on http://").expect("an address").to_owned();
        Self { child, address, _data_dir: data_dir }
    }

    /// Waits for the first epoch of a run.
    pub fn await_epoch(&self, path: &str) {
        while client::get(&self.address, path)["progress"]["epoch"] == 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn resident_mb(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// Begins to look for the most anew.
    pub fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        std::fs::write(path, "5").expect("Linux resets the peak of one's own processes");
    }

    /// The most it has been since then.
    pub fn peak_mb(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// A line of the kernel's about the process, from kB to MB.
    fn status(&self, name: &str) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("Linux tells of processes");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib * 1024.0 / 1e6
    }

    pub fn end(mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("the server runs");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // an error means that it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
