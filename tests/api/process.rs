//! The program itself: what it prints, how it ends, and that two never share a folder.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn lethe(data_dir: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    command.env_clear().arg("--data-dir").arg(data_dir.path());
    command
}

/// A running server; it is killed if the test ends without ending it.
struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    url: String,
}

impl Server {
    fn start(data_dir: &TempDir) -> Self {
        let mut child = lethe(data_dir)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let line = line.trim_end();
        let url =
            line.strip_prefix("listening on ").unwrap_or_else(|| panic!("first line {line:?}")).to_owned();
        Self { child, stdout, url }
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Sends SIGTERM; the exit code, how long it took, and what else it had printed.
    fn terminate(mut self) -> (Option<i32>, Duration, String) {
        let started = Instant::now();
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let status = self.child.wait().unwrap();
        let took = started.elapsed();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (status.code(), took, rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // an error means that it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_first_line_names_the_address_and_nothing_else_is_printed() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = Server::start(&data_dir);
    assert!(!server.address().ends_with(":0"), "{}", server.url);
    let healthy = lethe(&data_dir).args(["healthcheck", "--listen", server.address()]).status().unwrap();
    assert!(healthy.success());
    let address = server.address().to_owned();
    let (code, took, rest) = server.terminate();
    assert_eq!((code, rest.as_str()), (Some(0), ""));
    assert!(took < Duration::from_secs(1), "{took:?}");
    let sick = lethe(&data_dir).args(["healthcheck", "--listen", &address]).output().unwrap();
    assert!(!sick.status.success());
    assert!(String::from_utf8_lossy(&sick.stderr).contains("not ready"));
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_told_of_the_first() {
    let data_dir = tempfile::tempdir().unwrap();
    let server = Server::start(&data_dir);
    let second = lethe(&data_dir).args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{message}");
    assert!(message.contains(&server.url), "{message}");
    assert!(second.stdout.is_empty());
    server.terminate();
    let third = Server::start(&data_dir);
    third.terminate();
}

#[test]
fn a_taken_port_and_a_bad_folder_are_said_so() {
    let (first_dir, second_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(&first_dir);
    let taken = lethe(&second_dir).args(["--listen", server.address()]).output().unwrap();
    let message = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(message.contains("cannot listen") && message.contains(server.address()), "{message}");
    server.terminate();

    let file = second_dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    let bad = command.env_clear().env("LETHE_DATA_DIR", &file).output().unwrap();
    let message = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(!bad.status.success() && message.contains("data folder"), "{message}");
}

#[test]
fn the_description_is_printed() {
    let data_dir = tempfile::tempdir().unwrap();
    let printed = lethe(&data_dir).arg("openapi").output().unwrap();
    assert!(printed.status.success());
    assert_eq!(BufReader::new(&printed.stdout[..]).lines().next().unwrap().unwrap(), "openapi: 3.1.0");
    assert_eq!(printed.stdout, lethe::http::openapi_yaml().as_bytes());
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let data_dir = tempfile::tempdir().unwrap();
    for arguments in
        [["--memory-limit", "lots"], ["--train-threads", "0"], ["--database-url", "postgres://x"]]
    {
        let refused = lethe(&data_dir).args(arguments).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(refused.stdout.is_empty());
    }
}
