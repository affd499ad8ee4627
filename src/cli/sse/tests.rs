use super::*;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn parse(chunks: &[&str]) -> Vec<(String, String, String)> {
    let (mut parser, mut frames) = (Parser::default(), VecDeque::new());
    for chunk in chunks {
        parser.feed(chunk.as_bytes(), &mut frames).unwrap();
    }
    frames.into_iter().map(|frame| (frame.event, frame.data, frame.last_id)).collect()
}

fn event(event: &str, data: &str, id: &str) -> (String, String, String) {
    (event.into(), data.into(), id.into())
}

#[test]
fn events_are_read_whatever_the_line_ends_and_cuts() {
    let expected = [event("epoch", "{\"a\":1}", "5"), event("message", "x\ny", "5")];
    for line_end in ["\n", "\r\n", "\r"] {
        let text =
            "\u{feff}: ok\nretry: 2000\n\nid: 5\nevent: epoch\ndata: {\"a\":1}\n\ndata:x\ndata: y\n\n\n"
                .replace('\n', line_end);
        assert_eq!(parse(&[&text]), expected, "{line_end:?}");
        let pieces: Vec<String> = text.chars().map(String::from).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        assert_eq!(parse(&pieces), expected, "{line_end:?} byte by byte");
    }
}

#[test]
fn an_event_without_an_id_keeps_the_cursor() {
    let frames = parse(&["id: 7\nevent: epoch\ndata: 1\n\nevent: batch\ndata: 2\n\nevent: empty\n\n"]);
    assert_eq!(frames, [event("epoch", "1", "7"), event("batch", "2", "7")]);
}

#[test]
fn an_endless_event_is_given_up() {
    let (mut parser, mut frames) = (Parser::default(), VecDeque::new());
    let chunk = vec![b'x'; 1 << 20];
    assert!((0..8).any(|_| parser.feed(&chunk, &mut frames).is_err()));
}

/// Answers each connection with the next of `answers`, then closes it; keeps the requests' heads.
async fn serve(answers: Vec<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/runs/1/events", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            kept.lock().unwrap().push(String::from_utf8(head).unwrap());
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    });
    (url, heads)
}

fn stream(url: String) -> EventStream {
    let patience = Patience {
        retry: Duration::from_millis(1),
        silence: Duration::from_secs(20),
        outage: Duration::from_millis(200),
    };
    EventStream::new(super::super::client::http_client(&url).unwrap(), url, patience)
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_broke() {
    // cut within event 3: its number is no cursor yet
    let first = concat!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
        "retry: 1\n: ok\n\nid: 1\nevent: status\ndata: a\n\nid: 2\nevent: epoch\ndata: b\n\n",
        "event: batch\ndata: c\n\nid: 3\nevent: epoch\ndata: lost bec"
    );
    let second = concat!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
        "id: 3\nevent: epoch\ndata: d\n\nid: 4\nevent: done\ndata: e\n\n"
    );
    let unavailable = "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let over = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
    let (url, heads) = serve(vec![first, unavailable, second, over]).await;
    let mut stream = stream(url);

    let mut seen = String::new();
    while let Some(frame) = stream.next().await.unwrap() {
        seen.push_str(&frame.data);
    }
    assert_eq!(seen, "abcde");

    let heads = heads.lock().unwrap();
    let cursors: Vec<Option<&str>> =
        heads.iter().map(|head| head.lines().find_map(|line| line.strip_prefix("last-event-id: "))).collect();
    assert_eq!(cursors, [None, Some("2"), Some("2"), Some("4")], "{heads:?}");
}

#[tokio::test]
async fn a_refused_stream_says_why() {
    let answer = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"detail\":\"run `1` does not exist\"}";
    let (url, _) = serve(vec![answer]).await;
    let error = stream(url).next().await.unwrap_err();
    assert_eq!((error.exit_code(), error.to_string().as_str()), (2, "run `1` does not exist"));
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up() {
    let (url, _) = serve(vec![]).await;
    let error = stream(url).next().await.unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
}
