//! What addons changed, as JSON: in `GET /flows`, and in recordings.

use serde_json::{Value, json};

use super::{Change, Content, Mutation};

impl Mutation {
    /// Names, sizes and hashes, as the ledger has them. A body that was not hashed yet is hashed now.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "addon": &*self.addon,
            "event": self.event.as_str(),
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
        })
    }
}

fn change(change: &Change) -> Value {
    let what = change.as_str();
    match change {
        Change::Method { before, after } | Change::Upstream { before, after } => {
            json!({ "change": what, "before": before, "after": after })
        }
        Change::Target { before, after, is_query_changed } => {
            json!({ "change": what, "before": before, "after": after, "is_query_changed": is_query_changed })
        }
        Change::Status { before, after } => json!({ "change": what, "before": before.as_u16(), "after": after.as_u16() }),
        Change::Fields(fields) => json!({
            "change": what,
            "message": fields.message.as_str(),
            "added": fields.added,
            "changed": fields.changed,
            "removed": fields.removed,
            "left_out": fields.left_out,
        }),
        Change::Body { message, before, after } => json!({
            "change": what,
            "message": message.as_str(),
            "before": before.as_ref().map(digest),
            "after": digest(after),
        }),
        Change::Streamed { message, bytes_in, bytes_out } => {
            json!({ "change": what, "message": message.as_str(), "bytes_in": bytes_in, "bytes_out": bytes_out })
        }
        Change::Messages { message, edited, dropped } => {
            json!({ "change": what, "message": message.as_str(), "edited": edited, "dropped": dropped })
        }
        Change::Closed(code) => json!({ "change": what, "code": code }),
        Change::Notes { keys, left_out } => json!({ "change": what, "keys": keys, "left_out": left_out }),
        Change::Answered(status) => json!({ "change": what, "status": status.as_u16() }),
        Change::Dropped | Change::Ended => json!({ "change": what }),
    }
}

fn digest(content: &Content) -> Value {
    let digest = content.digest();
    json!({ "bytes": digest.bytes, "sha256": digest.sha256_hex() })
}
