//! `lethe train`.

use super::args::TrainArgs;
use super::draw::percent;
use super::error::CliError;
use super::follow::{self, Order};
use super::out::say;
use super::server::Server;
use serde_json::Value;

pub async fn train(args: &TrainArgs, server: &Server) -> Result<(), CliError> {
    let json = args.connection.json;
    let name = args.mode.name();
    let order = Order { path: "/runs", name, detach: args.detach, json };
    let opening =
        |run: &Value, id: &str| format!("training {name} on {} as run {id}", dataset_line(&run["dataset"]));
    let Some(finished) = follow::carry_out(server, order, || Ok(args.request()), opening).await? else {
        return Ok(());
    };
    if json {
        say!("{}", finished.run);
    }
    let version = follow::published(&finished.run)?;
    if !json {
        let best = &finished.run["best"];
        let best = match (best["value"].as_f64(), best["epoch"].as_u64()) {
            (Some(value), Some(epoch)) => format!(": {} at best, in epoch {epoch}", percent(value)),
            _ => String::new(),
        };
        say!("published {version}{best}");
    }
    Ok(())
}

/// Which data, and where it came from.
pub fn dataset_line(dataset: &Value) -> String {
    let name = dataset["name"].as_str().unwrap_or("?");
    let source = match dataset["source"].as_str() {
        Some("file") => "from the datasets folder",
        Some("download") => "downloaded from a public mirror",
        Some("embedded") => "drawn by the program itself",
        Some("upload") => "uploaded",
        _ => return name.to_owned(),
    };
    format!("{name} ({source})")
}
