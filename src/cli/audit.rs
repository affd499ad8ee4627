//! `lethe audit`.

use super::args::AuditArgs;
use super::draw::Style;
use super::error::CliError;
use super::follow::{self, Screen};
use super::out::{say, say_as_is};
use super::report::{self, Detail};
use super::server::Server;
use super::train::id_of;

pub async fn audit(args: &AuditArgs, server: &Server) -> Result<(), CliError> {
    let json = args.connection.json;
    if args.detach {
        server.check_detachable()?;
    }
    let run = server.client().post("/audits", &args.request()).await?;
    let id = id_of(&run)?;
    if args.detach {
        server.leave(&run, json);
        return Ok(());
    }
    let screen = Screen::stderr();
    screen.say(&format!("{} is audited as run {id}", args.model));
    let watch = follow::follow(server.client(), &id, "audit", &screen);
    let finished =
        follow::until_interrupted(server.client(), std::slice::from_ref(&id), &screen, watch).await?;
    screen.settle();
    follow::succeeded(&finished.run)?;
    let report = server.client().get(&format!("/runs/{id}/report")).await?;
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
