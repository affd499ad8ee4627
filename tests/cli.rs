//! The `lethe` program as scripts see it: exit codes, what goes to which stream, and the story from training
//! to forgetting, each command in a process of its own.

#![expect(clippy::unwrap_used, reason = "in a test, what should not happen ends it")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn lethe(data_dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lethe"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LETHE_")) {
        command.env_remove(name);
    }
    command.args(args).env("LETHE_DATA_DIR", data_dir).env("LETHE_TRAIN_THREADS", "2");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(data_dir: &Path, args: &[&str]) -> Output {
    lethe(data_dir, args).output().unwrap()
}

#[track_caller]
fn check(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
    stdout
}

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    serde_json::from_str(&check(output, code)).unwrap()
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let train = ["train", "--json", "--model", "m", "--hidden", "4", "--epochs", "1"];
    let predict = ["predict", "m", "--dataset", "digits", "--row", "17"];
    for args in [&train[..], &predict[..], &["openapi"]] {
        let mut child = lethe(dir.path(), args).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        assert_eq!(status.code(), Some(0), "{args:?}: {stderr}");
    }
}

/// A server on a port of its own, ended with the test.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(data_dir: &Path) -> Self {
        let mut child =
            lethe(data_dir, &["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_model_is_trained_asked_and_made_to_forget() {
    let dir = tempfile::tempdir().unwrap();
    let flags = ["train", "--epochs", "1", "--hidden", "32", "--model", "m"];
    let trained = run(dir.path(), &flags);
    let stdout = check(&trained, 0);
    assert!(stdout.starts_with("published m:1: "), "{stdout}");
    let stderr = String::from_utf8(trained.stderr).unwrap();
    assert!(
        stderr.contains("digits (drawn by the program itself)") && stderr.contains("epoch  1/1"),
        "{stderr}"
    );

    let asked = run(dir.path(), &["predict", "m", "--dataset", "digits", "--row", "17", "--json"]);
    let answer = json(&asked, 0);
    let prediction = &answer["predictions"][0];
    assert_eq!(
        (&answer["model"]["version"], prediction["top"].as_array().unwrap().len()),
        (&Value::from(1), 3)
    );

    // the same image as a file of bytes and as a PNG gets the same answer
    let row = lethe_data::row();
    let (raw, png) = (dir.path().join("row.u8"), dir.path().join("row.png"));
    std::fs::write(&raw, &row).unwrap();
    std::fs::write(&png, lethe_data::png(&row)).unwrap();
    let files = [raw.to_str().unwrap(), png.to_str().unwrap()];
    let asked = run(dir.path(), &["predict", "m:1", files[0], files[1], "--json"]);
    let answers: Vec<Value> =
        check(&asked, 0).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2);
    for (answer, file) in answers.iter().zip(files) {
        assert_eq!(answer["file"], file);
        assert_eq!(answer["predictions"][0]["label"], prediction["label"]);
    }
    let shown = check(&run(dir.path(), &["predict", "m", files[1]]), 0);
    assert!(shown.contains("m:1 says ") && shown.contains('%'), "{shown}");

    let forgot = run(dir.path(), &["unlearn", "m", "--class", "3"]);
    let report = check(&forgot, 0);
    assert!(report.contains("m:1 forgot class 3") && report.contains("the result is m:2"), "{report}");
    assert!(report.contains("on the forgotten rows") && report.contains("verdict: "), "{report}");

    let report =
        json(&run(dir.path(), &["unlearn", "m:1", "--rows", "5-20", "--method", "retrain", "--json"]), 0);
    assert_eq!((&report["forget"]["rows"], &report["claim"]), (&Value::from(16), &Value::from("exact")));
}

/// Input files, made from the embedded data.
mod lethe_data {
    use lethe::data::{Catalogue, FeatureData};

    /// Test image 17.
    pub fn row() -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let dataset = Catalogue::new(None, dir.path().into()).open_local("digits").unwrap().unwrap();
        match &dataset.test.features {
            FeatureData::U8(bytes) => bytes[17 * 784..18 * 784].to_vec(),
            FeatureData::F32(_) => panic!("digits are bytes"),
        }
    }

    pub fn png(row: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 28, 28);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(row).unwrap();
        file
    }
}

