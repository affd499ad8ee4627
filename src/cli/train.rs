//! `lethe train`.

use super::args::TrainArgs;
use super::draw::percent;
use super::error::CliError;
use super::follow::{self, Screen};
use super::out::say;
use super::server::Server;
use serde_json::Value;

pub async fn train(args: &TrainArgs, server: &Server) -> Result<(), CliError> {
    let json = args.connection.json;
    if args.detach {
        server.check_detachable()?;
    }
    let run = server.client().post("/runs", &args.request()).await?;
    let id = id_of(&run)?;
    if args.detach {
        server.leave(&run, json);
        return Ok(());
    }
    let screen = Screen::stderr();
    screen.say(&format!("training {} on {} as run {id}", args.mode.name(), dataset_line(&run["dataset"])));
    let watch = follow::follow(server.client(), &id, args.mode.name(), &screen);
    let finished =
        follow::until_interrupted(server.client(), std::slice::from_ref(&id), &screen, watch).await?;
    screen.settle();
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

/// A run's id, as the server gave it.
pub fn id_of(run: &Value) -> Result<String, CliError> {
    let id = run["id"].as_str().map(str::to_owned);
    id.ok_or_else(|| CliError::Failed("the server's answer is no run".to_owned()))
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
