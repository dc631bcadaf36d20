//! What the homeserver said, kept for a while.
//!
//! Keys are hashes of homeserver and token, so the store holds no credentials. An answer carries the seals of its token and of its
//! user as they were when the homeserver was asked. To forget, a seal is replaced: answers with another one are not believed, also
//! those that another flow is just about to keep. Where there is no room for a seal, all answers are forgotten together: they carry
//! the epoch, too, and to delete it takes no room.
//!
//! Tokens that the homeserver refused have a fixed number of places, so that made-up ones can't fill the store.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tollgate_sdk::{
    kv::{Bucket, Error},
    log,
};

use super::{settings::Settings, token::Token, whoami::Refusal};

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
    /// It does not take the token.
    Refused(Refusal),
}

/// How it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    user: String,
    epoch: String,
    /// Of the token.
    token_seal: Option<String>,
    /// Of the user.
    user_seal: Option<String>,
}

/// How it is kept that a token is refused.
#[derive(Debug, Serialize, Deserialize)]
struct Negative {
    /// Of the token: others may have had this place before.
    key: String,
    refusal: Refusal,
    epoch: String,
    token_seal: Option<String>,
}

/// Seals before the homeserver was asked.
#[derive(Debug)]
pub(super) struct Before {
    epoch: String,
    token_seal: Option<String>,
    /// Replaced whenever one of a user is.
    any_seal: Option<String>,
}

const ANSWERS: &str = "whoami";
const REFUSALS: &str = "whoami.refused";
/// Hexadecimal digits of a token's hash that are its place among the refused ones: 4,096 places, some 2 MiB.
const PLACE: usize = 3;
const SEALS: &str = "whoami.seals";
/// Notes of the cache's own.
const NOTES: &str = "whoami.notes";
const ANY: &str = "any";
const EPOCH: &str = "epoch";
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
        let key = self.answer_key(token);
        self.known(&key, token).or_else(|| self.refused(&key, token))
    }

    fn known(&self, key: &str, token: &Token) -> Option<Kept> {
        let Entry { user, epoch, token_seal, user_seal } = read(Bucket::new(ANSWERS).get_json(key))??;
        let is_current =
            self.epoch()? == epoch && token_seal == seal(&self.token_key(token))? && user_seal == seal(&self.user_key(&user))?;
        is_current.then_some(Kept::Known(user))
    }

    fn refused(&self, key: &str, token: &Token) -> Option<Kept> {
        let entry: Negative = read(Bucket::new(REFUSALS).get_json(key.get(..PLACE)?))??;
        let is_current = entry.key == key && self.epoch()? == entry.epoch && entry.token_seal == seal(&self.token_key(token))?;
        is_current.then_some(Kept::Refused(entry.refusal))
    }

    /// To be called before the homeserver is asked. None: its answer can't be kept.
    pub(super) fn before(&self, token: &Token) -> Option<Before> {
        if !self.is_used() {
            return None;
        }
        let epoch = self.epoch().or_else(|| self.begin_epoch())?;
        Some(Before { epoch, token_seal: seal(&self.token_key(token))?, any_seal: seal(&self.hash(&[ANY]))? })
    }

    /// Keeps an answer, unless it may be outdated by now.
    pub(super) fn keep(&self, token: &Token, answer: &Kept, before: Option<Before>) {
        let ttl = match answer {
            Kept::Known(_) => self.settings.known,
            Kept::Refused(_) => self.settings.unknown,
        };
        let (Some(ttl), Some(Before { epoch, token_seal, any_seal })) = (ttl, before) else { return };
        if self.epoch().as_ref() != Some(&epoch) || seal(&self.hash(&[ANY])) != Some(any_seal) {
            return;
        }
        let _ = read(Bucket::new(NOTES).insert(FULL, "0", None));
        let key = self.answer_key(token);
        let outcome = match answer {
            Kept::Known(user) => {
                let Some(user_seal) = seal(&self.user_key(user)) else { return };
                let entry = Entry { user: user.clone(), epoch, token_seal, user_seal };
                Bucket::new(ANSWERS).set_json(&key, &entry, ttl)
            }
            Kept::Refused(refusal) => {
                let place = key.get(..PLACE).unwrap_or_default().to_owned();
                let entry = Negative { key, refusal: refusal.clone(), epoch, token_seal };
                Bucket::new(REFUSALS).set_json(&place, &entry, ttl)
            }
        };
        match outcome {
            Err(Error::TooLarge(_)) => tell_full(),
            other => drop(read(other)),
        }
    }

    /// Forgets one answer: the homeserver has just refused the token.
    pub(super) fn forget(&self, token: &Token) {
        if read(Bucket::new(ANSWERS).delete(&self.answer_key(token))).is_none() {
            self.forget_all();
        }
    }

    /// Forgets a token, whoever acts with it.
    pub(super) fn forget_token(&self, token: &Token) {
        self.forget(token);
        if !self.replace_seal(&self.token_key(token)) {
            self.forget_all();
        }
    }

    /// Forgets all tokens of a user.
    pub(super) fn forget_user(&self, user: &str) {
        if !self.replace_seal(&self.user_key(user)) || !self.replace_seal(&self.hash(&[ANY])) {
            self.forget_all();
        }
    }

    /// Forgets all answers of this homeserver, also those that are about to be kept.
    pub(super) fn forget_all(&self) {
        let _ = read(Bucket::new(NOTES).delete(&self.hash(&[EPOCH])));
    }

    const fn is_used(&self) -> bool {
        self.settings.known.is_some() || self.settings.unknown.is_some()
    }

    /// None: there is no answer to be believed.
    fn epoch(&self) -> Option<String> {
        read(Bucket::new(NOTES).get_str(&self.hash(&[EPOCH]))).flatten()
    }

    fn begin_epoch(&self) -> Option<String> {
        // If another flow was first, its epoch counts.
        match Bucket::new(NOTES).insert(&self.hash(&[EPOCH]), now(), None) {
            Err(Error::TooLarge(_)) => {
                log::warn!("the store has no room for identities; kv_bytes and kv_keys of the addon are its limits");
                None
            }
            other => read(other).and_then(|_| self.epoch()),
        }
    }

    /// Whether it was done, or needs not be done.
    fn replace_seal(&self, key: &str) -> bool {
        let Some(longest) = self.settings.known.max(self.settings.unknown) else { return true };
        let ttl = longest.saturating_add(self.settings.timeout).saturating_add(MARGIN);
        match Bucket::new(SEALS).set(key, now(), ttl) {
            Err(Error::TooLarge(_)) => {
                tell_full();
                false
            }
            other => read(other).is_some(),
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

/// None if it cannot be told; then no answer that depends on it is believed.
#[allow(clippy::option_option, reason = "no seal and no store are not the same")]
fn seal(key: &str) -> Option<Option<String>> {
    read(Bucket::new(SEALS).get_str(key))
}

/// What no two seals or epochs share.
fn now() -> String {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
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
