//! What can go wrong on the command line, and the exit code each kind of it has.

use serde_json::Value;
use std::fmt::{self, Write as _};

/// Printed at the end of `--help`.
pub const EXIT_CODES: &str = "Exit codes:\n  0    done\n  1    the work failed, or the server failed at it\n  \
     2    the command or the request makes no sense as written\n  3    no server answers\n  \
     4    the model unlearned or was audited, but its report's verdict is `fail`\n  130  interrupted";

#[derive(Debug)]
pub enum CliError {
    /// The command makes no sense as written.
    Usage(String),
    /// The server said no, and why.
    Refused(Problem),
    /// The work was begun and failed.
    Failed(String),
    /// Nobody answers at that address.
    Unreachable(String),
    /// The report of an unlearning that did not do what it should, or of an audit that found so.
    Verdict(String),
    Interrupted,
}

impl CliError {
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Refused(problem) if problem.status >= 500 => 1,
            Self::Usage(_) | Self::Refused(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Verdict(_) => 4,
            Self::Interrupted => 130,
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) | Self::Unreachable(text) | Self::Verdict(text) => {
                f.write_str(text)
            }
            Self::Refused(problem) => problem.fmt(f),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// An `application/problem+json` answer, as people should read it.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    text: String,
}

impl Problem {
    /// Reads a problem document; an answer that is none is quoted by its first line.
    pub fn read(status: u16, body: &str) -> Self {
        let Ok(Value::Object(document)) = serde_json::from_str(body) else {
            let line = body.lines().next().unwrap_or_default().trim();
            return Self {
                status,
                text: format!("the server answered {status} {line}").trim_end().to_owned(),
            };
        };
        let member = |name: &str| document.get(name).and_then(Value::as_str);
        let what = member("detail").or_else(|| member("title")).unwrap_or("the server gave no reason");
        let mut text = what.to_owned();
        for error in document.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let pointer = error["pointer"].as_str().unwrap_or_default().trim_start_matches('/');
            let detail = error["detail"].as_str().unwrap_or_default();
            // a single error usually is the whole story already
            if text.contains(detail) {
                continue;
            }
            let _ = write!(text, "\n  {}: {detail}", pointer.replace('/', "."));
        }
        if let Some(replacement) = document.get("replacement").filter(|value| !value.is_null()) {
            let name = match (replacement["model"].as_str(), replacement["version"].as_u64()) {
                (Some(model), Some(version)) => format!("{model}:{version}"),
                _ => replacement.to_string(),
            };
            let _ = write!(text, "\n  use {name} instead");
        }
        let marks: Vec<String> = [("code", "code"), ("request_id", "request")]
            .iter()
            .filter_map(|(name, word)| Some(format!("{word} {}", member(name)?)))
            .collect();
        if !marks.is_empty() {
            let _ = write!(text, "\n  ({})", marks.join(", "));
        }
        Self { status, text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_the_field_and_the_request() {
        let body = r#"{"title":"Invalid hyperparameter","detail":"the request can't be carried out","status":422,
            "code":"invalid_hyperparameter","request_id":"01ab",
            "errors":[{"pointer":"/hyperparameters/learning_rate","detail":"must be above 0, got -0.1"}]}"#;
        assert_eq!(
            Problem::read(422, body).to_string(),
            "the request can't be carried out\n  hyperparameters.learning_rate: must be above 0, got -0.1\n  \
             (code invalid_hyperparameter, request 01ab)"
        );
    }

    #[test]
    fn nothing_is_said_twice() {
        let body = r#"{"detail":"`/hyperparameters/epochs` must lie between 1 and 10000, not be 0",
            "errors":[{"pointer":"/hyperparameters/epochs","detail":"must lie between 1 and 10000, not be 0"}]}"#;
        let text = Problem::read(422, body).to_string();
        assert_eq!(text, "`/hyperparameters/epochs` must lie between 1 and 10000, not be 0");
    }

    #[test]
    fn an_answer_that_is_no_problem_document_is_quoted() {
        assert_eq!(
            Problem::read(502, "Bad Gateway\n<html>").to_string(),
            "the server answered 502 Bad Gateway"
        );
        assert_eq!(Problem::read(500, "").to_string(), "the server answered 500");
    }

    #[test]
    fn the_servers_own_failure_is_not_the_callers_mistake() {
        assert_eq!(CliError::Refused(Problem::read(422, "{}")).exit_code(), 2);
        assert_eq!(CliError::Refused(Problem::read(503, "{}")).exit_code(), 1);
    }
}
