//! New rooms: their type, their version, who is invited, and that public ones stay at home.

use crate::{
    object::Object,
    options::Settings,
    refusal::Refused,
    state::{JOIN_RULES, is_public},
    upgrade,
};

const FEDERATE: &str = "m.federate";

/// The body as it goes on, if it is another one.
pub(crate) fn check(settings: &Settings, body: &[u8]) -> Result<Option<String>, Refused> {
    let rules = &settings.rules;
    if !(rules.room_types || rules.room_versions || rules.one_invite || rules.federate) {
        return Ok(None);
    }
    let room = Object::of_body(body)?;
    let creation = room.object("creation_content")?;
    if creation.is_none() && room.get("creation_content")?.is_some() {
        return Err(Refused::bad_json("\"creation_content\" is no object"));
    }
    if rules.room_types
        && let Some(creation) = &creation
        && let Some(kind) = creation.string("type")?
        && settings.denied_room_types.contains(&kind)
    {
        return Err(Refused::bad_json(&settings.texts.room_types));
    }
    let mut edited = None;
    if rules.room_versions {
        if room.get("room_version")?.is_some() {
            upgrade::version(settings, room.string("room_version")?)?;
        } else {
            // A string always has a JSON.
            let version = serde_json::to_string(&settings.default_room_version).unwrap_or_default();
            edited = Some(room.with("room_version", &version));
        }
    }
    if rules.one_invite {
        let count = |key: &str| Ok::<_, Refused>(room.list(key)?.map_or(0, |list| list.len()));
        if count("invite")?.saturating_add(count("invite_3pid")?) > settings.max_invites {
            return Err(Refused::forbidden(&settings.texts.one_invite));
        }
    }
    if rules.federate && is_public_room(&room)? && !stays_home(creation.as_ref())? {
        let content = creation.map_or_else(|| format!("{{\"{FEDERATE}\":false}}"), |creation| creation.with(FEDERATE, "false"));
        let before = edited.as_deref().and_then(Object::read);
        edited = Some(before.as_ref().unwrap_or(&room).with("creation_content", &content));
    }
    Ok(edited)
}

/// Whether anybody may find the room or join it: by its visibility, its preset, or the join rules that it begins with.
fn is_public_room(room: &Object<'_>) -> Result<bool, Refused> {
    let is = |key: &str, value: &str| Ok::<_, Refused>(room.string(key)?.as_deref() == Some(value));
    if is("visibility", "public")? | is("preset", "public_chat")? {
        return Ok(true);
    }
    for event in room.list("initial_state")?.unwrap_or_default() {
        let Some(event) = Object::read(event) else { continue };
        if event.string("type")?.as_deref() == Some(JOIN_RULES)
            && let Some(content) = event.object("content")?
            && is_public(&content)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn stays_home(creation: Option<&Object<'_>>) -> Result<bool, Refused> {
    creation.map_or(Ok(false), |creation| Ok(creation.get(FEDERATE)? == Some("false")))
}
