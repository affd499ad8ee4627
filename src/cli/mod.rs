//! The command line: one tree of commands, dispatched here.

use crate::config::Config;
use crate::http::serve;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Trains neural-network classifiers, serves them, and makes them forget, with measured evidence.
#[derive(Debug, Parser)]
#[command(name = "lethe", version, about)]
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
