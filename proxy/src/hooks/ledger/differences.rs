//! What a hook has changed, by the messages before and after it.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    super::{RequestMessage, ResponseMessage, StagedBody},
    Change, Content, FieldChanges, MAX_NAME, MAX_NAMES, MAX_TEXT, MessageKind, cut, is_same,
};
use crate::http::{Headers, Origin};

/// Names of fields that a hook has set, added or removed, noted as it does so: only these are compared.
#[derive(Debug, Default)]
pub struct Touched {
    names: Vec<Bytes>,
    // Whether there were more: then all fields are compared.
    is_cut: bool,
}

impl Touched {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { names: Vec::new(), is_cut: false }
    }

    /// A hook has edited the fields of this name.
    pub fn note(&mut self, name: Bytes) {
        if self.is_cut || self.names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            return;
        }
        if self.names.len() < MAX_NAMES {
            self.names.push(name);
        } else {
            (self.names, self.is_cut) = (Vec::new(), true);
        }
    }
}

/// Between requests.
#[must_use]
pub fn of_requests(before: &RequestMessage, after: &RequestMessage, touched: &Touched) -> Vec<Change> {
    let mut changes = Vec::new();
    let (old, new) = (&before.head, &after.head);
    if old.method != new.method {
        let (before, after) = (cut(old.method.as_str(), MAX_NAME), cut(new.method.as_str(), MAX_NAME));
        changes.push(Change::Method { before, after });
    }
    if old.target != new.target {
        let text = |path: &[u8]| cut(&String::from_utf8_lossy(path), MAX_TEXT);
        let is_query_changed = query(&old.target) != query(&new.target);
        changes.push(Change::Target { before: text(old.path()), after: text(new.path()), is_query_changed });
    }
    if !Arc::ptr_eq(&before.upstream, &after.upstream) && before.upstream != after.upstream {
        let text = |origin: &Origin| cut(&origin.to_string(), MAX_TEXT);
        changes.push(Change::Upstream { before: text(&before.upstream), after: text(&after.upstream) });
    }
    changes.extend(of_fields(MessageKind::Request, &old.headers, &new.headers, touched));
    changes.extend(of_bodies(MessageKind::Request, &before.body, &after.body));
    changes
}

/// Between responses.
#[must_use]
pub fn of_responses(before: &ResponseMessage, after: &ResponseMessage, touched: &Touched) -> Vec<Change> {
    let mut changes = Vec::new();
    let (old, new) = (&before.head, &after.head);
    if old.status != new.status {
        changes.push(Change::Status { before: old.status, after: new.status });
    }
    changes.extend(of_fields(MessageKind::Response, &old.headers, &new.headers, touched));
    changes.extend(of_bodies(MessageKind::Response, &before.body, &after.body));
    changes
}

/// Between notes.
#[must_use]
pub fn of_notes(before: &[(String, String)], after: &[(String, String)]) -> Option<Change> {
    // New ones come at the end, old ones keep their places.
    let is_new = |(place, note): &(usize, &(String, String))| before.get(*place) != Some(*note);
    let (mut keys, mut left_out) = (Vec::new(), 0);
    for (_, (key, _)) in after.iter().enumerate().filter(is_new) {
        add(&mut keys, &mut left_out, MAX_NAMES, key);
    }
    (!keys.is_empty()).then_some(Change::Notes { keys, left_out })
}

/// Between the trailers of a body.
#[must_use]
pub fn of_trailers(message: MessageKind, before: &Headers, after: &Headers) -> Option<Change> {
    of_fields(message, before, after, &Touched { names: Vec::new(), is_cut: true })
}

fn query(target: &[u8]) -> Option<&[u8]> {
    target.iter().position(|&byte| byte == b'?').and_then(|place| target.get(place..))
}

fn of_fields(message: MessageKind, before: &Headers, after: &Headers, touched: &Touched) -> Option<Change> {
    let all: Vec<Bytes>;
    let names = if touched.is_cut {
        all = distinct(before, after);
        &all
    } else {
        &touched.names
    };
    let (mut added, mut changed, mut removed, mut left_out) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for name in names {
        let name = std::str::from_utf8(name).unwrap_or_default();
        if before.get_all(name).eq(after.get_all(name)) {
            continue;
        }
        let room = MAX_NAMES - added.len() - changed.len() - removed.len();
        let list = match (before.contains(name), after.contains(name)) {
            (false, _) => &mut added,
            (_, false) => &mut removed,
            _ => &mut changed,
        };
        let limit = list.len() + room;
        add(list, &mut left_out, limit, &name.to_ascii_lowercase());
    }
    let is_any = !(added.is_empty() && changed.is_empty() && removed.is_empty());
    is_any.then_some(Change::Fields(FieldChanges { message, added, changed, removed, left_out }))
}

/// Names of both, each once.
fn distinct(one: &Headers, other: &Headers) -> Vec<Bytes> {
    let mut names: Vec<Vec<u8>> = one.iter().chain(other).map(|field| field.name().to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(Bytes::from).collect()
}

fn of_bodies(message: MessageKind, before: &StagedBody, after: &StagedBody) -> Option<Change> {
    let StagedBody::Replaced(bytes) = after else { return None };
    let before = match before {
        StagedBody::Replaced(known) if is_same(known, bytes) => return None,
        StagedBody::Replaced(known) | StagedBody::Whole(known) => Some(Content::Kept(known.clone())),
        StagedBody::Streaming | StagedBody::Truncated(_) => None,
    };
    Some(Change::Body { message, before, after: Content::Kept(bytes.clone()) })
}

fn add(names: &mut Vec<String>, left_out: &mut u32, limit: usize, name: &str) {
    if names.len() < limit {
        names.push(cut(name, MAX_NAME));
    } else {
        *left_out = left_out.saturating_add(1);
    }
}
