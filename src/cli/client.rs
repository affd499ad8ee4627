//! The HTTP interface, seen from the command line.

use super::error::{CliError, Problem};
use super::sse::{EventStream, Patience};
use serde_json::Value;
use std::error::Error as _;
use std::time::Duration;

/// Time to open a connection. An answer may take longer: `verify` work is never done inside a request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a whole answer that is no event stream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// One server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    /// `base` is `http://host:port`, with or without a path in front of the interface.
    pub fn new(base: &str) -> Result<Self, CliError> {
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let base = base.trim_end_matches('/').to_owned();
        reqwest::Url::parse(&base)
            .map_err(|error| CliError::Usage(format!("`{base}` is not a server's address: {error}")))?;
        Ok(Self { http: http_client(&base)?, base })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn get(&self, path: &str) -> Result<Value, CliError> {
        json(&self.send(self.http.get(self.url(path))).await?)
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        json(&self.send(self.http.post(self.url(path)).json(body)).await?)
    }

    pub async fn post_bytes(&self, path: &str, content_type: &str, body: Vec<u8>) -> Result<Value, CliError> {
        json(
            &self
                .send(self.http.post(self.url(path)).header("content-type", content_type).body(body))
                .await?,
        )
    }

    /// A run's events from its first on.
    pub fn events(&self, run: &str) -> EventStream {
        EventStream::new(self.http.clone(), self.url(&format!("/runs/{run}/events")), Patience::default())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, CliError> {
        let lost = |error: reqwest::Error| {
            CliError::Unreachable(format!(
                "no answer from {}: {}\n  start a server with `lethe serve`, or name one with `--server`",
                self.base,
                cause(&error)
            ))
        };
        let response = request.timeout(ANSWER_TIMEOUT).send().await.map_err(lost)?;
        let status = response.status();
        let body = response.bytes().await.map_err(lost)?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        Err(CliError::Refused(Problem::read(status.as_u16(), &String::from_utf8_lossy(&body))))
    }
}

fn json(body: &[u8]) -> Result<Value, CliError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body)
        .map_err(|error| CliError::Failed(format!("the server's answer is no JSON: {error}")))
}

/// An HTTP client for that server: straight to it when it is this machine, whatever proxies are set.
pub fn http_client(url: &str) -> Result<reqwest::Client, CliError> {
    // a second installation changes nothing and is reported as an error
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let local = host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
    });
    let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
    let builder = if local { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| CliError::Failed(format!("no HTTP client: {}", cause(&error))))
}

/// The innermost reason of a failed request: the part that helps.
pub fn cause(error: &reqwest::Error) -> String {
    let mut inner = error.source();
    let mut text = error.to_string();
    while let Some(error) = inner {
        text = error.to_string();
        inner = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_scheme() {
        assert_eq!(Client::new("127.0.0.1:8080/").unwrap().base(), "http://127.0.0.1:8080");
        assert_eq!(Client::new("https://host/lethe/").unwrap().base(), "https://host/lethe");
        assert_eq!(Client::new("http://").unwrap_err().exit_code(), 2);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = Client::new(&address.to_string()).unwrap().get("/version").await.unwrap_err();
        assert_eq!(error.exit_code(), 3);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}
