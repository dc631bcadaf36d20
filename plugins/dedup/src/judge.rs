//! What a flow's timelines show.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    options::{Boosts, Prefer, Settings},
    record::Delivery,
    scope::{Failure, Scope, Tag},
    seen::{self, Sighting},
    span::{self, Span},
    status::Status,
};

/// Where and when items are seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) scope: &'a Scope,
    /// Of the timeline.
    pub(crate) family: &'a str,
    /// 0 for a stream.
    pub(crate) page: Tag,
    /// In seconds since the Unix epoch.
    pub(crate) now: u32,
}

/// As many as are looked at: more are an error before they take room.
struct Items<'a>(Vec<&'a RawValue>);

/// Items of a page that are looked at; a page of more goes by. Mastodon gives 40, others up to 100.
pub(crate) const MAX_ITEMS: usize = 200;

impl Place<'_> {
    /// Tells of each item of a page, which was asked for with this path and query, whether it is shown.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub(crate) fn page(&self, target: &str, items: &[&RawValue]) -> Result<Vec<bool>, Failure> {
        let mut verdicts = vec![true; items.len()];
        let mut judged = Vec::with_capacity(items.len());
        for (index, (item, verdict)) in items.iter().zip(&mut verdicts).enumerate() {
            // What has no identity is nobody's repeat.
            let Some(status) = Status::parse(item.get()) else { continue };
            match self.alone(&status) {
                Some(is_shown) => *verdict = is_shown,
                None => judged.push((status.is_boost, index, self.sighting(&status, false))),
            }
        }
        if self.settings.prefer == Prefer::Original {
            // Stable: else they stay as the page has them.
            judged.sort_by_key(|(is_boost, ..)| *is_boost);
        }
        let span = Span::of(self, target, items);
        let (places, sightings): (Vec<_>, Vec<_>) = judged.into_iter().map(|(_, index, sighting)| (index, sighting)).unzip();
        for (index, is_shown) in places.into_iter().zip(seen::judge(self.settings, self.scope, span.as_ref(), &sightings)?) {
            if let Some(verdict) = verdicts.get_mut(index) {
                *verdict = is_shown;
            }
        }
        Ok(verdicts)
    }

    /// Whether a status that a stream brings is shown. One that can't be judged is.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub(crate) fn message(&self, status: &str, is_update: bool) -> Result<bool, Failure> {
        let Some(status) = Status::parse(status) else { return Ok(true) };
        if let Some(is_shown) = self.alone(&status) {
            return Ok(is_shown);
        }
        let verdicts = seen::judge(self.settings, self.scope, None, &[self.sighting(&status, is_update)])?;
        Ok(verdicts.first().copied().unwrap_or(true))
    }

    /// What the options say without the store.
    fn alone(&self, status: &Status) -> Option<bool> {
        match self.settings.boosts {
            Boosts::First => None,
            Boosts::HideAll => status.is_boost.then_some(false),
            Boosts::Keep => status.is_boost.then_some(true),
        }
    }

    fn sighting(&self, status: &Status, is_update: bool) -> Sighting {
        Sighting {
            post: self.scope.post(self.settings, self.family, &status.uri),
            delivery: Delivery {
                entry: self.scope.entry(&status.id),
                edited: status.edited,
                order: span::order(&status.id),
                page: self.page,
                at: self.now,
            },
            is_update,
        }
    }
}

/// The items of a page; none where it is no array, or of too many.
pub(crate) fn items(body: &[u8]) -> Option<Vec<&RawValue>> {
    if !body.trim_ascii_start().starts_with(b"[") {
        return None;
    }
    serde_json::from_slice(body).ok().map(|Items(items)| items)
}

/// An array of these items, as they are.
pub(crate) fn array<'a>(items: impl IntoIterator<Item = Cow<'a, str>>) -> Vec<u8> {
    let items: Vec<_> = items.into_iter().collect();
    format!("[{}]", items.join(",")).into_bytes()
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = Items<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = elements.next_element()? {
                    if items.len() >= MAX_ITEMS {
                        return Err(A::Error::custom("too many items"));
                    }
                    items.push(item);
                }
                Ok(Items(items))
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}
