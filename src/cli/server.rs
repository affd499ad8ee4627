//! Which server a command talks to: the one named, the one running on the data folder, or its own.

use super::client::Client;
use super::error::CliError;
use super::out::say;
use crate::config::Config;
use crate::data::Catalogue;
use crate::http::serve::{self, ServeError};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server this command can use.
#[derive(Debug)]
pub struct Server {
    client: Client,
    own: Option<Own>,
}

/// A server in this process, for the command's duration.
#[derive(Debug)]
struct Own {
    catalogue: Catalogue,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// Where a server of our own listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Nobody else needs to know it.
    Free,
    /// The configured one if it is free: people will open the page.
    Configured,
}

impl Server {
    /// `named` wins; else the server whose lock file lies in the data folder; else one is started.
    pub async fn reach(config: &Config, named: Option<&str>, port: Port) -> Result<Self, CliError> {
        let running = || serve::running_server(&config.data_dir);
        if let Some(address) = named.map(str::to_owned).or_else(running) {
            return Ok(Self { client: Client::new(&address)?, own: None });
        }
        let shutdown = CancellationToken::new();
        let server = open(config, port, &shutdown).await?;
        let client = Client::new(&server.url())?;
        let catalogue = server.state().engine.catalogue.clone();
        let task = tokio::spawn(server.run());
        Ok(Self { client, own: Some(Own { catalogue, shutdown, task }) })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The datasets of a server of our own.
    pub fn catalogue(&self) -> Option<&Catalogue> {
        self.own.as_ref().map(|own| &own.catalogue)
    }

    /// Checked before a run is started that nobody would be there to finish.
    pub fn check_detachable(&self) -> Result<(), CliError> {
        if self.is_own() {
            let why = "--detach needs a server that stays: start `lethe serve`, or name one with `--server`";
            return Err(CliError::Usage(why.to_owned()));
        }
        Ok(())
    }

    /// Says how to find a run again that goes on without us.
    pub fn leave(&self, run: &Value, json: bool) {
        if json {
            say!("{run}");
        } else {
            let id = run["id"].as_str().unwrap_or_default();
            say!("started run {id}\n  watch it: curl -N {}/runs/{id}/events", self.client.base());
        }
    }

    /// Returns on Ctrl-C, or when the server has ended for another reason.
    pub async fn wait_for_interrupt(&mut self) -> Result<(), CliError> {
        let Some(own) = &mut self.own else { return Ok(()) };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Ok(()),
            ended = &mut own.task => {
                self.own = None;
                finished(ended)
            }
        }
    }

    /// Ends a server of our own; work it had begun goes back to the queue.
    pub async fn end(self) -> Result<(), CliError> {
        let Some(own) = self.own else { return Ok(()) };
        own.shutdown.cancel();
        finished(own.task.await)
    }
}

async fn open(config: &Config, port: Port, shutdown: &CancellationToken) -> Result<serve::Server, CliError> {
    if port == Port::Configured {
        match serve::Server::open(config, shutdown.clone()).await {
            Err(ServeError::Listen { .. }) => {}
            opened => return opened.map_err(cannot_start),
        }
    }
    let config = Config { listen: "127.0.0.1:0".to_owned(), ..config.clone() };
    serve::Server::open(&config, shutdown.clone()).await.map_err(cannot_start)
}

fn cannot_start(error: ServeError) -> CliError {
    match error {
        // it took the folder after we looked, or has not said its address yet
        ServeError::InUse { .. } => CliError::Unreachable(error.to_string()),
        other => CliError::Failed(other.to_string()),
    }
}

fn finished(ended: Result<(), tokio::task::JoinError>) -> Result<(), CliError> {
    ended.map_err(|error| CliError::Failed(format!("the server broke down: {error}")))
}
