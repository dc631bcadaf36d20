//! Which sightings are shown, by what the store knows.
//!
//! The store decides: a post is of whoever inserts its record first, and records change by compare-and-swap alone, so that all
//! proxies that share it come to the same. A page costs one look at all of its posts, one insertion of all that are new, and one
//! look at what was deleted if there are repeats.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tollgate_sdk::kv::{self, Bucket};

use crate::{
    deleted,
    options::Settings,
    record::{Delivery, Record, Says},
    scope::{Scope, Tag},
    span::Span,
};

/// A post in an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// Of the post, in the store.
    pub(crate) post: String,
    pub(crate) delivery: Delivery,
    /// An edit of what should be there already: it is no first delivery.
    pub(crate) is_update: bool,
}

/// What of the store a page needs.
struct View<'a> {
    settings: &'a Settings,
    scope: &'a Scope,
    span: Option<&'a Span>,
    posts: Bucket,
    known: BTreeMap<String, Option<Vec<u8>>>,
    /// What was inserted just now.
    claimed: BTreeMap<String, Delivery>,
    deleted: BTreeSet<Tag>,
}

const POSTS: &str = "posts";
/// How often a record is swapped that others change at the same time. Beyond, the post is shown.
const TRIES: u32 = 4;
/// Keys that the store takes in one operation.
const AT_ONCE: usize = 256;

/// Tells of each sighting whether it is shown. Those that are first in the list are first; `span` is that of the page they are on.
///
/// # Errors
///
/// What the store says.
pub(crate) fn judge(
    settings: &Settings,
    scope: &Scope,
    span: Option<&Span>,
    sightings: &[Sighting],
) -> Result<Vec<bool>, kv::Error> {
    let mut view = View {
        settings,
        scope,
        span,
        posts: Bucket::new(POSTS),
        known: BTreeMap::new(),
        claimed: BTreeMap::new(),
        deleted: BTreeSet::new(),
    };
    view.look(sightings.iter().map(|sighting| sighting.post.as_str()))?;
    view.claim(sightings)?;
    view.look_for_deleted(sightings)?;
    let mut shown = BTreeSet::new();
    let mut verdicts = Vec::with_capacity(sightings.len());
    for sighting in sightings {
        let is_first = sighting.is_update || shown.insert((&sighting.post, sighting.delivery.entry));
        verdicts.push(is_first && view.is_shown(sighting)?);
    }
    Ok(verdicts)
}

impl View<'_> {
    fn look<'b>(&mut self, posts: impl Iterator<Item = &'b str>) -> Result<(), kv::Error> {
        let posts: Vec<_> = posts.collect::<BTreeSet<_>>().into_iter().collect();
        let values = get_many(&self.posts, &posts)?;
        self.known.extend(posts.into_iter().map(str::to_owned).zip(values));
        Ok(())
    }

    /// Makes the first sighting of each new post the one that carries it; others may have come before.
    fn claim(&mut self, sightings: &[Sighting]) -> Result<(), kv::Error> {
        let mut new = BTreeMap::new();
        for sighting in sightings.iter().filter(|sighting| !sighting.is_update) {
            if matches!(self.known.get(&sighting.post), Some(None)) {
                new.entry(sighting.post.as_str()).or_insert(sighting.delivery);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let mode = self.settings.mode;
        let records: Vec<_> = new.iter().map(|(post, delivery)| (*post, Record::new(*delivery).encode(mode))).collect();
        let is_inserted = insert_many(&self.posts, &records, self.settings.ttl)?;
        let mut lost = Vec::new();
        for ((post, record), is_inserted) in records.into_iter().zip(is_inserted) {
            if is_inserted {
                self.known.insert(post.to_owned(), Some(record));
                self.claimed.extend(new.get(post).map(|delivery| (post.to_owned(), *delivery)));
            } else {
                lost.push(post);
            }
        }
        if lost.is_empty() { Ok(()) } else { self.look(lost.into_iter()) }
    }

    fn look_for_deleted(&mut self, sightings: &[Sighting]) -> Result<(), kv::Error> {
        let mut entries = BTreeSet::new();
        for sighting in sightings {
            if let Some(record) = self.record(&sighting.post)
                && record.says(self.settings, &sighting.delivery) == Says::Repeat
            {
                entries.extend(record.entries());
            }
        }
        if !entries.is_empty() {
            self.deleted = deleted::among(self.scope, entries)?;
        }
        Ok(())
    }

    fn record(&self, post: &str) -> Option<Record> {
        self.known.get(post)?.as_deref().and_then(|bytes| Record::decode(self.settings.mode, bytes))
    }

    /// Whether the server still has the entry, as far as is known.
    fn is_there(&self, known: &Delivery) -> bool {
        !self.deleted.contains(&known.entry) && !self.span.is_some_and(|span| span.is_gone(known))
    }

    fn is_shown(&mut self, sighting: &Sighting) -> Result<bool, kv::Error> {
        let settings = self.settings;
        if self.claimed.get(&sighting.post) == Some(&sighting.delivery) {
            return Ok(true);
        }
        for _ in 0..TRIES {
            let known = self.known.get(&sighting.post).cloned().flatten();
            let Some(before) = known else {
                // An edit of what was never delivered, or what expired just now.
                return Ok(true);
            };
            let (record, is_refused) = match Record::decode(settings.mode, &before) {
                // An edit carries no post.
                None if sighting.is_update => return Ok(true),
                None => (Record::new(sighting.delivery), false),
                Some(record) => match record.says(settings, &sighting.delivery) {
                    Says::Known { is_edited: false } => return Ok(true),
                    Says::Known { is_edited: true } | Says::Edited if sighting.is_update => {
                        (record.with_update(sighting.delivery.edited), false)
                    }
                    Says::Known { is_edited: true } | Says::Edited => (record.with_edit(settings, &sighting.delivery), false),
                    Says::Repeat => {
                        let is_carried = record.deliveries().iter().any(|known| self.is_there(known));
                        if sighting.is_update {
                            return Ok(!is_carried);
                        }
                        (Record::new(sighting.delivery), is_carried)
                    }
                },
            };
            if is_refused {
                return Ok(false);
            }
            let after = record.encode(settings.mode);
            let ttl = record.ttl(settings, sighting.delivery.at);
            if self.posts.swap(&sighting.post, Some(&before), Some(&after), ttl)? {
                self.known.insert(sighting.post.clone(), Some(after));
                return Ok(true);
            }
            self.look(std::iter::once(sighting.post.as_str()))?;
        }
        Ok(true)
    }
}

fn get_many(bucket: &Bucket, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, kv::Error> {
    let mut values = Vec::with_capacity(keys.len());
    for keys in keys.chunks(AT_ONCE) {
        values.extend(bucket.get_many(keys)?);
    }
    Ok(values)
}

fn insert_many(bucket: &Bucket, entries: &[(&str, Vec<u8>)], ttl: Duration) -> Result<Vec<bool>, kv::Error> {
    let mut is_inserted = Vec::with_capacity(entries.len());
    for entries in entries.chunks(AT_ONCE) {
        is_inserted.extend(bucket.insert_many(entries, ttl)?);
    }
    Ok(is_inserted)
}
