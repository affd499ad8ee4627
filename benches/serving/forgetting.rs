//! One MNIST writer forgotten while somebody waits: from the request to the answer with the published version.

use crate::machine::{Neighbours, cores};
use crate::report::{Bar, Bars, Spread};
use crate::rounds::median;
use crate::server::Server;
use crate::settings::Settings;
use crate::{client, lethe};
use serde_json::{Value, json};
use std::time::Instant;

const NAME: &str = "one writer forgotten";
const MOST_MS: f64 = 100.0;
/// In a round.
const WRITERS: u32 = 20;
const FIRST_WRITER: u32 = 2_100;
const MODEL: &str = "writers";
const WAIT: &str = "prefer: wait=60\r\n";

/// By plain ascent with `verify: quick`, each writer of the same version, on as many threads as there are cores and on one. A
/// round's figure is the median of its writers.
pub fn measure(settings: &Settings, bars: &mut Bars) -> Result<(), String> {
    if !settings.wants(NAME) {
        return Ok(());
    }
    for threads in [cores(), 1] {
        let data_dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let server = lethe::start_with(data_dir.path(), &["--train-threads", &threads.to_string()])?;
        let order = json!({ "mode": "standard", "dataset": "mnist", "model": MODEL });
        let trained = client::post(&server.address, "/runs", &order, WAIT);
        if trained["status"] != "succeeded" {
            bars.leave_out(NAME, &format!("no MNIST: {}", trained["error"]["message"]));
            return Ok(());
        }
        // nothing is known of the version before
        forget(&server, FIRST_WRITER + WRITERS)?;
        let neighbours = Neighbours::watch();
        let rounds = (0..settings.rounds).map(|_| {
            let taken =
                (0..WRITERS).map(|n| forget(&server, FIRST_WRITER + n)).collect::<Result<Vec<_>, _>>()?;
            Ok(median(&taken))
        });
        let taken = rounds.collect::<Result<Vec<f64>, String>>()?;
        let name = format!("{NAME}, {threads} threads");
        bars.judge(
            &name,
            &Spread::of(taken),
            " ms",
            &Bar::AtMost(MOST_MS),
            neighbours.cores().unwrap_or(0.0),
        );
    }
    Ok(())
}

/// Milliseconds it took.
fn forget(server: &Server, writer: u32) -> Result<f64, String> {
    let order = json!({ "model": format!("{MODEL}:1"), "forget": { "subjects": [writer] }, "method": "gradient_ascent",
                        "hyperparameters": { "variant": "plain" }, "verify": "quick" });
    let begun = Instant::now();
    let run: Value = client::post(&server.address, "/unlearn", &order, WAIT);
    let taken = begun.elapsed().as_secs_f64() * 1e3;
    if run["status"] == "succeeded" { Ok(taken) } else { Err(format!("writer {writer}: {run}")) }
}
