//! What refused clients are told.

use serde::Deserialize;
use tollgate_sdk::OptionErrors;

/// A text for each rule that refuses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Texts {
    /// To guests.
    pub guests: String,
    /// Where a status message is too long.
    pub status_message: String,
    /// Where a room would have a version that is not allowed.
    pub room_versions: String,
    /// Where a room would have a type that is not allowed.
    pub room_types: String,
    /// Where too many are invited into a new room.
    pub one_invite: String,
    /// Where an invitation names no user, or an address.
    pub invites: String,
    /// Where the invitee does not want it.
    pub invite_permission: String,
    /// To messages of threads.
    pub threads: String,
    /// To reactions with something else than one emoji.
    pub reactions: String,
    /// Where an event is too old.
    pub redactions: String,
    /// Where a room would become public.
    pub join_rules: String,
    /// To paths that are none.
    pub push_rules: String,
}

/// Characters of a text at most.
const MAX: usize = 500;

impl Texts {
    pub(super) fn check(&self, errors: &mut OptionErrors) {
        for (name, text) in [
            ("guests", &self.guests),
            ("status_message", &self.status_message),
            ("room_versions", &self.room_versions),
            ("room_types", &self.room_types),
            ("one_invite", &self.one_invite),
            ("invites", &self.invites),
            ("invite_permission", &self.invite_permission),
            ("threads", &self.threads),
            ("reactions", &self.reactions),
            ("redactions", &self.redactions),
            ("join_rules", &self.join_rules),
            ("push_rules", &self.push_rules),
        ] {
            if text.chars().count() > MAX {
                errors.push(format!("texts.{name}"), format!("must have at most {MAX} characters"));
            }
        }
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            guests: "guests cannot register here".to_owned(),
            status_message: "the status message is too long".to_owned(),
            room_versions: "rooms of this version are not allowed here".to_owned(),
            room_types: "rooms of this type are not allowed here".to_owned(),
            one_invite: "too many users are invited into the new room (A_25368-01)".to_owned(),
            invites: "only users can be invited, by \"user_id\" and nothing beside it".to_owned(),
            invite_permission: "the invited user does not want this invitation".to_owned(),
            threads: "there are no threads here (A_25395-02)".to_owned(),
            reactions: "a reaction is exactly one emoji".to_owned(),
            redactions: "the event is too old to be redacted (A_28358)".to_owned(),
            join_rules: "a room cannot become public after its creation".to_owned(),
            push_rules: "this is no push rule, and no part of one".to_owned(),
        }
    }
}
