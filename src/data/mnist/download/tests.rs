//! Mirrors that work, lie, break off, stall or are not there.

use super::super::super::idx::tests::{encode, gzip};
use super::*;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a mirror does with a request.
pub(crate) enum Reply {
    Body(Vec<u8>),
    /// Announces the whole body and sends half of it.
    Half(Vec<u8>),
    Status(&'static str),
    /// Announces no length and never stops.
    Endless,
    /// Announces this many bytes.
    Announces(u64),
    /// Takes the request and says nothing.
    Silence,
}

/// A mirror on this machine, for as long as it is held.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers requests, one at a time, by their path.
    pub(crate) fn start(reply: impl Fn(&str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let path = requested_path(&mut stream);
                let reply = reply(&path);
                seen.lock().unwrap().push(path);
                if matches!(reply, Reply::Silence) {
                    silent.push(stream);
                } else {
                    // a client that has heard enough hangs up
                    let _ = answer(&mut stream, &reply);
                }
            }
        });
        Self { address, asked, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/files/", self.address)
    }

    /// Paths requested so far, below the mirror's address.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // wakes the thread from its wait for a connection
        drop(TcpStream::connect(self.address));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn requested_path(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    head.split(' ').nth(1).unwrap_or_default().trim_start_matches("/files/").to_owned()
}

fn answer(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<()> {
    let head = |len: u64| format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n");
    match reply {
        Reply::Body(body) => {
            stream.write_all(head(body.len() as u64).as_bytes())?;
            stream.write_all(body)
        }
        Reply::Half(body) => {
            stream.write_all(head(body.len() as u64).as_bytes())?;
            stream.write_all(&body[..body.len() / 2])
        }
        Reply::Status(status) => {
            write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        }
        Reply::Announces(len) => stream.write_all(head(*len).as_bytes()),
        Reply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[0x1f; 4096])?;
            }
        }
        Reply::Silence => Ok(()),
    }
}

/// A mirror that is switched off: no test can be given port 1 to listen on.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1/files/";

impl Mirrors {
    /// One mirror for everything.
    pub(in crate::data) fn test(url: &str) -> Self {
        Self { mnist: vec![url.to_owned()], qmnist: vec![url.to_owned()], https_only: false }
    }
}

