//! What a prediction costs over HTTP, beside an empty request and beside what Python serves: `make bench-serve`.
//!
//! Each contestant is a process of its own, and so is the load generator, which is the same for all. One connection
//! shows how long an answer takes, 32 how many there are in a second. Contestants take turns, several rounds long, and
//! every ratio is one within a round.
//!
//! ```text
//! make bench-serve                           everything
//! make bench-serve ROWS="Lethe, u8"          rows whose name contains this, and what they are held against
//! make bench-serve LETHE_BENCH_SECONDS=5     longer than 2 seconds a measurement
//! make bench-serve LETHE_BENCH_ROUNDS=9      more rounds than 5
//! ```

#[expect(dead_code, reason = "another bench asks for more")]
#[path = "../common/client.rs"]
mod client;
mod contestant;
mod formats;
mod lethe;
mod load;
#[expect(dead_code, reason = "another bench asks for more")]
#[path = "../common/machine.rs"]
mod machine;
mod noop;
mod report;
#[expect(dead_code, reason = "another bench asks for more")]
#[path = "../training/rounds.rs"]
mod rounds;
mod rows;
#[expect(dead_code, reason = "another bench asks for more")]
#[path = "../common/server.rs"]
mod server;
mod settings;
mod speed;
mod wire;

use contestant::Contestant;
use report::Bars;
use server::Server;
use settings::Settings;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [load::CHILD, address, n_connections, milliseconds] => {
            load::child(address, n_connections, milliseconds);
            return ExitCode::SUCCESS;
        }
        [noop::CHILD, answer] => {
            noop::child(answer);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    // cargo says `--bench` when a bench is meant, and nothing when somebody tests every target
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("nothing to test here; `make bench-serve` runs it");
        return ExitCode::SUCCESS;
    }
    let filter = arguments.into_iter().find(|argument| !argument.starts_with('-'));
    let settings = Settings::new(filter.unwrap_or_default());
    println!("{}", machine::describe());
    match measure(&settings) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            println!("it cannot be measured: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Whether no bar is missed.
fn measure(settings: &Settings) -> Result<bool, String> {
    let mut bars = Bars::default();
    let data_dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let lethe = lethe::start(data_dir.path())?;
    lethe::train(&lethe.address);
    let rows = rows::recognised(&lethe.address)?;
    let noop = noop::start(&lethe::answer(&lethe.address, &rows[0])?)?;

    let contestants = contestants(&noop, &lethe, &rows);
    for contestant in &contestants {
        contestant.check()?;
    }
    speed::measure(&contestants, settings, &mut bars)?;
    Ok(bars.close())
}

/// All there are here; the first is what the others are held against.
fn contestants(noop: &Server, lethe: &Server, rows: &[rows::Row]) -> Vec<Contestant> {
    let mut contestants =
        vec![Contestant::new(speed::NOOP, &noop.address, rows, formats::u8).without_labels()];
    let ours: [(&'static str, formats::Format); 4] = [
        (speed::LETHE_U8, formats::u8),
        ("Lethe, f32", formats::f32),
        ("Lethe, JSON", formats::json),
        ("Lethe, PNG", formats::png),
    ];
    contestants.extend(ours.map(|(name, format)| Contestant::new(name, &lethe.address, rows, format)));
    contestants
}