#[test]
fn what_makes_no_sense_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["train", "--mode", "best"][..],
        &["train", "--learning-rate", "NaN"],
        &["unlearn", "m"],
        &["unlearn", "m", "--class", "3", "--rows", "1"],
        &["predict", "m"],
        &["nonsense"],
    ] {
        let output = run(dir.path(), args);
        check(&output, 2);
        assert!(!output.stderr.is_empty(), "{args:?} says nothing");
    }
    assert!(!dir.path().join("server.lock").exists(), "a server was started for nothing");

    for (args, word) in [
        (&["predict", "nobody", "--dataset", "digits", "--row", "1"][..], "nobody"),
        (&["train", "--epochs", "0"], "epochs"),
        (&["train", "--dataset", "faces"], "faces"),
        (&["train", "--mode", "standard", "--fault", "no_shuffle=off"], "fault"),
        (&["train", "--detach"], "lethe serve"),
    ] {
        let output = run(dir.path(), args);
        check(&output, 2);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("error: ") && stderr.contains(word), "{args:?}: {stderr}");
    }
}

#[test]
fn work_that_fails_exits_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["train", "--epochs", "1", "--learning-rate", "100", "--weight-decay", "1", "--json"];
    let output = run(dir.path(), &args);
    let run = json(&output, 1);
    assert_eq!((&run["status"], &run["error"]["code"]), (&Value::from("failed"), &Value::from("diverged")));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("error: run ") && stderr.contains("finite"), "{stderr}");
}

#[test]
fn a_server_that_is_not_there_exits_with_3() {
    let dir = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = run(dir.path(), &["train", "--server", &url]);
    check(&output, 3);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains(&url) && stderr.contains("lethe serve"), "{stderr}");
}

#[test]
fn the_server_on_the_data_folder_is_found_and_outlives_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let started =
        json(&run(dir.path(), &["train", "--epochs", "1", "--hidden", "16", "--detach", "--json"]), 0);
    let id = started["id"].as_str().unwrap();

    // named outright, from another data folder: the same server
    let elsewhere = tempfile::tempdir().unwrap();
    let args =
        ["train", "--epochs", "1", "--hidden", "16", "--model", "m", "--server", &serving.url, "--json"];
    let finished = json(&run(elsewhere.path(), &args), 0);
    assert_eq!(finished["status"], "succeeded");
    assert!(std::fs::read_dir(elsewhere.path()).unwrap().next().is_none(), "the other folder was used");
    assert_ne!(finished["id"], id);
}

#[test]
fn ctrl_c_cancels_the_run_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let args = ["train", "--mode", "nn", "--epochs", "10000"];
    let mut child = lethe(dir.path(), &args).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let id = line.trim().rsplit(' ').next().unwrap().to_owned();
    // an epoch line tells that it watches, and so hears the signal
    stderr.read_line(&mut line).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");

    let mut socket = std::net::TcpStream::connect(serving.url.trim_start_matches("http://")).unwrap();
    write!(socket, "GET /runs/{id} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"status\":\"canceled\""), "{answer}");
}

#[test]
fn the_demo_tells_the_whole_story_without_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["demo", "--quick", "--exit", "--epochs", "3", "--listen", "127.0.0.1:0"];
    let output = run(dir.path(), &args);
    let story = check(&output, 0);
    for part in [
        "digits: 40000 training images by 400 writers",
        "1. Training nn and debug at the same time, 3 epochs each",
        "nn: accuracy on unseen images",
        "2. Asking them about an image neither has seen",
        "demo-debug:1 says ",
        "3. Making debug forget every 3",
        "demo-debug:1 forgot class 3",
        "now it reads 0.00 %",
        "4. Making debug forget one writer",
        "5. In numbers",
    ] {
        assert!(story.contains(part), "`{part}` is missing in:\n{story}");
    }
    assert!(story.is_ascii(), "nothing but ASCII goes where no terminal is:\n{story}");
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(!progress.contains('\u{1b}') && progress.contains("epoch  3/3"), "{progress}");
}
