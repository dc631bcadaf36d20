//! Under which keys responses are kept.
//!
//! The target names an index, and what requests for it differ in names the variant: who asks, the fields that Vary names, and
//! those that many upstreams look at without telling. All keys are hashes: neither a URL nor a credential gets into the store.

use sha2::{Digest as _, Sha256};
use tollgate_sdk::Header;

use crate::{
    fields,
    options::{Mode, Settings},
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: String,
    /// In lower case, without the port that goes without saying.
    pub(crate) authority: String,
    /// As sent: the order of the query counts.
    pub(crate) path_and_query: String,
    pub(crate) upstream: String,
}

/// For whom a response is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Nobody in particular.
    Nobody,
    /// Who has the credentials of this hash.
    User([u8; 32]),
}

/// Fields whose values are lists without order, apart from weights.
const UNORDERED: [&str; 1] = ["accept-encoding"];

/// Of the layout of keys and values: what another version wrote is not found.
const FORM: &str = "1";

impl Target {
    pub(crate) fn new(scheme: &str, authority: &str, path_and_query: &str, upstream: &str) -> Self {
        let authority = authority.to_ascii_lowercase();
        let port = if scheme == "https" { ":443" } else { ":80" };
        Self {
            scheme: scheme.to_owned(),
            authority: authority.strip_suffix(port).unwrap_or(&authority).to_owned(),
            path_and_query: path_and_query.to_owned(),
            upstream: upstream.to_owned(),
        }
    }

    /// The key of its index. Options that say who is who are part of it.
    pub(crate) fn key(&self, settings: &Settings) -> String {
        let mode = match settings.mode {
            Mode::Shared => "shared",
            Mode::Private => "private",
        };
        let mut hash = Hash::default();
        for part in [FORM, mode, &self.scheme, &self.authority, &self.path_and_query, &self.upstream] {
            hash.part(part.as_bytes());
        }
        for names in [&settings.credentials, &settings.keyed] {
            hash.names(names);
        }
        hash.hex()
    }
}

/// Whether the request has credentials.
pub(crate) fn has_credentials(headers: &[Header], settings: &Settings) -> bool {
    settings.credentials.iter().any(|name| fields::has(headers, name))
}

/// Who has these credentials; the secret keeps who sees the hash from guessing them.
pub(crate) fn user(headers: &[Header], settings: &Settings, secret: &[u8]) -> Asker {
    let mut hash = Hash::default();
    hash.part(secret);
    for name in &settings.credentials {
        hash.values(name, headers, <[u8]>::to_vec);
    }
    Asker::User(hash.bytes())
}

/// The key of the response to requests with these fields.
pub(crate) fn variant(epoch: &str, asker: &Asker, headers: &[Header], settings: &Settings, vary: &[String]) -> String {
    let mut hash = Hash::default();
    hash.part(epoch.as_bytes());
    match asker {
        Asker::Nobody => hash.part(b""),
        Asker::User(user) => hash.part(user),
    }
    for name in &settings.keyed {
        hash.values(name, headers, |value| if name == "forwarded" { without_addresses(value) } else { value.to_vec() });
    }
    hash.names(vary);
    for name in vary {
        let is_unordered = UNORDERED.contains(&name.as_str());
        hash.values(name, headers, |value| if is_unordered { sorted(value) } else { value.to_vec() });
    }
    hash.hex()
}

/// Whether nobody knows what one of the fields says that tell responses apart.
pub(crate) fn is_withheld(headers: &[Header], settings: &Settings, vary: &[String]) -> bool {
    let mut names = settings.credentials.iter().chain(&settings.keyed).chain(vary);
    names.any(|name| fields::values(headers, name).any(fields::is_withheld))
}

/// Forwarded (RFC 7239) without what is another one for each client.
fn without_addresses(value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let is_address = |pair: &&str| ["for=", "by="].iter().any(|start| pair.trim().starts_with(start));
    let elements = fields::items(&text).map(|element| {
        let pairs: Vec<&str> = element.split(';').filter(|pair| !is_address(pair)).collect();
        pairs.join(";")
    });
    elements.collect::<Vec<_>>().join(",").into_bytes()
}

fn sorted(value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let mut items: Vec<&str> = fields::items(&text).collect();
    items.sort_unstable();
    items.join(",").into_bytes()
}

/// Of parts, each with its length, so that no two lists of parts look alike.
#[derive(Default)]
struct Hash(Sha256);

impl Hash {
    fn part(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    fn names(&mut self, names: &[String]) {
        self.part(names.join(",").as_bytes());
    }

    /// The values of a field, as many as there are.
    fn values(&mut self, name: &str, headers: &[Header], read: impl Fn(&[u8]) -> Vec<u8>) {
        let values: Vec<Vec<u8>> = fields::values(headers, name).map(read).collect();
        self.0.update((values.len() as u64).to_be_bytes());
        for value in values {
            self.part(&value);
        }
    }

    fn bytes(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    fn hex(self) -> String {
        hex(&self.bytes())
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests;
