//! Whom and what the policy manages: its document without the hooks.
//!
//! | Field | Default | Meaning |
//! |---|---|---|
//! | `schemaVersion` | 2 | of the document; 2 is the only one |
//! | `identificationStamp` | none | for people |
//! | `flags` | all `false` | what all users may do or may not, see [`Flags`] |
//! | `managedRoomIds` | none | rooms that are managed |
//! | `users` | none | users that are managed |
//!
//! Who is not listed in `users` is unmanaged: the `forbid…` flags bind that user, nothing else does. Users and rooms are not made,
//! joined or left to fit the policy, and passwords are not checked: `active`, `authCredential`, `displayName`, `avatarUri` and
//! `powerLevel` are read and have no effect here.

mod fields;
mod ids;
#[cfg(test)]
mod tests;
mod user;

use std::collections::{BTreeMap, BTreeSet};

use tollgate_sdk::{
    OptionErrors, log,
    serde_json::{Map, Value},
};

pub(crate) use fields::Fields;
pub(crate) use ids::check_user;
use user::{Forbids, User};

/// The managed part of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Managed {
    flags: Flags,
    users: BTreeMap<String, User>,
}

/// What holds for all users; `false` where the document does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the document has them")]
struct Flags {
    /// Managed users may set their display names.
    allow_custom_user_display_names: bool,
    /// Managed users may set their avatars.
    allow_custom_user_avatars: bool,
    /// Managed users whose password is the homeserver's affair may change it.
    allow_custom_passthrough_user_passwords: bool,
    /// Who has no token may reset a password.
    allow_unauthenticated_password_resets: bool,
    /// Nobody creates rooms.
    forbid_room_creation: bool,
    /// Nobody creates encrypted rooms, or encrypts one.
    forbid_encrypted_room_creation: bool,
    /// Nobody creates rooms that are not encrypted from the start.
    forbid_unencrypted_room_creation: bool,
}

impl Managed {
    /// The top-level fields that it reads.
    pub(crate) const FIELDS: [&str; 5] = ["schemaVersion", "identificationStamp", "flags", "managedRoomIds", "users"];

    /// Reads its fields of a policy document; all that is wrong goes to `errors`.
    pub(crate) fn read(document: &Map<String, Value>, errors: &mut OptionErrors) -> Self {
        let mut fields = Fields::of_document(document, errors);
        fields.number("schemaVersion", &(2..=2));
        fields.text("identificationStamp");
        let flags = fields.object("flags").map(|mut flags| Flags::read(&mut flags)).unwrap_or_default();
        let rooms = managed_rooms(&mut fields);
        let users = fields.list("users");
        let users = user::read(users, errors);
        let strays = users.values().flat_map(|user| &user.joined_rooms).filter(|room| !rooms.contains(*room));
        let strays: BTreeSet<&String> = strays.collect();
        if let Some(first) = strays.first() {
            log::warn!(rooms = strays.len(), first = first.as_str(); "rooms in joinedRooms are not in managedRoomIds; users are kept in them all the same");
        }
        Self { flags, users }
    }

    /// Whether the policy lists this user.
    pub(crate) fn is_managed(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// Whether this user has to stay in this room.
    pub(crate) fn keeps(&self, user: &str, room: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.joined_rooms.contains(room))
    }

    pub(crate) fn allows_display_name(&self, user: &str) -> bool {
        self.flags.allow_custom_user_display_names || !self.is_managed(user)
    }

    pub(crate) fn allows_avatar(&self, user: &str) -> bool {
        self.flags.allow_custom_user_avatars || !self.is_managed(user)
    }

    /// Whether this user, or somebody without a token, may set a password.
    pub(crate) fn allows_password(&self, user: Option<&str>) -> bool {
        let Some(user) = user else { return self.flags.allow_unauthenticated_password_resets };
        self.users.get(user).is_none_or(|user| user.is_passthrough && self.flags.allow_custom_passthrough_user_passwords)
    }

    pub(crate) fn forbids_room_creation(&self, user: &str) -> bool {
        self.forbids(user).rooms.unwrap_or(self.flags.forbid_room_creation)
    }

    pub(crate) fn forbids_encrypted_room_creation(&self, user: &str) -> bool {
        self.forbids(user).encrypted_rooms.unwrap_or(self.flags.forbid_encrypted_room_creation)
    }

    pub(crate) fn forbids_unencrypted_room_creation(&self, user: &str) -> bool {
        self.forbids(user).unencrypted_rooms.unwrap_or(self.flags.forbid_unencrypted_room_creation)
    }

    fn forbids(&self, user: &str) -> Forbids {
        self.users.get(user).map(|user| user.forbids).unwrap_or_default()
    }
}

impl Flags {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        fields.refuse_others(&[
            "allowCustomUserDisplayNames",
            "allowCustomUserAvatars",
            "allowCustomPassthroughUserPasswords",
            "allowUnauthenticatedPasswordResets",
            "forbidRoomCreation",
            "forbidEncryptedRoomCreation",
            "forbidUnencryptedRoomCreation",
            "allow3pidLogin",
        ]);
        // About logins, which are not intercepted here.
        fields.boolean("allow3pidLogin");
        let mut flag = |key| fields.boolean(key).unwrap_or_default();
        Self {
            allow_custom_user_display_names: flag("allowCustomUserDisplayNames"),
            allow_custom_user_avatars: flag("allowCustomUserAvatars"),
            allow_custom_passthrough_user_passwords: flag("allowCustomPassthroughUserPasswords"),
            allow_unauthenticated_password_resets: flag("allowUnauthenticatedPasswordResets"),
            forbid_room_creation: flag("forbidRoomCreation"),
            forbid_encrypted_room_creation: flag("forbidEncryptedRoomCreation"),
            forbid_unencrypted_room_creation: flag("forbidUnencryptedRoomCreation"),
        }
    }
}

fn managed_rooms(fields: &mut Fields<'_, '_>) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (index, value) in fields.list("managedRoomIds").iter().enumerate() {
        let checked = value.as_str().ok_or("must be a string").and_then(|id| ids::check_room(id).map(|()| id));
        match checked {
            Ok(id) => drop(rooms.insert(id.to_owned())),
            Err(message) => fields.errors().push(format!("managedRoomIds[{index}]"), message),
        }
    }
    rooms
}
