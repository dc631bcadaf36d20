//! Entries that are gone, as streams said.
//!
//! The store knows posts, not entries, so nothing tells whether a deleted entry was ever delivered; public streams tell of every
//! post of a server. So what was deleted has a room of its own, which does not grow: a user's latest are remembered, and no more.

use std::collections::BTreeSet;

use tollgate_sdk::kv::{self, Bucket};

use crate::{
    options::Settings,
    scope::{Scope, Tag},
};

/// What stands for a deleted entry: the upper half of its tag.
type Mark = [u8; 4];

const BUCKET: &str = "deleted";
/// Keys that all users together take.
const PLACES: u8 = 64;
/// Marks below a key, 4 KiB, the latest first. Beyond, the oldest is forgotten: its post stays a repeat until it expires.
const MAX_MARKS: usize = 1024;
/// How often a place is written to that others write to at the same time. Beyond, the entry is not remembered.
const TRIES: u32 = 8;

/// What this entry carried may be carried by another from now on.
///
/// # Errors
///
/// What the store says.
pub(crate) fn remember(settings: &Settings, scope: &Scope, entry: Tag) -> Result<(), kv::Error> {
    let (bucket, place, mark) = (Bucket::new(BUCKET), place(scope), mark(entry));
    for _ in 0..TRIES {
        let before = bucket.get(&place)?;
        let mut marks = before.as_deref().map(marks).unwrap_or_default();
        // Streams of one user tell the same.
        if marks.contains(&mark) {
            break;
        }
        marks.insert(0, mark);
        marks.truncate(MAX_MARKS);
        if bucket.swap(&place, before.as_deref(), Some(&marks.concat()), settings.ttl)? {
            break;
        }
    }
    Ok(())
}

/// Those of these entries that are remembered as deleted.
///
/// # Errors
///
/// What the store says.
pub(crate) fn among(scope: &Scope, entries: BTreeSet<Tag>) -> Result<BTreeSet<Tag>, kv::Error> {
    let value = Bucket::new(BUCKET).get(&place(scope))?.unwrap_or_default();
    let marks: BTreeSet<_> = marks(&value).into_iter().collect();
    Ok(entries.into_iter().filter(|entry| marks.contains(&mark(*entry))).collect())
}

/// Where a user's are: a few users have the same place, where their marks differ.
fn place(scope: &Scope) -> String {
    format!("{:02x}", scope.place() % PLACES)
}

/// Of what is no list of marks, those that can be read.
fn marks(value: &[u8]) -> Vec<Mark> {
    value.chunks_exact(size_of::<Mark>()).filter_map(|bytes| bytes.try_into().ok()).collect()
}

const fn mark(entry: Tag) -> Mark {
    let [a, b, c, d, ..] = entry.to_be_bytes();
    [a, b, c, d]
}
