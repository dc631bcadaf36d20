//! Rooms don't become public later.

use crate::{object::Object, options::Settings, refusal::Refused};

pub(crate) fn check(settings: &Settings, kind: &str, body: &[u8]) -> Result<(), Refused> {
    if !settings.rules.join_rules {
        return Ok(());
    }
    let body = Object::of_body(body)?;
    if kind == JOIN_RULES && is_public(&body)? {
        return Err(Refused::new(400, "M_INVALID_ROOM_STATE", &settings.texts.join_rules));
    }
    Ok(())
}

pub(crate) const JOIN_RULES: &str = "m.room.join_rules";
pub(crate) const MEMBER: &str = "m.room.member";

/// Whether this content of the event lets everybody join.
pub(crate) fn is_public(content: &Object<'_>) -> Result<bool, Refused> {
    Ok(content.string("join_rule")?.as_deref() == Some("public"))
}
