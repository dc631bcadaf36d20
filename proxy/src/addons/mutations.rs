//! The ledger of a flow as guests see it.

use super::{
    bindings::flow as wit,
    grants::{Grants, WITHHELD},
};
use crate::hooks::{Change, Content, Ledger, MessageKind, Mutation};

/// All entries, as far as they may be shown.
pub(super) fn mutations(ledger: &Ledger, grants: &Grants) -> Vec<wit::Mutation> {
    ledger.mutations().iter().map(|entry| mutation(entry, grants)).collect()
}

fn mutation(mutation: &Mutation, grants: &Grants) -> wit::Mutation {
    wit::Mutation {
        addon: mutation.addon.to_string(),
        event: mutation.event.as_str().to_owned(),
        changes: mutation.changes.iter().map(|entry| change(entry, grants)).collect(),
    }
}

fn change(change: &Change, grants: &Grants) -> wit::Change {
    let text = |before: &String, after: &String| wit::TextChange { before: before.clone(), after: after.clone() };
    match change {
        Change::Method { before, after } => wit::Change::Method(text(before, after)),
        Change::Target { before, after, is_query_changed } => wit::Change::Target(wit::TargetChange {
            before: before.clone(),
            after: after.clone(),
            is_query_changed: *is_query_changed,
        }),
        Change::Upstream { before, after } => wit::Change::Upstream(text(before, after)),
        Change::Status { before, after } => {
            wit::Change::Status(wit::StatusChange { before: before.as_u16(), after: after.as_u16() })
        }
        Change::Fields(fields) => wit::Change::Headers(wit::FieldChanges {
            message: kind(fields.message),
            added: fields.added.clone(),
            changed: fields.changed.clone(),
            removed: fields.removed.clone(),
            left_out: fields.left_out,
        }),
        Change::Body { message, before, after } => wit::Change::Body(wit::BodyChange {
            message: kind(*message),
            before: before.as_ref().map(|content| digest(content, grants)),
            after: digest(after, grants),
        }),
        Change::Streamed { message, bytes_in, bytes_out } => {
            wit::Change::Streamed(wit::StreamChange { message: kind(*message), bytes_in: *bytes_in, bytes_out: *bytes_out })
        }
        Change::Notes { keys, left_out } => wit::Change::Notes(wit::NoteChanges { keys: keys.clone(), left_out: *left_out }),
        Change::Answered(status) => wit::Change::Answered(status.as_u16()),
        Change::Dropped => wit::Change::Dropped,
    }
}

const fn kind(message: MessageKind) -> wit::MessageKind {
    match message {
        MessageKind::Request => wit::MessageKind::Request,
        MessageKind::Response => wit::MessageKind::Response,
    }
}

/// A hash tells a short body to whoever can try all that it may be.
fn digest(content: &Content, grants: &Grants) -> wit::BodyDigest {
    let digest = content.digest();
    let sha256 = if grants.bodies { digest.sha256_hex() } else { String::from_utf8_lossy(WITHHELD).into_owned() };
    wit::BodyDigest { bytes: digest.bytes, sha256 }
}
