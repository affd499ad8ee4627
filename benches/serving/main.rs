//! What a prediction costs over HTTP, beside an empty request and beside what Python serves, and how long somebody waits who
//! wants one writer forgotten: `make bench-serve`.
//!
//! Each contestant is a process of its own, and so is the load generator, which is the same for all. One connection
//! shows how long an answer takes, 32 how many there are in a second. Contestants take turns, several rounds long, and
//! every ratio is one within a round. A round that others disturbed is measured again, up to as often as there are rounds.
//!
//! ```text
//! make bench-serve                           everything
//! make bench-serve ROWS="Lethe, u8"          rows whose name contains this, and what they are held against
//! make bench-serve LETHE_BENCH_SECONDS=5     longer than 2 seconds a measurement
//! make bench-serve LETHE_BENCH_ROUNDS=9      more rounds than 5
//! ```

#[path = "../common/client.rs"]
mod client;
mod contestant;
mod forgetting;
mod formats;
mod lethe;
mod load;
#[expect(dead_code, reason = "another bench asks for more")]
#[path = "../common/machine.rs"]
mod machine;
mod memory;
mod noop;
mod peers;
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
mod start;
mod threads;
mod training;
mod wire;

use contestant::Contestant;
use formats::Format;
use peers::Peer;
use report::Bars;
use rows::Row;
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
    let trainer = lethe::start(data_dir.path())?;
    lethe::train(&trainer.address);
    let rows = rows::recognised(&trainer.address)?;
    let noop = noop::start(&lethe::answer(&trainer.address, &rows[0])?)?;
    let model = data_dir.path().join("model.onnx");
    let exported = lethe::export(&trainer.address, &model);
    drop(trainer);

    // one that has trained would keep the rows in memory
    let lethe = lethe::start(data_dir.path())?;
    memory::idle(&lethe, settings, &mut bars);
    let mut contestants = ours(&noop, &lethe, &rows);
    let mut peers = Vec::new();
    let needed = |peer: &Peer| peer.rows.iter().any(|(name, _)| speed::needs(name, settings));
    for peer in peers::ALL.into_iter().filter(needed) {
        match exported.clone().and_then(|()| peer.start(&model)) {
            Ok(server) => {
                println!("{}", peer.about);
                contestants.extend(at(&server, &rows, peer.rows));
                peers.push(server);
            }
            Err(reason) => println!("not measured ({reason}): {}", peer.about),
        }
    }
    for contestant in &contestants {
        contestant.check()?;
    }
    speed::measure(&contestants, settings, &mut bars)?;
    drop(peers);
    memory::later(&lethe, settings, "after the requests");
    let asked = contestants.iter().find(|contestant| contestant.name == speed::LETHE_U8);
    training::measure(&lethe, asked.expect("it is among them"), settings, &mut bars)?;
    memory::later(&lethe, settings, "after the trainings");
    drop(lethe);
    start::measure(data_dir.path(), &rows[0], settings, &mut bars)?;
    forgetting::measure(settings, &mut bars)?;
    Ok(bars.close())
}

/// The first is what the others are held against.
fn ours(noop: &Server, lethe: &Server, rows: &[Row]) -> Vec<Contestant> {
    let formats: [(&str, Format); 4] = [
        (speed::LETHE_U8, formats::u8),
        ("Lethe, f32", formats::f32),
        ("Lethe, JSON", formats::json),
        ("Lethe, PNG", formats::png),
    ];
    let noop = Contestant::new(speed::NOOP, &noop.address, rows, formats::u8).without_labels();
    std::iter::once(noop).chain(at(lethe, rows, &formats)).collect()
}

/// One server in several formats.
fn at(server: &Server, rows: &[Row], formats: &[(&'static str, Format)]) -> Vec<Contestant> {
    let new = |&(name, format)| Contestant::new(name, &server.address, rows, format);
    formats.iter().map(new).collect()
}
