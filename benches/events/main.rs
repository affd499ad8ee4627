//! Many readers of a running training, on the machine this runs on: `make bench-events`.
//!
//! A server, its readers and the client that asks it for predictions are three processes that share the cores. What is
//! measured: whether any reader lost an event, what the readers cost the server in resident memory, and how long a
//! prediction takes at the 99th percentile beside what it takes when nothing else is going on.
//!
//! ```text
//! make bench-events                                  5,000 readers, 15 seconds a measurement
//! make bench-events LETHE_BENCH_READERS=500          fewer
//! make bench-events LETHE_BENCH_SECONDS=60           longer
//! ```

#[path = "../common/client.rs"]
mod client;
#[expect(dead_code, reason = "another bench asks for more")]
#[path = "../common/machine.rs"]
mod machine;
mod probe;
mod readers;
#[path = "../common/server.rs"]
mod server;

use readers::Readers;
use serde_json::{Value, json};
use server::Server;
use std::process::ExitCode;
use std::time::Duration;

/// A prediction may take so many times as long as on an idle server, at the 99th percentile.
const MOST_TIMES: f64 = 5.0;
/// What the readers may cost the server, in MB.
const MOST_MB: f64 = 200.0;
/// Cores others may use without making the latencies void.
const MOST_OTHERS: f64 = 0.1;
/// For the processes' own files and the client's connections.
const OTHER_FILES: u64 = 256;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, address, path, n_readers] = arguments.as_slice()
        && flag == readers::CHILD
    {
        readers::child(address, path, n_readers.parse().expect("a number"));
        return ExitCode::SUCCESS;
    }
    // cargo says `--bench` when a bench is meant, and nothing when somebody tests every target
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("nothing to test here; `make bench-events` runs it");
        return ExitCode::SUCCESS;
    }
    let n_readers = setting("LETHE_BENCH_READERS", 5_000);
    let wanted = n_readers + OTHER_FILES;
    let files = rlimit::increase_nofile_limit(wanted).expect("the limit of open files can be read");
    let n_readers = n_readers.min(files.saturating_sub(OTHER_FILES));
    println!("{}; {files} open files a process, {n_readers} readers", machine::describe());
    if files < wanted {
        println!("the machine allows fewer open files than {wanted}: there are fewer readers than asked for");
    }
    if measure(n_readers, Duration::from_secs(setting("LETHE_BENCH_SECONDS", 15))) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// Whether every bar holds.
fn measure(n_readers: u64, time: Duration) -> bool {
    let data_dir = tempfile::tempdir().expect("a folder for the server");
    let mut command = Server::lethe(data_dir.path());
    command.args(["--log", "warn", "--train-threads", "1", "--max-streams", &(n_readers + 1).to_string()]);
    let server = Server::start(&mut command).expect("the server starts");
    let model = json!({ "mode": "standard", "dataset": "digits", "model": "digits", "hyperparameters": { "epochs": 1 } });
    let trained = client::post(&server.address, "/runs", &model, "prefer: wait=60\r\n");
    assert_eq!(trained["status"], "succeeded", "{trained}");

    // once unmeasured: the model is loaded, the caches are warm
    probe::predictions(&server.address, Duration::from_secs(1));
    let mut idle = probe::predictions(&server.address, time);
    let run = client::post(&server.address, "/runs", &training(), "");
    let path = format!("/runs/{}", run["id"].as_str().expect("a run has an id"));
    await_epoch(&server.address, &path);
    let training = probe::predictions(&server.address, time);

    let before = server.resident_mb();
    server.forget_peak();
    let readers = Readers::start(&server.address, &format!("{path}/events"), n_readers);
    let opened = server.resident_mb();
    let first_seq = client::get(&server.address, &path)["last_seq"].as_u64();
    let followed = probe::predictions(&server.address, time);
    let after = server.peak_mb();
    let last_seq = client::get(&server.address, &path)["last_seq"].as_u64();

    client::post(&server.address, &format!("{path}/cancel"), &json!({}), "");
    let found = readers.end();
    let ended = client::get(&server.address, &path)["last_seq"].as_u64().expect("a number");
    idle.extend(probe::predictions(&server.address, time));
    drop(server);

    let n_events = last_seq.zip(first_seq).map_or(0, |(last, first)| last - first);
    let pace = n_events as f64 / time.as_secs_f64();
    let is_whole = found.n_whole == n_readers && found.last == ended;
    let growth = after - before;
    let (quiet, busy) = (idle.p99(), followed.p99());
    println!("events             {ended} of the run, {pace:.1} a second while it was measured");
    println!(
        "readers            {} of {n_readers} saw every event to the last; opened within {:.1} s",
        found.n_whole,
        found.opening.as_secs_f64()
    );
    println!(
        "resident memory    {before:.0} MB before, {opened:.0} MB with the readers, {after:.0} MB at most: + {growth:.0} MB (bar: {MOST_MB})"
    );
    for (name, latencies) in [("idle", &idle), ("training", &training), ("and followed", &followed)] {
        println!("POST /predict      {name:12}  {latencies}");
    }
    println!("p99                {:.1} times the idle one (bar: {MOST_TIMES})", ratio(busy, quiet));
    let is_void = idle.others.max(followed.others) > MOST_OTHERS;
    let holds = is_whole && growth <= MOST_MB && ratio(busy, quiet) < MOST_TIMES;
    match (holds, is_void) {
        (true, false) => println!("every bar holds"),
        (false, false) => println!("a bar does NOT hold"),
        (_, true) => println!("others were at work on this machine: the latencies are void"),
    }
    holds && !is_void
}

/// Waits for the first epoch of a run.
fn await_epoch(address: &str, path: &str) {
    while client::get(address, path)["progress"]["epoch"] == 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn ratio(long: Duration, short: Duration) -> f64 {
    long.as_secs_f64() / short.as_secs_f64()
}

/// As people train: some epochs a second, hours of work if nobody cancels it.
fn training() -> Value {
    json!({ "mode": "standard", "dataset": "digits", "model": "endless",
            "hyperparameters": { "hidden": [512, 256], "epochs": 10_000, "early_stopping": null } })
}
