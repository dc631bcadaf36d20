//! Rooms are upgraded to versions that are allowed.

use crate::{object::Object, options::Settings, refusal::Refused};

pub(crate) fn check(settings: &Settings, body: &[u8]) -> Result<(), Refused> {
    if !settings.rules.room_versions {
        return Ok(());
    }
    let body = Object::of_body(body)?;
    if body.get("new_version")?.is_none() {
        return Err(Refused::bad_json("\"new_version\" is missing"));
    }
    version(settings, body.string("new_version")?)
}

/// Whether rooms of this version may be; none is no text.
pub(crate) fn version(settings: &Settings, version: Option<String>) -> Result<(), Refused> {
    let is_allowed = version.is_some_and(|version| settings.room_versions.contains(&version));
    if is_allowed { Ok(()) } else { Err(Refused::new(400, "M_UNSUPPORTED_ROOM_VERSION", &settings.texts.room_versions)) }
}
