//! What addons did, in words.

use tollgate_sdk::{BodyDigest, Change, Mutation};

/// `addon event: change, change`.
pub(crate) fn shown(mutation: &Mutation) -> String {
    let changes: Vec<String> = mutation.changes.iter().map(change).collect();
    format!("{} {}: {}", mutation.addon, mutation.event, changes.join(", "))
}

fn change(change: &Change) -> String {
    match change {
        Change::Method { before, after } => format!("method {before}>{after}"),
        Change::Target { before, after, is_query_changed } => format!("target {before}>{after} {is_query_changed}"),
        Change::Upstream { before, after } => format!("upstream {before}>{after}"),
        Change::Status { before, after } => format!("status {before}>{after}"),
        Change::Headers { message, added, changed, removed, left_out } => {
            format!("headers {message:?} +{} ~{} -{} {left_out}", added.join("|"), changed.join("|"), removed.join("|"))
        }
        Change::Body { message, before, after } => {
            format!("body {message:?} {}>{}", before.as_ref().map_or_else(|| "unknown".to_owned(), digest), digest(after))
        }
        Change::Streamed { message, bytes_in, bytes_out } => format!("streamed {message:?} {bytes_in}>{bytes_out}"),
        Change::Notes { keys, left_out } => format!("notes {} {left_out}", keys.join("|")),
        Change::Answered(status) => format!("answered {status}"),
        Change::Dropped => "dropped".to_owned(),
        other => format!("{other:?}"),
    }
}

fn digest(digest: &BodyDigest) -> String {
    format!("{}:{}", digest.bytes, digest.sha256)
}
