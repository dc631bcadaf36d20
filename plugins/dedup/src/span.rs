//! What of a timeline a page shows: what should be on it and is not is gone from the server.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::{
    judge::Place,
    options::{Mode, Sharing},
    record::Delivery,
    scope::Tag,
    status::Status,
};

/// The entries of a page, and between which of them others would be.
#[derive(Debug)]
pub(crate) struct Span {
    /// None: nothing is newer than this page.
    newest: Option<u64>,
    oldest: u64,
    entries: BTreeSet<Tag>,
}

/// What may be asked for without leaving out entries in between.
const PLAIN: [&str; 6] = ["limit", "max_id", "since_id", "min_id", "access_token", "url"];
/// The same for public timelines, whose families tell these apart.
const OF_FAMILIES: [&str; 2] = ["local", "remote"];

impl Span {
    /// Of a page of this target. None where an entry that is not there may be elsewhere: in mode "once", in another user's or
    /// another timeline, in one that is not ordered by ids, or left out for what was asked.
    pub(crate) fn of(place: &Place, target: &str, items: &[&RawValue]) -> Option<Self> {
        let settings = place.settings;
        if settings.mode == Mode::Once || settings.sharing == Sharing::Shared || settings.is_across || place.family == "trends" {
            return None;
        }
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let mut is_top = true;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let is_known = PLAIN.contains(&name) || (place.family.starts_with("public") && OF_FAMILIES.contains(&name));
            if !is_known {
                return None;
            }
            is_top &= !matches!(name, "max_id" | "min_id") || value.is_empty();
        }
        let statuses: Vec<_> = items.iter().map(|item| Status::parse(item.get())).collect::<Option<_>>()?;
        let orders: Vec<_> = statuses.iter().map(|status| order(&status.id)).collect();
        if orders.contains(&0) || !orders.is_sorted_by(|above, below| above >= below) {
            return None;
        }
        let newest = if is_top { None } else { orders.first().copied() };
        let entries = statuses.iter().map(|status| place.scope.entry(&status.id)).collect();
        Some(Self { newest, oldest: *orders.last()?, entries })
    }

    /// Whether the entry of a delivery should be on this page and is not.
    pub(crate) fn is_gone(&self, known: &Delivery) -> bool {
        let is_within = known.order > self.oldest && self.newest.is_none_or(|newest| known.order < newest);
        known.order != 0 && is_within && !self.entries.contains(&known.entry)
    }
}

/// The place of an entry in its timeline, the newest highest: its id, where that is a decimal number as Mastodon makes them. 0: unknown.
pub(crate) fn order(id: &str) -> u64 {
    let is_number = !id.starts_with('0') && id.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { id.parse().unwrap_or(0) } else { 0 }
}
