//! The connection to the server: one, watched, and made again when it is lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, ScriptInvocation, Value, aio::MultiplexedConnection};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    PREFIX, RedisSettings, StoreError,
    trouble::{Trouble, words},
};

/// A way to the server. Without one, every request fails at once.
pub(super) struct Link {
    shared: Arc<Shared>,
    _ended: DropGuard,
}

struct Shared {
    settings: RedisSettings,
    state: Mutex<State>,
    lost: Notify,
    /// Whether the first try has ended.
    is_tried: watch::Sender<bool>,
    /// When a request that failed was last logged.
    told: Mutex<Option<Instant>>,
}

enum State {
    Up(Line),
    Down(Trouble),
}

#[derive(Clone)]
struct Line {
    connection: MultiplexedConnection,
    number: u64,
    _driver: Arc<Driver>,
}

/// What moves bytes, as long as somebody has it.
struct Driver(AbortHandle);

/// How often the server is asked whether it still takes writes.
const PROBE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often requests that failed are logged.
const TOLD: Duration = Duration::from_secs(10);

impl Link {
    pub(super) fn start(settings: RedisSettings) -> Arc<Self> {
        let state = Mutex::new(State::Down(Trouble::NotYet));
        let (is_tried, told) = (watch::Sender::new(false), Mutex::default());
        let shared = Arc::new(Shared { settings, state, lost: Notify::new(), is_tried, told });
        let ended = CancellationToken::new();
        let tended = Arc::clone(&shared);
        tokio::spawn(ended.clone().run_until_cancelled_owned(async move { tended.tend().await }));
        Arc::new(Self { shared, _ended: ended.drop_guard() })
    }

    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.shared.state.lock() {
            State::Up(_) => None,
            State::Down(trouble) => Some(trouble.to_string()),
        }
    }

    /// Waits until the first try to connect has ended, however.
    pub(super) async fn tried(&self) {
        let _ = self.shared.is_tried.subscribe().wait_for(|is_tried| *is_tried).await;
    }

    /// Runs a script within the time limit.
    pub(super) async fn invoke(&self, call: &ScriptInvocation<'_>) -> Result<Value, StoreError> {
        let line = match &*self.shared.state.lock() {
            State::Up(line) => line.clone(),
            State::Down(trouble) => return Err(StoreError::Unavailable(trouble.to_string())),
        };
        let mut connection = line.connection.clone();
        let trouble = match timeout(self.shared.settings.timeout, call.invoke_async::<Value>(&mut connection)).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => {
                let trouble = Trouble::from(&error);
                self.shared.tell(&error);
                if !is_answer(&error) {
                    self.shared.lose(line.number, trouble);
                }
                trouble
            }
            Err(_) => {
                let trouble = self.shared.too_slow();
                self.shared.lose(line.number, trouble);
                trouble
            }
        };
        Err(StoreError::Unavailable(trouble.to_string()))
    }
}

impl Shared {
    /// Connects, watches, and begins again.
    async fn tend(&self) {
        let (mut pause, mut number) = (FIRST_PAUSE, 0);
        loop {
            number += 1;
            let connected = timeout(self.settings.timeout, self.connect(number));
            match connected.await.unwrap_or_else(|_| Err((self.too_slow(), String::new()))) {
                Ok(line) => {
                    *self.state.lock() = State::Up(line.clone());
                    self.is_tried.send_replace(true);
                    tracing::info!(state.server = &*self.settings.shown, "connected to the store of keys and values");
                    pause = FIRST_PAUSE;
                    let (why, words) = self.watch(line).await;
                    self.lose(number, why);
                    tracing::warn!(state.server = &*self.settings.shown, %why, words, "the store of keys and values is lost");
                }
                Err((why, words)) => {
                    let server = &*self.settings.shown;
                    tracing::warn!(state.server = server, %why, words, "the store of keys and values cannot be reached");
                    *self.state.lock() = State::Down(why);
                    self.is_tried.send_replace(true);
                }
            }
            sleep(pause.mul_f64(jitter())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects; or why not, and in whose words.
    async fn connect(&self, number: u64) -> Result<Line, (Trouble, String)> {
        let stream = self.settings.dial.connect().await.map_err(|error| ((&error).into(), words(&error)))?;
        let mut info = RedisConnectionInfo::default().set_db(self.settings.database).set_skip_set_lib_name();
        if let Some(user) = &self.settings.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.settings.password {
            info = info.set_password(password);
        }
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let connected = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (connection, driver) = connected.map_err(|error| ((&error).into(), words(&error)))?;
        let driver = Driver(tokio::spawn(driver).abort_handle());
        let line = Line { connection, number, _driver: Arc::new(driver) };
        self.probe(&line).await?;
        Ok(line)
    }

    /// Until the line is lost; why, and in whose words.
    async fn watch(&self, line: Line) -> (Trouble, String) {
        loop {
            tokio::select! {
                () = self.lost.notified() => {
                    match &*self.state.lock() {
                        State::Down(why) => return (*why, String::new()),
                        // Of the line before.
                        State::Up(_) => {}
                    }
                }
                () = sleep(PROBE) => match timeout(self.settings.timeout, self.probe(&line)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(why)) => return why,
                    Err(_) => return (self.too_slow(), String::new()),
                },
            }
        }
    }

    /// Whether the server takes writes: one that is loading, full or a replica does not.
    async fn probe(&self, line: &Line) -> Result<(), (Trouble, String)> {
        let mut connection = line.connection.clone();
        let mut command = ::redis::cmd("SET");
        command.arg(format!("{PREFIX}:probe")).arg("1").arg("PX").arg(60_000);
        match command.query_async::<Value>(&mut connection).await {
            Ok(Value::Okay) => Ok(()),
            Ok(other) => Err((Trouble::Nonsense, words(&format_args!("{other:?}")))),
            Err(error) => Err(((&error).into(), words(&error))),
        }
    }

    /// This line is of no use any more.
    fn lose(&self, number: u64, why: Trouble) {
        let mut state = self.state.lock();
        if matches!(&*state, State::Up(line) if line.number == number) {
            *state = State::Down(why);
            self.lost.notify_one();
        }
    }

    /// Logs in whose words a request failed, now and then.
    fn tell(&self, error: &RedisError) {
        let mut told = self.told.lock();
        if told.is_none_or(|told| told.elapsed() >= TOLD) {
            *told = Some(Instant::now());
            let server = &*self.settings.shown;
            tracing::warn!(state.server = server, words = words(error), "a request to the store of keys and values failed");
        }
    }

    fn too_slow(&self) -> Trouble {
        Trouble::Timeout(self.settings.timeout)
    }
}

/// Whether the server itself said so, on a connection that is as good as before.
fn is_answer(error: &RedisError) -> bool {
    error.code().is_some() && !error.is_io_error() && !error.is_unrecoverable_error()
}

/// From 0.5 to 1.5, so that proxies that lost a server at one time do not all come back at one time.
fn jitter() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    let random = u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or_default();
    0.5 + f64::from(random) / f64::from(u32::MAX)
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
