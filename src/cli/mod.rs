//! The command line: one tree of commands, dispatched here. All but `serve`, `healthcheck`, `openapi` and the benches are
//! clients of the HTTP interface, also when the server runs in the same process.

mod args;
mod audit;
mod bench_backwards;
mod bench_unlearn;
mod client;
mod demo;
mod diagnose;
mod draw;
mod error;
mod follow;
mod out;
mod predict;
mod report;
mod rows;
mod server;
mod sse;
mod train;
mod unlearn;

use crate::config::Config;
use crate::http::serve;
use args::{AuditArgs, Connection, DiagnoseArgs, PredictArgs, TrainArgs, UnlearnArgs};
use bench_backwards::BenchBackwardsArgs;
use bench_unlearn::BenchUnlearnArgs;
use clap::{Parser, Subcommand};
use demo::DemoArgs;
use error::{CliError, EXIT_CODES};
use server::{Port, Server};
use std::process::ExitCode;
use std::time::Duration;

/// Trains neural-network classifiers, serves them, and makes them forget, with measured evidence.
#[derive(Debug, Parser)]
#[command(name = "lethe", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    config: Config,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what happens without a command).
    Serve,
    /// Tell the whole story: train two networks, one of them backwards, ask them, make one forget.
    Demo(DemoArgs),
    /// Train a model.
    Train(TrainArgs),
    /// Ask a model what an image shows.
    Predict(PredictArgs),
    /// Make a model forget a class, rows or people.
    Unlearn(UnlearnArgs),
    /// Find out which fault makes a training learn backwards.
    Diagnose(DiagnoseArgs),
    /// Measure how well a version has forgotten, without changing it.
    Audit(AuditArgs),
    /// Measure every unlearning method on every kind of forget set, beside retraining; writes tables and a picture.
    BenchUnlearn(BenchUnlearnArgs),
    /// Measure the report's two programs beside what it prints of them, and learning backwards beside two methods of
    /// unlearning; writes tables and pictures.
    BenchBackwards(BenchBackwardsArgs),
    /// Ask the server at `--listen` whether it is ready; exit code 0 if it is.
    Healthcheck,
    /// Print the description of the HTTP interface, as in `openapi.yaml`.
    Openapi,
}

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    let Cli { config, command } = Cli::parse();
    match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::serve_command(&config),
        Command::Healthcheck => serve::healthcheck_command(&config),
        Command::Openapi => serve::openapi_command(),
        Command::Demo(args) => block_on(&config, demo::demo(&args, &config)),
        Command::BenchBackwards(args) => finish(bench_backwards::bench(&args, &config)),
        Command::BenchUnlearn(args) => finish(bench_unlearn::bench(&args, &config)),
        Command::Train(args) => {
            block_on(&config, with_server(&config, &args.connection, async |s| train::train(&args, s).await))
        }
        Command::Predict(args) => block_on(
            &config,
            with_server(&config, &args.connection, async |s| predict::predict(&args, s).await),
        ),
        Command::Unlearn(args) => block_on(
            &config,
            with_server(&config, &args.connection, async |s| unlearn::unlearn(&args, s).await),
        ),
        Command::Diagnose(args) => block_on(
            &config,
            with_server(&config, &args.connection, async |s| diagnose::diagnose(&args, s).await),
        ),
        Command::Audit(args) => {
            block_on(&config, with_server(&config, &args.connection, async |s| audit::audit(&args, s).await))
        }
    }
}

/// Finds or starts the server, does the work, ends the server if it is ours.
async fn with_server(
    config: &Config,
    connection: &Connection,
    work: impl AsyncFnOnce(&Server) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let server = Server::reach(config, connection.server.as_deref(), Port::Free).await?;
    let done = work(&server).await;
    let ended = server.end().await;
    done.and(ended)
}

fn block_on(config: &Config, work: impl Future<Output = Result<(), CliError>>) -> ExitCode {
    // what a command has to say it says itself, unless more was asked for
    serve::init_log(if config.log == "info" { "error" } else { &config.log });
    let done =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::from).and_then(
            |runtime| {
                let done = runtime.block_on(work);
                // a blocking read of a dataset must not hold the process back
                runtime.shutdown_timeout(Duration::from_secs(1));
                done
            },
        );
    finish(done)
}

fn finish(done: Result<(), CliError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_may_stand_before_or_after_the_command() {
        for line in [["lethe", "--listen", "1.2.3.4:5", "serve"], ["lethe", "serve", "--listen", "1.2.3.4:5"]]
        {
            assert_eq!(Cli::try_parse_from(line).unwrap().config.listen, "1.2.3.4:5");
        }
    }
}
