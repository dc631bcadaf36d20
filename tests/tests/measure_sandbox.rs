//! What hostile addons cost the others, in numbers. Not a test: nothing here fails, and it is run by `cargo xtask measure`.
#![cfg(test)]
#![allow(clippy::print_stdout, reason = "the numbers are what this is for")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tollgate_tests::{Client, RawClient, RawOrigin, Version, addons::Hosted};

const INNOCENT: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SPIN: &str = "GET /spin HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sorted times, and what they say.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, last) = (self.0.len(), self.0[self.0.len() - 1]);
        write!(out, "p50 {:?}, p90 {:?}, p99 {:?}, worst {last:?} of {count}", self.at(50), self.at(90), self.at(99))
    }
}

async fn time(client: &mut RawClient, request: &str) -> Duration {
    let start = Instant::now();
    client.send(request).await;
    let answer = client.response().await;
    let took = start.elapsed();
    let is_loop = request == SPIN;
    assert!(is_loop == answer.text().contains("addon spinning failed"), "{}: {}", answer.status, answer.text());
    took
}

/// An addon whose hook spins at `/spin`, and one that edits every other response.
async fn host(origin: &RawOrigin) -> Hosted {
    let spinning = json!({"rules": [{"on": "request", "filter": "~p ^/spin", "do": ["spin"]}]});
    let editing = json!({"rules": [{"on": "response", "filter": "! ~p ^/spin", "do": [{"set": ["X-Edited", "1"]}]}]});
    let host = Hosted::before(&origin.url())
        .scripted("editing", &editing)
        .scripted("spinning", &spinning)
        .set("addon.spinning.quarantine", "false")
        .start()
        .await;
    host.admin().frozen("editing").await;
    host.admin().frozen("spinning").await;
    host
}

#[tokio::test]
#[ignore = "measures"]
async fn time_to_stop_a_loop() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    let mut times = Vec::new();
    for _ in 0..200 {
        let mut client = RawClient::connect(host.address()).await;
        times.push(time(&mut client, SPIN).await);
    }
    println!("a loop is stopped, budget 50 ms, one at a time: {}", Times::of(times));
    let mut flows = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let address = host.address();
        flows.spawn(async move { time(&mut RawClient::connect(address).await, SPIN).await });
    }
    println!("16 loops at one time: {}", Times::of(flows.join_all().await));
}

/// Requests of four clients, one after the other on each connection, and with this between them.
async fn innocents(host: &Hosted, each: usize, pause: Duration) -> Vec<Duration> {
    let mut flows = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let address = host.address();
        flows.spawn(async move {
            let mut client = RawClient::connect(address).await;
            let mut times = Vec::with_capacity(each);
            for _ in 0..each {
                times.push(time(&mut client, INNOCENT).await);
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
            times
        });
    }
    flows.join_all().await.concat()
}

/// Loops that are nobody's guests: processes as far behind in the queue for the processor as hooks that take long. What they do
/// to flows is what the machine does, not the proxy.
struct Strangers(Vec<std::process::Child>);

impl Strangers {
    fn start(count: usize) -> Self {
        let start = |_| std::process::Command::new("nice").args(["-n", "10", "sh", "-c", "while :; do :; done"]).spawn();
        Self((0..count).map(start).collect::<Result<_, _>>().expect("a process"))
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        for stranger in &mut self.0 {
            let _ = stranger.kill();
            let _ = stranger.wait();
        }
    }
}

/// Four clients that take all they get, and four that leave the machine half of its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn innocent_flows_beside_loops() {
    let origin = RawOrigin::ok().await;
    let host = host(&origin).await;
    for (load, each, pause) in [("all they get", 500, Duration::ZERO), ("half of it", 250, Duration::from_millis(1))] {
        innocents(&host, each, pause).await;
        let (mut alone, mut beside, mut beside_strangers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..10 {
            alone.extend(innocents(&host, each, pause).await);
            let is_over = Arc::new(AtomicBool::new(false));
            let mut spinners = tokio::task::JoinSet::new();
            for _ in 0..2 {
                let (address, is_over) = (host.address(), Arc::clone(&is_over));
                spinners.spawn(async move {
                    while !is_over.load(Relaxed) {
                        Client::fetch(Version::Http1, address, "/spin").await;
                    }
                });
            }
            beside.extend(innocents(&host, each, pause).await);
            is_over.store(true, Relaxed);
            spinners.join_all().await;
            let strangers = Strangers::start(2);
            beside_strangers.extend(innocents(&host, each, pause).await);
            drop(strangers);
        }
        println!("innocent flows of clients that take {load}, alone: {}", Times::of(alone));
        println!("... beside two loops: {}", Times::of(beside));
        println!("... beside two other processes that loop: {}", Times::of(beside_strangers));
    }
}
