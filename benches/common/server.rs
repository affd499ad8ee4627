//! A server in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub struct Server {
    child: Child,
    pub address: String,
}

impl Server {
    /// The program itself, on a port of its own choice, with what `command` says besides.
    pub fn lethe(data_dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
        command.arg("--data-dir").arg(data_dir).args(["--listen", "127.0.0.1:0"]);
        command
    }

    /// Returns once it has said where it listens, as the first line of its output.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut server = Self { child, address: String::new() };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        let address = line.trim_end().strip_prefix("listening on http://");
        server.address = address.ok_or_else(|| format!("it said {line:?}"))?.to_owned();
        Ok(server)
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn resident_mb(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// Begins to look for the most anew.
    pub fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.process());
        std::fs::write(path, "5").expect("Linux resets the peak of one's own processes");
    }

    /// The most it has been since then.
    pub fn peak_mb(&self) -> f64 {
        self.status("VmHWM:")
    }

    /// A line of the kernel's about the process, from kB to MB.
    fn status(&self, name: &str) -> f64 {
        let path = format!("/proc/{}/status", self.process());
        let text = std::fs::read_to_string(path).expect("Linux tells of processes");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib * 1024.0 / 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // who was given a pipe has children of its own, and ends them when it is closed
        if self.child.stdin.take().is_none() {
            // an error means that it has ended already
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
