//! What the store has about a post.

use std::time::Duration;

use crate::{
    options::{Mode, Settings},
    scope::Tag,
};

/// Where a post was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The entry that carried it.
    pub(crate) entry: Tag,
    /// Its last edit then, in seconds since the Unix epoch.
    pub(crate) edited: u32,
    /// Where the entry is in its timeline: see `span.rs`. 0 for unknown. Kept in mode "entries" alone.
    pub(crate) order: u64,
    /// The page it was on; 0 for none. Kept in mode "once" alone, as is `at`.
    pub(crate) page: Tag,
    /// When, in seconds since the Unix epoch.
    pub(crate) at: u32,
}

/// All deliveries of a post that count.
///
/// In the store: the first sighting in 4 bytes, then 20 bytes for each delivery, or 24 in mode "once"; all
/// big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    first: u32,
    deliveries: Vec<Delivery>,
}

/// What a record says about another sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// This one was delivered before.
    Known {
        /// But it has been edited since.
        is_edited: bool,
    },
    /// The post has been edited since.
    Edited,
    /// Another one brought it.
    Repeat,
}

/// Deliveries of a post that are remembered: its first, and one for each edit. Beyond, the oldest is forgotten.
const MAX_DELIVERIES: usize = 8;

impl Record {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self { first: delivery.at, deliveries: vec![delivery] }
    }

    /// None where that is no record: it is as good as none.
    pub(crate) fn decode(mode: Mode, bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk()?;
        let size = size(mode);
        if rest.is_empty() || rest.len() % size != 0 {
            return None;
        }
        let deliveries = rest.chunks_exact(size).map(|bytes| {
            let (entry, rest) = bytes.split_first_chunk()?;
            let (edited, rest) = rest.split_first_chunk()?;
            let (order, page, at) = match mode {
                Mode::Entries => (u64::from_be_bytes(*rest.first_chunk()?), 0, 0),
                Mode::Once => {
                    let (page, rest) = rest.split_first_chunk()?;
                    (0, Tag::from_be_bytes(*page), u32::from_be_bytes(*rest.first_chunk()?))
                }
            };
            Some(Delivery { entry: Tag::from_be_bytes(*entry), edited: u32::from_be_bytes(*edited), order, page, at })
        });
        Some(Self { first: u32::from_be_bytes(*first), deliveries: deliveries.collect::<Option<_>>()? })
    }

    pub(crate) fn encode(&self, mode: Mode) -> Vec<u8> {
        let mut bytes = self.first.to_be_bytes().to_vec();
        for delivery in &self.deliveries {
            bytes.extend(delivery.entry.to_be_bytes());
            bytes.extend(delivery.edited.to_be_bytes());
            match mode {
                Mode::Entries => bytes.extend(delivery.order.to_be_bytes()),
                Mode::Once => {
                    bytes.extend(delivery.page.to_be_bytes());
                    bytes.extend(delivery.at.to_be_bytes());
                }
            }
        }
        bytes
    }

    /// What it says about this sighting.
    pub(crate) fn says(&self, settings: &Settings, sighting: &Delivery) -> Says {
        if let Some(known) = self.deliveries.iter().rfind(|known| is_replay(settings, known, sighting)) {
            return Says::Known { is_edited: settings.shows_edits && sighting.edited > known.edited };
        }
        let latest = self.deliveries.iter().map(|known| known.edited).max().unwrap_or(0);
        if settings.shows_edits && sighting.edited > latest { Says::Edited } else { Says::Repeat }
    }

    /// With the edit that was delivered now.
    pub(crate) fn with_edit(&self, settings: &Settings, sighting: &Delivery) -> Self {
        let mut with = self.clone();
        if let Some(known) = with.deliveries.iter_mut().rfind(|known| is_replay(settings, known, sighting)) {
            known.edited = sighting.edited;
            return with;
        }
        if with.deliveries.len() >= MAX_DELIVERIES {
            with.deliveries.remove(0);
        }
        with.deliveries.push(*sighting);
        with
    }

    /// With the edit that a stream brought to the entry that carries the post: the edit's own entry is no delivery.
    pub(crate) fn with_update(&self, edited: u32) -> Self {
        let mut with = self.clone();
        if let Some(latest) = with.deliveries.iter_mut().max_by_key(|known| known.edited) {
            latest.edited = latest.edited.max(edited);
        }
        with
    }

    /// The entries that carried it.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Tag> {
        self.deliveries.iter().map(|delivery| delivery.entry)
    }

    /// All that count.
    pub(crate) fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }

    /// What is left of the time to live, which counts from the first sighting.
    pub(crate) fn ttl(&self, settings: &Settings, now: u32) -> Duration {
        let age = Duration::from_secs(now.saturating_sub(self.first).into());
        settings.ttl.saturating_sub(age).max(Duration::from_secs(1))
    }
}

/// Of a delivery.
const fn size(mode: Mode) -> usize {
    match mode {
        Mode::Entries => 20,
        Mode::Once => 24,
    }
}

/// Whether a sighting is what was delivered before, and no other.
fn is_replay(settings: &Settings, known: &Delivery, sighting: &Delivery) -> bool {
    let is_entry = known.entry == sighting.entry;
    match settings.mode {
        Mode::Entries => is_entry,
        Mode::Once => {
            let age = Duration::from_secs(sighting.at.saturating_sub(known.at).into());
            is_entry && known.page != 0 && known.page == sighting.page && age <= settings.replay_window
        }
    }
}
