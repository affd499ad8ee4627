//! `lethe audit`.

use super::args::AuditArgs;
use super::draw::Style;
use super::error::CliError;
use super::follow::{self, Order};
use super::out::{say, say_as_is};
use super::report::{self, Detail};
use super::server::Server;
use serde_json::Value;

pub async fn audit(args: &AuditArgs, server: &Server) -> Result<(), CliError> {
    let json = args.connection.json;
    let order = Order { path: "/audits", name: "audit", detach: args.detach, json };
    let opening = |_: &Value, id: &str| format!("{} is audited as run {id}", args.model);
    let Some(finished) = follow::carry_out(server, order, || Ok(args.request()), opening).await? else {
        return Ok(());
    };
    let report = follow::report_of(server, &finished).await?;
    if json {
        say!("{report}");
    } else {
        say_as_is!("{}", report::render(&report, Detail::Full, Style::of_stdout()));
    }
    match report["verdict"].as_str() {
        Some("fail") => {
            Err(CliError::Verdict("the verdict is `fail`: it knows what it should not".to_owned()))
        }
        _ => Ok(()),
    }
}
