//! What predictions have to wait for a training beside them.

use crate::client;
use crate::contestant::Contestant;
use crate::machine::Neighbours;
use crate::report::{Bar, Bars, Spread};
use crate::server::Server;
use crate::settings::Settings;
use crate::threads;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const NAME: &str = "training, p99 of u8";
/// Times the idle server's.
const MOST: f64 = 3.0;
/// Between two looks at a run.
const PAUSE: Duration = Duration::from_millis(20);

/// One connection, on a server that is idle and on one that trains, in turn.
pub fn measure(
    server: &Server,
    contestant: &Contestant,
    settings: &Settings,
    bars: &mut Bars,
) -> Result<(), String> {
    if !settings.wants(NAME) {
        return Ok(());
    }
    let neighbours = Neighbours::watch();
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    let mut cores = Vec::new();
    for _ in 0..settings.rounds {
        idle.push(contestant.load(1, settings.time)?);
        let run = Run::start(&server.address);
        run.await_epoch();
        let (begun, before) = (Instant::now(), threads::training_seconds(server.process())?);
        busy.push(contestant.load(1, settings.time)?);
        let used = threads::training_seconds(server.process())? - before;
        cores.push(used / begun.elapsed().as_secs_f64());
        run.check_work()?;
        run.cancel();
    }
    let others = neighbours.cores().unwrap_or(0.0);
    println!("\nthe training had {} cores while predictions were measured", Spread::of(cores));
    for (name, figures) in [("idle", &idle), ("with a training", &busy)] {
        println!(
            "{:28} {:>22.1} {:>24.1}",
            format!("Lethe, u8, {name}"),
            Spread::of(figures.iter().map(|figures| figures.p50_us)),
            Spread::of(figures.iter().map(|figures| figures.p99_us)),
        );
    }
    let ratios = idle.iter().zip(&busy).map(|(idle, busy)| busy.p99_us / idle.p99_us);
    let name = format!("{NAME} in times the idle server's");
    bars.judge(&name, &Spread::of(ratios), "x", &Bar::AtMost(MOST), others);
    Ok(())
}

/// As people train, with hours of work if nobody cancels it.
struct Run<'a> {
    address: &'a str,
    path: String,
}

impl<'a> Run<'a> {
    fn start(address: &'a str) -> Self {
        let order = json!({ "mode": "standard", "dataset": "digits", "model": "endless",
                            "hyperparameters": { "hidden": [512, 256], "epochs": 10_000, "early_stopping": null } });
        let run = client::post(address, "/runs", &order, "");
        Self { address, path: format!("/runs/{}", run["id"].as_str().expect("a run has an id")) }
    }

    fn look(&self) -> Value {
        client::get(self.address, &self.path)
    }

    fn await_epoch(&self) {
        self.wait_until(|run| run["progress"]["epoch"] != 0);
    }

    /// It must not have ended.
    fn check_work(&self) -> Result<(), String> {
        let run = self.look();
        if run["status"] == "running" { Ok(()) } else { Err(format!("it does not train: {run}")) }
    }

    fn cancel(self) {
        client::post(self.address, &format!("{}/cancel", self.path), &json!({}), "");
        self.wait_until(|run| run["status"] == "canceled");
    }

    fn wait_until(&self, is_there: impl Fn(&Value) -> bool) {
        while !is_there(&self.look()) {
            std::thread::sleep(PAUSE);
        }
    }
}
