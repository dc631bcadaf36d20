//! A store on a Redis server: for several proxies that share one state.
//!
//! What one addon keeps is a hash of its entries, with two sorted sets beside it: the order of keys, and when they expire. Scripts
//! change all three and the sum of bytes at one time, so quotas are exact whoever writes, a batch is one request, and a scan
//! has an order. Requests of all flows go over one connection without waiting for each other.

mod link;
mod reply;
#[cfg(test)]
pub(super) mod tests;
mod trouble;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use ::redis::{Script, ScriptInvocation};
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;

use super::{Answer, Command, MAX_BATCH_BYTES, Op, Page, Scan, Space, Store, StoreError, Usage, check, scan, shelf::STEP};
use crate::upstream::Dial;
use link::Link;

/// Keys and values on a server.
pub struct Redis {
    inner: Arc<Inner>,
}

/// Where the server is, and how it is spoken to.
#[derive(Clone)]
pub struct RedisSettings {
    /// Reaches the server, with TLS if it is told so.
    pub dial: Dial,
    /// `HOST:PORT/DB` for people.
    pub shown: Box<str>,
    /// Which of the server's databases. Default 0.
    pub database: i64,
    /// Who the proxy is. Default the server's own default user.
    pub user: Option<Box<str>>,
    /// The password, if the server wants one.
    pub password: Option<Box<str>>,
    /// How long the server may take for anything. Default 2 s.
    pub timeout: Duration,
}

struct Inner {
    link: Arc<Link>,
    apply: Script,
    scan: Script,
    usages: Mutex<HashMap<Arc<str>, Usage>>,
}

/// Keys of the server begin so.
const PREFIX: &str = "tollgate";
/// How often what has expired is removed of addons that write nothing.
const SWEEP: Duration = Duration::from_secs(10);
/// How many expired entries go then.
const SWEPT: usize = 1_000;
/// Ages beyond this many microseconds are for ever: numbers of scripts are exact up to 2^53, in the year 2255.
const LONGEST: u128 = 1 << 52;

impl Redis {
    /// Begins to connect, again and again until it is dropped.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn start(settings: RedisSettings) -> Self {
        let apply = Script::new(include_str!("redis/apply.lua"));
        let scan = Script::new(include_str!("redis/scan.lua"));
        let inner = Arc::new(Inner { link: Link::start(settings), apply, scan, usages: Mutex::default() });
        let weak = Arc::downgrade(&inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(inner) = weak.upgrade() else { return };
                inner.sweep().await;
            }
        });
        Self { inner }
    }

    /// Waits until the first try to connect has ended: with success, or with trouble.
    pub async fn tried(&self) {
        self.inner.link.tried().await;
    }
}

impl Inner {
    /// Runs the script for an addon, and keeps what it says about its usage.
    async fn run(&self, space: &Space, commands: &[Command], sweep: usize) -> Result<Vec<Answer>, StoreError> {
        let writes = commands.is_empty() || commands.iter().any(|(_, op)| op.writes());
        let mut call = self.apply.prepare_invoke();
        for part in ["entries", "order", "times", "scratch"] {
            call.key(key(&space.addon, part));
        }
        call.arg(space.quota.bytes).arg(space.quota.keys).arg(MAX_BATCH_BYTES).arg(sweep).arg(u8::from(writes));
        for (place, op) in commands {
            call.arg(format!("{}/{}", place.bucket, place.key));
            operation(&mut call, op);
        }
        let answer = self.link.invoke(&call).await?;
        let (usage, answers) = reply::answers(answer, commands)?;
        self.usages.lock().insert(Arc::clone(&space.addon), usage);
        Ok(answers)
    }

    async fn sweep(&self) {
        let addons: Vec<Arc<str>> = self.usages.lock().keys().cloned().collect();
        for addon in addons {
            let space = Space { addon, quota: super::Quota::default() };
            if let Err(error) = self.run(&space, &[], SWEPT).await {
                tracing::debug!(%error, "expired entries stay for a while");
                return;
            }
        }
    }
}

/// One of an addon's keys. All are in one slot of a cluster.
fn key(addon: &str, part: &str) -> String {
    format!("{PREFIX}:{{{addon}}}:{part}")
}

/// What the script is told after the field.
fn operation(call: &mut ScriptInvocation<'_>, op: &Op) {
    let age = |ttl: &Option<Duration>| ttl.map(|ttl| ttl.as_micros()).filter(|age| *age < LONGEST).unwrap_or(0).to_string();
    let none: &[u8] = b"";
    match op {
        Op::Get => call.arg("G").arg(none).arg(none).arg("").arg("0"),
        Op::Set(value, ttl) => call.arg("S").arg(&**value).arg(none).arg("").arg(age(ttl)),
        Op::Insert(value, ttl) => call.arg("I").arg(&**value).arg(none).arg("").arg(age(ttl)),
        Op::Swap { expected, value, ttl } => {
            let flags = match (expected, value) {
                (Some(_), Some(_)) => "ev",
                (Some(_), None) => "e",
                (None, Some(_)) => "v",
                (None, None) => "",
            };
            let bytes = |value: &Option<bytes::Bytes>| value.clone().unwrap_or_default();
            call.arg("W").arg(&*bytes(value)).arg(&*bytes(expected)).arg(flags).arg(age(ttl))
        }
        Op::Delete => call.arg("D").arg(none).arg(none).arg("").arg("0"),
        Op::Increment(by, ttl) => call.arg("N").arg(by.to_string()).arg(none).arg("").arg(age(ttl)),
    };
}

impl Store for Redis {
    fn apply(&self, space: &Space, commands: Vec<Command>) -> BoxFuture<'static, Result<Vec<Answer>, StoreError>> {
        let (inner, space) = (Arc::clone(&self.inner), space.clone());
        async move {
            check(&commands)?;
            inner.run(&space, &commands, STEP).await
        }
        .boxed()
    }

    fn scan(&self, space: &Space, looked: Scan) -> BoxFuture<'static, Result<Page, StoreError>> {
        let (inner, addon) = (Arc::clone(&self.inner), Arc::clone(&space.addon));
        async move {
            let mut call = inner.scan.prepare_invoke();
            call.key(key(&addon, "entries")).key(key(&addon, "order"));
            call.arg(format!("{}/", looked.bucket)).arg(&*looked.prefix).arg(looked.after.as_deref().unwrap_or_default());
            call.arg(looked.limit).arg(scan::PAGE_BYTES).arg(scan::PASSED_OVER);
            reply::page(inner.link.invoke(&call).await?)
        }
        .boxed()
    }

    /// As this proxy last heard; nothing before.
    fn usage(&self, addon: &str) -> Option<Usage> {
        self.inner.usages.lock().get(addon).copied()
    }

    fn trouble(&self) -> Option<String> {
        self.inner.link.trouble()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisSettings {
    /// Without the password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RedisSettings({})", self.shown)
    }
}
