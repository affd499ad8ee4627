//! Somebody who asks again and again whether the server lives, as orchestrators do.

use crate::client::ask;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const EVERY: Duration = Duration::from_millis(50);

pub struct Watch {
    over: Arc<AtomicBool>,
    answers: watch::Receiver<usize>,
    watching: JoinHandle<Found>,
}

/// How long each answer took, and how many there were not.
#[derive(Default)]
pub struct Found {
    latencies: Vec<Duration>,
    pub n_failed: usize,
    /// The longest there was no answer.
    pub longest_silence: Duration,
}

impl Watch {
    pub fn begin(address: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (told, answers) = watch::channel(0);
        Self {
            over: Arc::clone(&over),
            answers,
            watching: tokio::spawn(ask_again_and_again(address, over, told)),
        }
    }

    /// Waits for so many more answers.
    pub async fn answered(&mut self, n_more: usize) {
        let wanted = *self.answers.borrow() + n_more;
        self.answers.wait_for(|n| *n >= wanted).await.unwrap();
    }

    pub async fn end(self) -> Found {
        self.over.store(true, Ordering::Relaxed);
        self.watching.await.unwrap()
    }
}

async fn ask_again_and_again(
    address: SocketAddr,
    over: Arc<AtomicBool>,
    told: watch::Sender<usize>,
) -> Found {
    let mut found = Found::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last_answer = Instant::now();
    while !over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let asked = Instant::now();
        match ask(address, "GET", "/livez", &Value::Null).await {
            Some((200, _)) => {
                found.latencies.push(asked.elapsed());
                found.longest_silence = found.longest_silence.max(last_answer.elapsed());
                last_answer = Instant::now();
                told.send_replace(found.latencies.len());
            }
            _ => found.n_failed += 1,
        }
    }
    found.longest_silence = found.longest_silence.max(last_answer.elapsed());
    found
}

impl Found {
    pub fn n_answered(&self) -> usize {
        self.latencies.len()
    }

    pub fn p99_ms(&mut self) -> f64 {
        self.latencies.sort_unstable();
        let at = (self.latencies.len() * 99).div_ceil(100).saturating_sub(1);
        self.latencies[at].as_secs_f64() * 1e3
    }
}
