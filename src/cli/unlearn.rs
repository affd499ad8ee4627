//! `lethe unlearn`.

use super::args::UnlearnArgs;
use super::draw::Style;
use super::error::CliError;
use super::follow::{self, Order};
use super::out::{say, say_as_is};
use super::report::{self, Detail};
use super::server::Server;
use serde_json::Value;

pub async fn unlearn(args: &UnlearnArgs, server: &Server) -> Result<(), CliError> {
    let json = args.connection.json;
    let order = Order { path: "/unlearn", name: "forget", detach: args.detach, json };
    let opening = |run: &Value, id: &str| {
        format!("{} forgets {} as run {id}", args.model, report::forgotten(&run["forget"]))
    };
    let Some(finished) = follow::carry_out(server, order, || args.request(), opening).await? else {
        return Ok(());
    };
    follow::published(&finished.run)?;
    let report = follow::report_of(server, &finished).await?;
    if json {
        say!("{report}");
    } else {
        say_as_is!("{}", report::render(&report, Detail::Full, Style::of_stdout()));
    }
    match report["verdict"].as_str() {
        Some("fail") => {
            Err(CliError::Verdict("the verdict is `fail`: it did not forget as it should".to_owned()))
        }
        _ => Ok(()),
    }
}
