//! The list as the store keeps it: the last good one, over restarts, for all flows and all proxies of one store.
//!
//! A list is in pieces, so that a flow reads the one that a name would be in; an entry names the list that is in force, and is
//! swapped when all pieces of the next one are there. The pieces of the one before stay until then, for flows that began with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_sdk::{
    Error,
    kv::{self, Bucket},
};

use crate::{hash, list::List, server_name::ServerName};

/// Lists that came from one place.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    bucket: Bucket,
    /// Of the place.
    prefix: String,
}

/// Which list is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pointer {
    id: i64,
    pub(crate) version: u64,
    pub(crate) domains: usize,
    pieces: u64,
    /// Of the document.
    pub(crate) hash: u64,
}

/// What the store has to say.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) pointer: Option<Pointer>,
    /// The same as it was kept.
    raw: Option<Vec<u8>>,
    pub(crate) turn: Turn,
}

/// Whether it is time to ask for the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is.
    Due,
    /// Somebody asks.
    Taken,
    /// Not yet.
    Later,
}

/// Domains in a piece, about.
const PIECE: usize = 64;
/// What the store takes at one time.
const MAX_PIECES: usize = 256;
const TAKEN: &[u8] = b"taken";
const PAGE: u32 = 1_000;

impl Kept {
    pub(crate) fn new(place: &str) -> Self {
        Self { bucket: Bucket::new("list"), prefix: format!("{:016x}", hash::of(place.as_bytes())) }
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    fn piece(&self, id: i64, index: u64) -> String {
        format!("{}/list/{id}/{index}", self.prefix)
    }

    pub(crate) fn look(&self) -> Result<Seen, kv::Error> {
        let mut found = self.bucket.get_many(&[self.key("now"), self.key("turn")])?.into_iter();
        let raw = found.next().flatten();
        let turn = match found.next().flatten() {
            None => Turn::Due,
            Some(value) if value == TAKEN => Turn::Taken,
            Some(_) => Turn::Later,
        };
        // What is kept in another form is as if there were none.
        let pointer = raw.as_deref().and_then(|raw| serde_json::from_slice(raw).ok());
        Ok(Seen { pointer, raw, turn })
    }

    /// Whether a name is on the list that a flow began with, or on the one that took its place meanwhile.
    pub(crate) fn contains(&self, pointer: &Pointer, name: &ServerName) -> Result<bool, Error> {
        let name = name.to_string();
        if let Some(piece) = self.read(pointer, &name)? {
            return Ok(piece);
        }
        let now = self.look()?.pointer;
        match now.as_ref().map(|now| self.read(now, &name)).transpose()?.flatten() {
            Some(piece) => Ok(piece),
            None => Err(Error::new("a part of the federation list is missing in the store")),
        }
    }

    /// None where the piece is gone.
    fn read(&self, pointer: &Pointer, name: &str) -> Result<Option<bool>, kv::Error> {
        let index = hash::of(name.as_bytes()) % pointer.pieces.max(1);
        let piece = self.bucket.get(&self.piece(pointer.id, index))?;
        Ok(piece.map(|piece| piece.split(|byte| *byte == b'\n').any(|domain| domain == name.as_bytes())))
    }

    /// Takes the turn for at most this time; whether nobody else has it.
    pub(crate) fn take(&self, time: Duration) -> Result<bool, kv::Error> {
        self.bucket.insert(&self.key("turn"), TAKEN, time)
    }

    /// Gives the turn back: the next one is after this time.
    pub(crate) fn give_back(&self, next: Duration) -> Result<(), kv::Error> {
        self.bucket.set(&self.key("turn"), "later", next)
    }

    /// Puts a list in force, unless another one was put since; whether it is.
    pub(crate) fn store(&self, list: &List, hash: u64, before: &Seen) -> Result<bool, kv::Error> {
        let id = self.bucket.increment(&self.key("ids"), 1, None)?;
        let count = list.domains.len().div_ceil(PIECE).next_power_of_two().min(MAX_PIECES);
        let mut pieces = vec![String::new(); count];
        for domain in &list.domains {
            let index = usize::try_from(hash::of(domain.as_bytes()) % count as u64).unwrap_or_default();
            if let Some(piece) = pieces.get_mut(index) {
                piece.push_str(domain);
                piece.push('\n');
            }
        }
        let keyed = (0_u64..).zip(&pieces).map(|(index, piece)| (self.piece(id, index), piece));
        self.bucket.insert_many(&keyed.collect::<Vec<_>>(), None)?;
        let pointer = Pointer { id, version: list.version, domains: list.domains.len(), pieces: count as u64, hash };
        let value = serde_json::to_vec(&pointer).map_err(|error| kv::Error::Value(error.to_string()))?;
        let is_in_force = self.bucket.swap(&self.key("now"), before.raw.as_deref(), Some(&value), None)?;
        let stay = before.pointer.as_ref().map(|pointer| pointer.id);
        self.sweep(|old| if is_in_force { old < id && Some(old) != stay } else { old == id })?;
        Ok(is_in_force)
    }

    /// Removes pieces of lists that nobody needs any more.
    fn sweep(&self, is_old: impl Fn(i64) -> bool) -> Result<(), kv::Error> {
        let prefix = format!("{}/list/", self.prefix);
        let mut cursor: Option<String> = None;
        loop {
            let page = self.bucket.scan(&prefix, cursor.as_deref(), PAGE)?;
            for (key, _) in &page.entries {
                let id = key.strip_prefix(&prefix).and_then(|rest| rest.split('/').next()).and_then(|id| id.parse().ok());
                if id.is_none_or(&is_old) {
                    self.bucket.delete(key)?;
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// One failure more, and why; tells how many there were since the last success.
    pub(crate) fn failed(&self, why: &str) -> Result<i64, kv::Error> {
        self.bucket.set(&self.key("why"), why, None)?;
        self.bucket.increment(&self.key("failures"), 1, None)
    }

    /// No failure since.
    pub(crate) fn succeeded(&self) -> Result<(), kv::Error> {
        if self.bucket.delete(&self.key("failures"))? {
            self.bucket.delete(&self.key("why"))?;
        }
        Ok(())
    }

    /// Why the last try failed.
    pub(crate) fn why(&self) -> Result<Option<String>, kv::Error> {
        self.bucket.get_str(&self.key("why"))
    }
}
