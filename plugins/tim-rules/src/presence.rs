//! The text beside somebody's presence is not longer than so many characters.

use crate::{
    object::{Object, utf16_len},
    options::Settings,
    refusal::Refused,
};

/// Characters are UTF-16 code units, as clients count them.
pub(crate) fn check(settings: &Settings, body: &[u8]) -> Result<(), Refused> {
    if !settings.rules.status_message {
        return Ok(());
    }
    let length = Object::of_body(body)?.get("status_msg")?.and_then(utf16_len).unwrap_or_default();
    if length > settings.status_message_length {
        return Err(Refused::new(403, "M_TOO_LARGE", &settings.texts.status_message));
    }
    Ok(())
}
