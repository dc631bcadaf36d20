//! Users who never stop, while things change under them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use http::Request;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tollgate_tests::{Answer, BoxBody, Client, Version, eventually};

use crate::{stage::Stage, user::User, versions::Versions};

/// What one user does over and over: the request of a turn, and whether its answer is right.
type Habit = Box<dyn Fn(&User, usize) -> Request<BoxBody> + Send + Sync>;

/// Four users at once. Each request waits for the answer to the one before; all of them have to succeed.
pub struct Traffic {
    shared: Arc<Shared>,
    users: JoinSet<()>,
}

struct Shared {
    /// Answers and losses, by user.
    turns: [AtomicUsize; 4],
    is_over: AtomicBool,
    failures: Mutex<Vec<String>>,
}

impl Traffic {
    /// One asks who it is, one for versions, one sends messages, and one waits for news again and again: over HTTP/1.1 and
    /// HTTP/2, over kept and over new connections.
    pub async fn start(stage: &Stage) -> Self {
        let shared = Arc::new(Shared {
            turns: [const { AtomicUsize::new(0) }; 4],
            is_over: AtomicBool::new(false),
            failures: Mutex::default(),
        });
        let mut speaker = stage.user(Version::Http1, "speaker").await;
        let room = speaker.create_room(&json!({ "preset": "public_chat" })).await;
        let mut listener = stage.user(Version::Http2, "listener").await;
        listener.join(&room).await;
        let get = |target: &'static str| -> Habit { Box::new(move |user, _| user.request("GET", target, &Value::Null)) };
        let speak: Habit = Box::new(move |user, turn| {
            let target = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/turn-{turn}");
            user.request("PUT", &target, &json!({ "msgtype": "m.text", "body": format!("turn {turn}") }))
        });
        let habits = [
            (Version::Http1, true, stage.user(Version::Http1, "whoami").await, get("/_matrix/client/v3/account/whoami")),
            (Version::Http2, true, stage.user(Version::Http2, "versions").await, get(Versions::PATH)),
            (Version::Http1, false, speaker, speak),
            (Version::Http2, true, listener, get("/_matrix/client/v3/sync?timeout=100")),
        ];
        let address = stage.tollgate.address();
        let mut users = JoinSet::new();
        for (number, (version, keeps_connection, user, habit)) in habits.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            users.spawn(async move {
                let mut client = Client::connect(version, address).await;
                for turn in 0.. {
                    if shared.is_over.load(SeqCst) {
                        break;
                    }
                    let request = habit(&user, turn);
                    let target = request.uri().clone();
                    let failure = match client.try_ask(request).await {
                        Ok(answer) => what_is_wrong(&answer, target.path()),
                        Err(error) => Some(format!("no answer: {error:?}")),
                    };
                    let is_lost = failure.is_some();
                    if let Some(failure) = failure {
                        shared.failures.lock().push(format!("{target}, turn {turn}: {failure}"));
                    }
                    if is_lost || !keeps_connection {
                        client = Client::connect(version, address).await;
                    }
                    shared.turns[number].fetch_add(1, SeqCst);
                }
            });
        }
        let traffic = Self { shared, users };
        traffic.goes_on().await;
        traffic
    }

    /// Waits until each user has had three more answers: the last of them was asked for after this call.
    pub async fn goes_on(&self) {
        let wanted: Vec<_> = self.shared.turns.iter().map(|turns| turns.load(SeqCst) + 3).collect();
        eventually(async || self.shared.turns.iter().zip(&wanted).all(|(turns, wanted)| turns.load(SeqCst) >= *wanted)).await;
    }

    /// Lets every user end its turn; panics if anything was wrong, else tells how many requests there were.
    pub async fn stop_unharmed(mut self) -> usize {
        self.shared.is_over.store(true, SeqCst);
        while let Some(ended) = self.users.join_next().await {
            ended.expect("a user's client panicked");
        }
        let requests = self.shared.turns.iter().map(|turns| turns.load(SeqCst)).sum();
        let failures = self.shared.failures.lock();
        assert!(failures.is_empty(), "{requests} requests, of which failed: {failures:#?}");
        requests
    }
}

/// Why an answer is none that a client could use.
fn what_is_wrong(answer: &Answer, path: &str) -> Option<String> {
    let page = answer.json();
    let is_right = answer.status == 200
        && match path.rsplit('/').next() {
            Some("whoami") => page["user_id"].is_string(),
            Some("versions") => page["versions"].as_array().is_some_and(|versions| !versions.is_empty()),
            Some("sync") => page["next_batch"].is_string(),
            _ => page["event_id"].is_string(),
        };
    (!is_right).then(|| format!("{}: {}", answer.status, answer.text()))
}
