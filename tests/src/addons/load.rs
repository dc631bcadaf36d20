//! Clients that never stop asking.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::{
    client::{Answer, Client, Version},
    patience::eventually,
};

/// Requests one after the other, over several connections at once, each answer looked at.
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// What came of a load.
#[derive(Debug)]
pub struct Tally {
    /// Answers, lost ones included.
    pub requests: usize,
    /// What was wrong with an answer, or why there was none; the first hundred.
    pub failures: Vec<String>,
}

struct Shared {
    requests: AtomicUsize,
    is_over: AtomicBool,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Clients that ask for this target until they are stopped. `check` tells what is wrong with an answer.
    #[must_use]
    pub fn start(
        address: SocketAddr,
        clients: usize,
        target: &'static str,
        check: impl Fn(&Answer) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let shared =
            Arc::new(Shared { requests: AtomicUsize::new(0), is_over: AtomicBool::new(false), failures: Mutex::default() });
        let check = Arc::new(check);
        let mut set = JoinSet::new();
        for number in 0..clients {
            let (shared, check) = (Arc::clone(&shared), Arc::clone(&check));
            let version = if number % 2 == 0 { Version::Http1 } else { Version::Http2 };
            set.spawn(async move {
                let mut client = Client::connect(version, address).await;
                while !shared.is_over.load(SeqCst) {
                    let verdict = match client.try_ask(http::Request::get(target).body(crate::empty()).expect("a request")).await
                    {
                        Ok(answer) => check(&answer),
                        Err(error) => {
                            client = Client::connect(version, address).await;
                            Err(format!("no answer: {error:?}"))
                        }
                    };
                    shared.requests.fetch_add(1, SeqCst);
                    if let Err(failure) = verdict {
                        let mut failures = shared.failures.lock();
                        if failures.len() < 100 {
                            failures.push(failure);
                        }
                    }
                }
            });
        }
        Self { shared, clients: set }
    }

    /// A load whose answers must have status 200.
    #[must_use]
    pub fn of_ok(address: SocketAddr, clients: usize, target: &'static str) -> Self {
        Self::start(address, clients, target, |answer| {
            if answer.status == 200 { Ok(()) } else { Err(format!("{}: {}", answer.status, answer.text())) }
        })
    }

    /// Answers so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(SeqCst)
    }

    /// Waits until so many more answers have come.
    pub async fn more(&self, count: usize) {
        let wanted = self.requests() + count;
        eventually(async || self.requests() >= wanted).await;
    }

    /// Lets every client end its request, and tells what came of all.
    pub async fn stop(mut self) -> Tally {
        self.shared.is_over.store(true, SeqCst);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client of the load panicked");
        }
        Tally { requests: self.requests(), failures: std::mem::take(&mut self.shared.failures.lock()) }
    }

    /// The same, and panics if anything was wrong.
    pub async fn stop_unharmed(self) -> Tally {
        let tally = self.stop().await;
        assert!(tally.failures.is_empty(), "{} requests, of which failed: {:#?}", tally.requests, tally.failures);
        tally
    }
}
