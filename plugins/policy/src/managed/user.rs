//! Users that the policy manages.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_sdk::{OptionErrors, serde_json::Value};

use super::{
    fields::{Fields, kind},
    ids::{check_room, check_user},
};

/// What the checks need of a user. Credentials are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct User {
    /// Whether its password is the homeserver's own affair (`authType` `passthrough`).
    pub(super) is_passthrough: bool,
    /// Rooms that it may not leave.
    pub(super) joined_rooms: BTreeSet<String>,
    pub(super) forbids: Forbids,
}

/// Whether a user is forbidden to create such rooms; none: as the flags say for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Forbids {
    pub(super) rooms: Option<bool>,
    pub(super) encrypted_rooms: Option<bool>,
    pub(super) unencrypted_rooms: Option<bool>,
}

const FIELDS: [&str; 10] = [
    "id",
    "active",
    "authType",
    "authCredential",
    "displayName",
    "avatarUri",
    "joinedRooms",
    "forbidRoomCreation",
    "forbidEncryptedRoomCreation",
    "forbidUnencryptedRoomCreation",
];
const AUTH_TYPES: [&str; 8] = ["plain", "passthrough", "md5", "sha1", "sha256", "sha512", "bcrypt", "rest"];
/// Canonical JSON has no others.
const POWER_LEVELS: std::ops::RangeInclusive<i64> = -((1 << 53) - 1)..=(1 << 53) - 1;

/// Reads `users`, by their id.
pub(super) fn read(users: &[Value], errors: &mut OptionErrors) -> BTreeMap<String, User> {
    let mut read = BTreeMap::new();
    for (index, value) in users.iter().enumerate() {
        let path = format!("users[{index}]");
        let Some(mut fields) = Fields::of(path.clone(), value, errors) else { continue };
        let user = User::read(&mut fields);
        match fields.text("id").map(str::to_owned) {
            Some(id) if check_user(&id).is_ok() => {
                if read.insert(id, user).is_some() {
                    errors.push(format!("{path}.id"), "is the id of an earlier user, too");
                }
            }
            Some(_) => errors.push(format!("{path}.id"), "must be a user ID like @me:example.org of at most 255 bytes"),
            // Of another type: that is told already.
            None if value.get("id").is_some_and(|id| !id.is_null()) => {}
            None => errors.push(format!("{path}.id"), "is missing"),
        }
    }
    read
}

impl User {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        fields.refuse_others(&FIELDS);
        fields.boolean("active");
        for key in ["authCredential", "displayName", "avatarUri"] {
            fields.text(key);
        }
        let auth_type = fields.text("authType");
        if auth_type.is_some_and(|auth_type| !AUTH_TYPES.contains(&auth_type)) {
            fields.refuse("authType", format!("must be one of {}", AUTH_TYPES.join(", ")));
        }
        Self {
            is_passthrough: auth_type == Some("passthrough"),
            joined_rooms: joined_rooms(fields),
            forbids: Forbids {
                rooms: fields.boolean("forbidRoomCreation"),
                encrypted_rooms: fields.boolean("forbidEncryptedRoomCreation"),
                unencrypted_rooms: fields.boolean("forbidUnencryptedRoomCreation"),
            },
        }
    }
}

fn joined_rooms(fields: &mut Fields<'_, '_>) -> BTreeSet<String> {
    let base = fields.path("joinedRooms");
    let mut rooms = BTreeSet::new();
    for (index, value) in fields.list("joinedRooms").iter().enumerate() {
        let path = format!("{base}[{index}]");
        if value.is_string() {
            fields.errors().push(path, format!("must be an object like {{\"roomId\": \"!a:b\"}}, not {}", kind(value)));
            continue;
        }
        let Some(mut room) = Fields::of(path, value, fields.errors()) else { continue };
        room.refuse_others(&["roomId", "powerLevel"]);
        room.number("powerLevel", &POWER_LEVELS);
        match room.text("roomId") {
            Some(id) => match check_room(id) {
                Ok(()) => drop(rooms.insert(id.to_owned())),
                Err(message) => room.refuse("roomId", message),
            },
            None if value.get("roomId").is_some_and(|id| !id.is_null()) => {}
            None => room.refuse("roomId", "is missing"),
        }
    }
    rooms
}