pub(crate) fn carry_on(_: DownloadProgress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A small file, and a folder to download it to.
struct Case {
    dir: tempfile::TempDir,
    body: Vec<u8>,
    sha256: String,
    len: u64,
}

impl Case {
    fn new() -> Self {
        let plain = encode(8, &[5], &[1, 2, 3, 4, 5]);
        let sha256 = hex::encode(Sha256::digest(&plain));
        let dir = tempfile::tempdir().unwrap();
        Self { dir, body: gzip(&plain), sha256, len: plain.len() as u64 }
    }

    fn fetch(&self, mirrors: &[&str], progress: &mut Progress<'_>) -> Result<(), Failure> {
        let file = File { name: "labels", sha256: &self.sha256, len: self.len, origin: Origin::Mnist };
        let mnist = mirrors.iter().map(|&url| url.to_owned()).collect();
        let mirrors = Mirrors { mnist, ..Mirrors::test(NOBODY) };
        fetch(&[file], &mirrors, &self.target(), progress)
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("cache/mnist")
    }

    fn arrived(&self) -> bool {
        std::fs::read(self.target().join("labels.gz")).is_ok_and(|bytes| bytes == self.body)
    }

    /// A single mirror that answers so: what the user reads, after nothing has been left behind.
    fn fault(&self, reply: impl Fn(Vec<u8>) -> Reply + Send + 'static) -> String {
        let body = self.body.clone();
        let server = Server::start(move |_| reply(body.clone()));
        let failure = self.fetch(&[&server.url()], &mut carry_on).unwrap_err();
        assert!(!self.target().exists(), "something was written");
        match failure {
            Failure::Unreachable(text) => text.replace(&server.url(), "MIRROR/"),
            Failure::Data(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_file_arrives_whole_and_alone() {
    let case = Case::new();
    let body = case.body.clone();
    let server = Server::start(move |_| Reply::Body(body.clone()));
    let mut last = None;
    case.fetch(&[&server.url()], &mut |seen| {
        last = Some((seen.file.to_owned(), seen.done, seen.total));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(case.arrived());
    assert_eq!(std::fs::read_dir(case.target()).unwrap().count(), 1, "a temporary file was left");
    let len = case.body.len() as u64;
    assert_eq!(last, Some(("labels".to_owned(), len, Some(len))));
    assert_eq!(server.asked(), ["labels.gz"]);
}

#[test]
fn other_bytes_than_expected_are_refused() {
    let text = Case::new().fault(|_| Reply::Body(gzip(&encode(8, &[5], &[1, 2, 3, 4, 6]))));
    assert!(text.contains("MIRROR/labels.gz: its SHA-256 is "), "{text}");
    let text = Case::new().fault(|_| Reply::Body(b"<html>Sign in to the hotel's network</html>".to_vec()));
    assert!(text.contains("bytes"), "{text}");
}

#[test]
fn a_body_that_breaks_off_is_refused() {
    let text = Case::new().fault(Reply::Half);
    assert!(text.starts_with("`labels` could not be downloaded; MIRROR/labels.gz: "), "{text}");
    assert!(text.contains("body"), "{text}");
}

#[test]
fn a_body_without_end_is_cut_off() {
    let limit = File { name: "", sha256: "", len: Case::new().len, origin: Origin::Mnist }.max_stored_len();
    let text = Case::new().fault(|_| Reply::Endless);
    assert!(text.ends_with(&format!("sent more than {limit} bytes")), "{text}");
    let text = Case::new().fault(|_| Reply::Announces(u64::MAX / 2));
    assert!(text.ends_with(&format!("announced more than {limit} bytes")), "{text}");
}

#[test]
fn the_second_mirror_stands_in_for_the_first() {
    let case = Case::new();
    let body = case.body.clone();
    let first = Server::start(|_| Reply::Status("404 Not Found"));
    let second = Server::start(move |_| Reply::Body(body.clone()));
    case.fetch(&[NOBODY, &first.url(), &second.url()], &mut carry_on).unwrap();
    assert!(case.arrived());
    assert_eq!((first.asked().len(), second.asked().len()), (1, 1));
}

#[test]
fn every_mirror_that_failed_is_told_with_its_reason() {
    let case = Case::new();
    let broken = Server::start(|_| Reply::Status("503 Service Unavailable"));
    let Err(Failure::Unreachable(text)) = case.fetch(&[NOBODY, &broken.url()], &mut carry_on) else {
        panic!("something was downloaded");
    };
    assert!(text.contains(&format!("{NOBODY}labels.gz: ")), "{text}");
    assert!(text.to_lowercase().contains("refused"), "{text}");
    assert!(text.contains(&format!("{}labels.gz: answered 503 Service Unavailable", broken.url())), "{text}");
}

#[test]
fn a_download_stops_when_its_watcher_says_so() {
    let case = Case::new();
    let stalled = Server::start(|_| Reply::Silence);
    let unused = Server::start(|_| Reply::Status("404 Not Found"));
    let failure = case.fetch(&[&stalled.url(), &unused.url()], &mut |_| ControlFlow::Break(()));
    assert!(matches!(failure, Err(Failure::Data(DataError::Canceled))));
    assert_eq!(unused.asked(), [""; 0]);
    assert!(!case.target().exists());
}

#[test]
fn plain_http_is_not_good_enough_for_the_public_mirrors() {
    let public = Mirrors::public();
    assert!(public.https_only);
    let mut urls = public.mnist.iter().chain(&public.qmnist);
    assert!(urls.all(|url| url.starts_with("https://") && url.ends_with('/')));
    let case = Case::new();
    let server = Server::start(|_| Reply::Status("404 Not Found"));
    let file = File { name: "labels", sha256: &case.sha256, len: case.len, origin: Origin::Mnist };
    let mirrors = Mirrors { mnist: vec![server.url()], ..public };
    assert!(matches!(fetch(&[file], &mirrors, &case.target(), &mut carry_on), Err(Failure::Unreachable(_))));
    assert_eq!(server.asked(), [""; 0]);
}
