//! Whose sightings count, and what posts are called in the store: hashes alone, keyed by a secret that was made up there.

use sha2::{Digest as _, Sha256};
use tollgate_sdk::{Error, Request, kv};

use crate::options::{Settings, Sharing};

/// Sightings that count together: of one user or of all, of one upstream, in one mode.
#[derive(Debug)]
pub(crate) struct Scope {
    key: [u8; 32],
}

/// What stands for an entry, a page or a post.
pub(crate) type Tag = u64;

/// The family of all timelines where they count as one.
const ALL: &str = "all";
const BUCKET: &str = "secret";
const SECRET: &str = "1";

impl Scope {
    /// The scope of a flow for this upstream; none where it has no token and nothing is shared.
    ///
    /// # Errors
    ///
    /// What the store says; no randomness to be had.
    pub(crate) fn of(settings: &Settings, upstream: &str, request: &Request) -> Result<Option<Self>, Failure> {
        let who = match settings.sharing {
            Sharing::Shared => None,
            Sharing::User => match token(request) {
                Some(token) => Some(token),
                None => return Ok(None),
            },
        };
        let mode = format!("{:?}", settings.mode);
        let (kind, who) = who.map_or(("shared", String::new()), |token| ("user", token));
        let key = digest(&secret()?, &["scope", &mode, upstream, kind, &who]);
        Ok(Some(Self { key }))
    }

    /// Key of a post in the store: 96 bits in hexadecimal digits.
    pub(crate) fn post(&self, settings: &Settings, family: &str, uri: &str) -> String {
        let family = if settings.is_across { ALL } else { family };
        let digest = digest(&self.key, &["post", family, uri]);
        digest.iter().take(12).fold(String::with_capacity(24), |hex, byte| hex + &format!("{byte:02x}"))
    }

    /// What stands for an entry, by its id.
    pub(crate) fn entry(&self, id: &str) -> Tag {
        tag(digest(&self.key, &["entry", id]))
    }

    /// One of 256, for what several scopes keep together.
    pub(crate) fn place(&self) -> u8 {
        let [place, ..] = digest(&self.key, &["place"]);
        place
    }

    /// What stands for a page: the cursor and all else that was asked for, but not the token.
    pub(crate) fn page(&self, path_and_query: &str) -> Tag {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let asked = query.split('&').filter(|pair| !pair.starts_with("access_token="));
        let parts: Vec<&str> = ["page", path].into_iter().chain(asked).collect();
        // Nothing is 0, which stands for no page.
        tag(digest(&self.key, &parts)).max(1)
    }
}

/// Why a flow could not be judged.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store has no room left for the addon.
    Full(String),
    /// Anything else: the failure policy decides.
    Other(Error),
}

impl From<kv::Error> for Failure {
    fn from(error: kv::Error) -> Self {
        match error {
            kv::Error::TooLarge(text) => Self::Full(text),
            error => Self::Other(error.into()),
        }
    }
}

/// The token as Mastodon looks for it: Authorization, then the query, then for streams the subprotocol.
pub(crate) fn token(request: &Request) -> Option<String> {
    let bearer = request.header_str("authorization").and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let query = || request.query().get("access_token").map(str::to_owned);
    let subprotocol = || {
        let is_stream = request.path().starts_with("/api/v1/streaming");
        // What the addon may not see would be the same for all users.
        is_stream.then(|| request.header_str("sec-websocket-protocol")).flatten().filter(|value| value != "[withheld]")
    };
    bearer.or_else(query).or_else(subprotocol).filter(|token| !token.is_empty())
}

/// The secret of this store: made by whoever comes first, and the same for all proxies that share the store.
fn secret() -> Result<[u8; 32], Failure> {
    let bucket = kv::Bucket::new(BUCKET);
    if let Some(secret) = bucket.get(SECRET)? {
        return known(&secret);
    }
    let mut made = [0; 32];
    getrandom::fill(&mut made).map_err(|error| Failure::Other(Error::new(format!("no randomness: {error}"))))?;
    if bucket.insert(SECRET, made, None)? {
        return Ok(made);
    }
    known(&bucket.get(SECRET)?.unwrap_or_default())
}

fn known(secret: &[u8]) -> Result<[u8; 32], Failure> {
    let size = secret.len();
    secret.try_into().map_err(|_| Failure::Other(Error::new(format!("the secret in the store has {size} bytes, not 32"))))
}

/// Keyed: the key is of fixed length and first, and no digest is used in full where another could be made of it.
fn digest(key: &[u8; 32], parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(key);
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn tag(digest: [u8; 32]) -> Tag {
    digest.iter().take(8).fold(0, |tag, byte| tag << 8 | Tag::from(*byte))
}
