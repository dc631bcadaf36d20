//! What a hook changed, as the proxy writes it down.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::{
    BodyDigest, Change, ChunkAction, Event, Header, MessageKind, Mutation,
    host::{BodyView, Staging},
};

const MAX_NAMES: usize = 64;
const MAX_NAME: usize = 64;
const MAX_TEXT: usize = 256;

/// What went through a chunk hook.
#[derive(Debug, Clone, Default)]
pub(super) struct Stream {
    bytes_in: u64,
    bytes_out: u64,
    is_touched: bool,
}

impl Stream {
    /// A piece, and what became of it.
    pub(super) fn saw(&mut self, size: usize, action: &ChunkAction) {
        self.bytes_in += size as u64;
        self.is_touched |= *action != ChunkAction::Pass;
        self.bytes_out += match action {
            ChunkAction::Pass => size as u64,
            ChunkAction::Replace(data) => data.len() as u64,
            ChunkAction::Drop => 0,
        };
    }

    /// What the hook changed, if it did.
    pub(super) fn change(&self, message: MessageKind) -> Option<Change> {
        self.is_touched.then_some(Change::Streamed { message, bytes_in: self.bytes_in, bytes_out: self.bytes_out })
    }
}

/// Adds changes to what the addon did at this event.
pub(super) fn push(mutations: &mut Vec<Mutation>, addon: &str, event: Event, changes: Vec<Change>) {
    if changes.is_empty() {
        return;
    }
    let event = name(event);
    if let Some(known) = mutations.iter_mut().find(|known| known.event == event) {
        for change in changes {
            let change = merge(&mut known.changes, change);
            known.changes.extend(change);
        }
    } else {
        mutations.push(Mutation { addon: addon.to_owned(), event: event.to_owned(), changes });
    }
}

/// Puts keys of notes with those that are known; gives back any other change.
fn merge(known: &mut [Change], change: Change) -> Option<Change> {
    for known in known {
        if let (Change::Notes { keys, left_out }, Change::Notes { keys: more, left_out: more_left_out }) = (known, &change) {
            *left_out += more_left_out;
            for key in more {
                if !keys.contains(key) {
                    add(keys, left_out, key);
                }
            }
            return None;
        }
    }
    Some(change)
}

/// What a hook changed. Of a body, what it saw before is known if it saw all of it.
pub(super) fn changes(before: &Staging, after: &Staging, view: BodyView) -> Vec<Change> {
    let mut changes = Vec::new();
    let (old, new) = (&before.request, &after.request);
    if old.method != new.method {
        changes.push(Change::Method { before: cut(&old.method, MAX_NAME), after: cut(&new.method, MAX_NAME) });
    }
    if old.path_and_query != new.path_and_query {
        let ((old_path, old_query), (new_path, new_query)) = (split(&old.path_and_query), split(&new.path_and_query));
        changes.push(Change::Target {
            before: cut(old_path, MAX_TEXT),
            after: cut(new_path, MAX_TEXT),
            is_query_changed: old_query != new_query,
        });
    }
    if old.upstream != new.upstream {
        changes.push(Change::Upstream { before: cut(&old.upstream, MAX_TEXT), after: cut(&new.upstream, MAX_TEXT) });
    }
    changes.extend(fields(MessageKind::Request, &old.headers, &new.headers));
    changes.extend(body(MessageKind::Request, &old.body, &new.body, view));
    changes.extend(fields(MessageKind::Request, &old.trailers, &new.trailers));
    let (old, new) = (&before.response, &after.response);
    if old.status != new.status {
        changes.push(Change::Status { before: old.status, after: new.status });
    }
    changes.extend(fields(MessageKind::Response, &old.headers, &new.headers));
    changes.extend(body(MessageKind::Response, &old.body, &new.body, view));
    changes.extend(fields(MessageKind::Response, &old.trailers, &new.trailers));
    changes.extend(notes(&before.notes, &after.notes));
    changes
}

/// Path and query.
fn split(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

fn fields(message: MessageKind, before: &[Header], after: &[Header]) -> Option<Change> {
    let names: BTreeSet<String> = before.iter().chain(after).map(|(name, _)| name.to_ascii_lowercase()).collect();
    let values = |headers: &[Header], name: &str| super::rules::values_of(headers, name);
    let (mut added, mut changed, mut removed, mut left_out) = (Vec::new(), Vec::new(), Vec::new(), 0);
    // Belongs to the core, which sets it after a body.
    for name in names.iter().filter(|name| !matches!(name.as_str(), "content-length" | "content-encoding")) {
        let (old, new) = (values(before, name), values(after, name));
        if old == new {
            continue;
        }
        if added.len() + changed.len() + removed.len() == MAX_NAMES {
            left_out += 1;
            continue;
        }
        let list = match (old.is_empty(), new.is_empty()) {
            (true, _) => &mut added,
            (_, true) => &mut removed,
            _ => &mut changed,
        };
        list.push(cut(name, MAX_NAME));
    }
    let is_any = !(added.is_empty() && changed.is_empty() && removed.is_empty());
    is_any.then_some(Change::Headers { message, added, changed, removed, left_out })
}

fn body(message: MessageKind, before: &[u8], after: &[u8], view: BodyView) -> Option<Change> {
    let before_digest = (view == BodyView::Whole).then(|| digest(before));
    (before != after).then(|| Change::Body { message, before: before_digest, after: digest(after) })
}

fn notes(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Option<Change> {
    let (mut keys, mut left_out) = (Vec::new(), 0);
    for (key, value) in after {
        if before.get(key) != Some(value) {
            add(&mut keys, &mut left_out, &cut(key, MAX_NAME));
        }
    }
    (!keys.is_empty()).then_some(Change::Notes { keys, left_out })
}

fn add(keys: &mut Vec<String>, left_out: &mut u32, key: &str) {
    if keys.len() < MAX_NAMES {
        keys.push(key.to_owned());
    } else {
        *left_out += 1;
    }
}

fn digest(body: &[u8]) -> BodyDigest {
    let sha256 = Sha256::digest(body).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    BodyDigest { bytes: body.len() as u64, sha256 }
}

fn cut(text: &str, limit: usize) -> String {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default().to_owned()
}

/// As in the contract.
const fn name(event: Event) -> &'static str {
    match event {
        Event::Connect => "connect",
        Event::Request => "request",
        Event::RequestChunk => "request-chunk",
        Event::Response => "response",
        Event::ResponseChunk => "response-chunk",
        Event::SseEvent => "sse-event",
        Event::WebsocketMessage => "websocket-message",
        Event::UpstreamError => "upstream-error",
        Event::Finish => "finish",
    }
}
