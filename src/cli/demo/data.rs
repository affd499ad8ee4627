//! Which data the demo uses, and saying why.

use super::DemoArgs;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::server::Server;
use crate::data::{Catalogue, DataError, DownloadProgress};
use serde_json::Value;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A download that has not brought a byte by then is not waited for.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// The whole download may take this long.
const WHOLE: Duration = Duration::from_secs(60);

/// The data, and one sentence about it.
#[derive(Debug)]
pub struct Choice {
    pub name: String,
    pub told: String,
}

/// MNIST if it is here or quickly had, else the embedded digits; never silently.
pub async fn choose(args: &DemoArgs, server: &Server) -> Result<Choice, CliError> {
    let client = server.client();
    if let Some(name) = &args.dataset {
        return told(client, name, "as you asked").await;
    }
    if args.quick {
        return told(client, "digits", "because --quick was asked for").await;
    }
    let mnist = entry(client, "mnist").await?;
    if mnist["source"].is_string() {
        return told(client, "mnist", "found on this machine").await;
    }
    let Some(catalogue) = server.catalogue().cloned() else {
        return told(client, "digits", "because the server does not have MNIST yet").await;
    };
    eprintln!("MNIST is not on this machine; trying to download it (12 MB)");
    let fetched = tokio::task::spawn_blocking(move || fetch(&catalogue)).await;
    match fetched.map_err(|error| CliError::Failed(error.to_string()))? {
        Ok(()) => told(client, "mnist", "just downloaded, checked by SHA-256").await,
        Err(reason) => {
            let why = format!("because MNIST is not on this machine and {reason}");
            told(client, "digits", &why).await
        }
    }
}

async fn told(client: &Client, name: &str, why: &str) -> Result<Choice, CliError> {
    let entry = entry(client, name).await?;
    let (train, test) = (&entry["n_train"], &entry["n_test"]);
    let people = match entry["n_subjects"].as_u64() {
        Some(people) => format!(" by {people} writers"),
        None => String::new(),
    };
    let drawn = if entry["source"] == "embedded" { ", drawn by the program itself" } else { "" };
    let told = format!("{name}: {train} training images{people} and {test} for tests{drawn}; {why}");
    Ok(Choice { name: name.to_owned(), told })
}

async fn entry(client: &Client, name: &str) -> Result<Value, CliError> {
    client.get(&format!("/datasets/{name}")).await
}

/// Downloads MNIST within the demo's patience; the error is half a sentence, details are in the log.
fn fetch(catalogue: &Catalogue) -> Result<(), String> {
    let started = Instant::now();
    let mut any = false;
    let mut progress = |step: DownloadProgress<'_>| {
        any |= step.done > 0;
        let limit = if any { WHOLE } else { FIRST_BYTE };
        if started.elapsed() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    match catalogue.open("mnist", &mut progress) {
        Ok(_) => Ok(()),
        Err(DataError::Canceled) => Err("the mirrors are too slow to wait for".to_owned()),
        Err(DataError::Unavailable(_)) => Err("no mirror could be reached".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
