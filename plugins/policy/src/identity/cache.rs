//! What the homeserver said, kept for a while.
//!
//! Keys are hashes of homeserver and token, so the store holds no credentials. An answer carries the seals of its token and of its
//! user as they were when the homeserver was asked. To forget, a seal is replaced: answers with another one are not believed, also
//! those that another flow is just about to keep.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tollgate_sdk::{
    kv::{Bucket, Error},
    log,
};

use super::{settings::Settings, token::Token};

/// The cache for one homeserver.
#[derive(Debug)]
pub(super) struct Cache<'a> {
    homeserver: &'a str,
    settings: &'a Settings,
}

/// What the homeserver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kept {
    /// The token is this user's.
    Known(String),
    /// The token is nobody's.
    Unknown,
}

/// How it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// None: the homeserver does not know the token.
    user: Option<String>,
    /// Of the token.
    token_seal: Option<String>,
    /// Of the user.
    user_seal: Option<String>,
}

/// Seals before the homeserver was asked.
#[derive(Debug)]
pub(super) struct Before {
    token_seal: Option<String>,
    /// Replaced whenever one of a user is.
    any_seal: Option<String>,
}

const ANSWERS: &str = "whoami";
const SEALS: &str = "whoami.seals";
/// Notes of the cache's own.
const NOTES: &str = "whoami.notes";
const ANY: &str = "any";
const FULL: &str = "full";
/// How often it is told that the store is full, at most.
const FULL_AGAIN: Duration = Duration::from_hours(1);
/// A seal must outlive all answers from before it, with the time that it took to ask.
const MARGIN: Duration = Duration::from_mins(1);

impl<'a> Cache<'a> {
    pub(super) const fn new(homeserver: &'a str, settings: &'a Settings) -> Self {
        Self { homeserver, settings }
    }

    /// What is known about a token; none: nothing.
    pub(super) fn get(&self, token: &Token) -> Option<Kept> {
        if !self.is_used() {
            return None;
        }
        let entry: Entry = read(Bucket::new(ANSWERS).get_json(&self.answer_key(token)))??;
        let is_current = entry.token_seal == self.seal(&self.token_key(token))
            && entry.user.as_ref().is_none_or(|user| entry.user_seal == self.seal(&self.user_key(user)));
        is_current.then(|| entry.user.map_or(Kept::Unknown, Kept::Known))
    }

    /// To be called before the homeserver is asked.
    pub(super) fn before(&self, token: &Token) -> Before {
        Before { token_seal: self.seal(&self.token_key(token)), any_seal: self.seal(&self.hash(&[ANY])) }
    }

    /// Keeps an answer, unless it may be outdated by now.
    pub(super) fn keep(&self, token: &Token, user: Option<&str>, before: Before) {
        let ttl = if user.is_some() { self.settings.known } else { self.settings.unknown };
        let Some(ttl) = ttl else { return };
        let user_seal = user.and_then(|user| self.seal(&self.user_key(user)));
        if self.seal(&self.hash(&[ANY])) != before.any_seal {
            return;
        }
        let entry = Entry { user: user.map(str::to_owned), token_seal: before.token_seal, user_seal };
        let _ = read(Bucket::new(NOTES).insert(FULL, "0", None));
        match Bucket::new(ANSWERS).set_json(&self.answer_key(token), &entry, ttl) {
            Err(Error::TooLarge(_)) => tell_full(),
            other => drop(read(other)),
        }
    }

    /// Forgets one answer: the homeserver has just refused the token.
    pub(super) fn forget(&self, token: &Token) {
        let _ = read(Bucket::new(ANSWERS).delete(&self.answer_key(token)));
    }

    /// Forgets a token, whoever acts with it.
    pub(super) fn forget_token(&self, token: &Token) {
        self.forget(token);
        self.replace_seal(&self.token_key(token));
    }

    /// Forgets all tokens of a user.
    pub(super) fn forget_user(&self, user: &str) {
        self.replace_seal(&self.user_key(user));
        self.replace_seal(&self.hash(&[ANY]));
    }

    const fn is_used(&self) -> bool {
        self.settings.known.is_some() || self.settings.unknown.is_some()
    }

    fn seal(&self, key: &str) -> Option<String> {
        if self.is_used() { read(Bucket::new(SEALS).get_str(key)).flatten() } else { None }
    }

    fn replace_seal(&self, key: &str) {
        let Some(longest) = self.settings.known.max(self.settings.unknown) else { return };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ttl = longest.saturating_add(self.settings.timeout).saturating_add(MARGIN);
        match Bucket::new(SEALS).set(key, now.as_nanos().to_string(), ttl) {
            Err(Error::TooLarge(_)) => tell_full(),
            other => drop(read(other)),
        }
    }

    fn answer_key(&self, token: &Token) -> String {
        self.hash(&["answer", &token.secret, token.acts_as.as_deref().unwrap_or_default()])
    }

    fn token_key(&self, token: &Token) -> String {
        self.hash(&["token", &token.secret])
    }

    fn user_key(&self, user: &str) -> String {
        self.hash(&["user", user])
    }

    /// In hexadecimal digits. Homeservers don't share: behind one addon there may be two.
    fn hash(&self, parts: &[&str]) -> String {
        use std::fmt::Write as _;

        let mut hash = Sha256::new();
        for part in std::iter::once(&self.homeserver).chain(parts) {
            // With lengths, so that nothing can move from one part to the next.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().fold(String::with_capacity(64), |mut digits, byte| {
            // Writing to a string does not fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
    }
}

/// None where the store failed: then there is no cache.
fn read<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        // Told when the homeserver is asked, once for all of it.
        Err(Error::Denied) => None,
        Err(error) => {
            log::warn!(error = error.to_string().as_str(); "the cache of identities cannot be used");
            None
        }
    }
}

/// Once, and again after an hour at the earliest: instances know nothing of each other but by the store.
fn tell_full() {
    if matches!(Bucket::new(NOTES).swap(FULL, Some(b"0"), Some(b"1"), FULL_AGAIN), Ok(true)) {
        log::warn!("the store is full: identities are asked for each time; kv_bytes and kv_keys of the addon are its limits");
    }
}

/// Whether the configuration lets the addon keep anything.
pub(super) fn is_granted() -> bool {
    !matches!(Bucket::new(NOTES).get(FULL), Err(Error::Denied))
}
