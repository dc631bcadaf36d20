//! The ledger of a flow as guests see it.

use super::{
    bindings::flow as wit,
    grants::{Grants, WITHHELD},
};
use crate::hooks::{Change, Content, FieldChanges, Ledger, MessageKind, Mutation};

/// Names in an entry for an addon from which values are withheld. Less than the ledger keeps, so that it makes no difference
/// whether a few more names were in it.
const FEW_NAMES: usize = 32;
/// From this length on a name may have been cut, and nobody knows any more which one it was.
const LONG_NAME: usize = 64;

/// All entries, as far as they may be shown.
pub(super) fn mutations(ledger: &Ledger, grants: &Grants) -> Vec<wit::Mutation> {
    let shown = ledger.mutations().iter().map(|entry| mutation(entry, grants));
    shown.filter(|mutation| !mutation.changes.is_empty()).collect()
}

fn mutation(mutation: &Mutation, grants: &Grants) -> wit::Mutation {
    wit::Mutation {
        addon: mutation.addon.to_string(),
        event: mutation.event.as_str().to_owned(),
        changes: mutation.changes.iter().filter_map(|entry| change(entry, grants)).collect(),
    }
}

fn change(change: &Change, grants: &Grants) -> Option<wit::Change> {
    let text = |before: &String, after: &String| wit::TextChange { before: before.clone(), after: after.clone() };
    Some(match change {
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
        Change::Fields(changes) => wit::Change::Headers(fields(changes, grants)?),
        Change::Body { message, before, after } => wit::Change::Body(wit::BodyChange {
            message: kind(*message),
            before: before.as_ref().map(|content| digest(content, grants)),
            after: digest(after, grants),
        }),
        Change::Streamed { message, bytes_in, bytes_out } => {
            wit::Change::Streamed(wit::StreamChange { message: kind(*message), bytes_in: *bytes_in, bytes_out: *bytes_out })
        }
        Change::Messages { message, edited, dropped } => {
            wit::Change::Other(format!("messages of the {}: {edited} edited, {dropped} dropped", message.as_str()))
        }
        Change::Closed(code) => wit::Change::Other(format!("closed with {code}")),
        Change::Ended => wit::Change::Other("ended the stream".to_owned()),
        Change::Notes { keys, left_out } => wit::Change::Notes(wit::NoteChanges { keys: keys.clone(), left_out: *left_out }),
        Change::Answered(status) => wit::Change::Answered(status.as_u16()),
        Change::Dropped => wit::Change::Dropped,
    })
}

/// Whether a field of this name is there is no secret. Whether its value has changed is one where the value is withheld: an addon
/// could set what it guesses, and be told whether it is right.
fn fields(changes: &FieldChanges, grants: &Grants) -> Option<wit::FieldChanges> {
    let message = kind(changes.message);
    if grants.reads_all() {
        let FieldChanges { added, changed, removed, left_out, .. } = changes.clone();
        return Some(wit::FieldChanges { message, added, changed, removed, left_out });
    }
    let may_tell = |name: &String| name.len() < LONG_NAME && grants.may_read(name);
    let [added, changed, removed] = [&changes.added, &changes.changed, &changes.removed].map(|names| names.iter());
    let all = added.map(|name| (name, 0)).chain(changed.filter(|name| may_tell(name)).map(|name| (name, 1)));
    let mut names: Vec<(&String, usize)> = all.chain(removed.map(|name| (name, 2))).collect();
    // The order in which the ledger leaves names out.
    names.sort_unstable();
    let few = |list| names.iter().take(FEW_NAMES).filter(|(_, of)| *of == list).map(|(name, _)| (*name).clone()).collect();
    let shown = wit::FieldChanges {
        message,
        added: few(0),
        changed: few(1),
        removed: few(2),
        left_out: u32::from(names.len() > FEW_NAMES),
    };
    (!names.is_empty()).then_some(shown)
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
