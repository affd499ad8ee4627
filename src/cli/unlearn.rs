//! `lethe unlearn`.

use super::args::UnlearnArgs;
use super::draw::Style;
use super::error::CliError;
use super::follow::{self, Screen};
use super::out::{say, say_as_is};
use super::report::{self, Detail};
use super::server::Server;
use super::train::id_of;

pub async fn unlearn(args: &UnlearnArgs, server: &Server) -> Result<(), CliError> {
    let json = args.connection.json;
    if args.detach {
        server.check_detachable()?;
    }
    let run = server.client().post("/unlearn", &args.request()?).await?;
    let id = id_of(&run)?;
    if args.detach {
        server.leave(&run, json);
        return Ok(());
    }
    let screen = Screen::stderr();
    screen.say(&format!("{} forgets {} as run {id}", args.model, report::forgotten(&run["forget"])));
    let watch = follow::follow(server.client(), &id, "forget", &screen);
    let finished =
        follow::until_interrupted(server.client(), std::slice::from_ref(&id), &screen, watch).await?;
    screen.settle();
    follow::published(&finished.run)?;
    let report = server.client().get(&format!("/runs/{id}/report")).await?;
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
