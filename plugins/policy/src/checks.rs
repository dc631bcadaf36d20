//! Requests that are held against the policy before they go to the homeserver.
//!
//! | Route below `/_matrix/client/{r0, v1, v3, …, unstable, api/v1}` | Refused |
//! |---|---|
//! | `POST rooms/{room}/leave` | a managed user whose `joinedRooms` has the room |
//! | `POST rooms/{room}/kick` | the same, if `user_id` is the user itself |
//! | `PUT rooms/{room}/state/m.room.member/{user}` | the same, if it is the user's own; name and avatar in that room, too |
//! | `PUT rooms/{room}/state/m.room.encryption` | `forbidEncryptedRoomCreation` |
//! | `POST createRoom` | `forbidRoomCreation`; `forbidEncryptedRoomCreation`, `forbidUnencryptedRoomCreation` by `initial_state` |
//! | `POST rooms/{room}/upgrade` | `forbidRoomCreation` |
//! | `PUT rooms/{room}/send/{type}/{txn}` | never: it is there for hooks |
//! | `PUT profile/{user}/displayname` | the own name of a managed user, unless `allowCustomUserDisplayNames`; every name with `[x] ` in it |
//! | `PUT profile/{user}/avatar_url` | the own avatar of a managed user, unless `allowCustomUserAvatars` |
//! | `PUT`, `PATCH profile/{user}` | both |
//! | `POST account/deactivate` | every managed user |
//! | `POST account/password` | managed users, unless `allowCustomPassthroughUserPasswords` and `authType` is `passthrough`; who has no token, unless `allowUnauthenticatedPasswordResets` |
//!
//! `POST` and `PUT` are one here, with a transaction at the end or without, and `DELETE` of a profile's field counts as well.

mod body;
mod filters;
mod path;
mod rooms;
mod route;
#[cfg(test)]
mod tests;

use tollgate_sdk::serde_json::Value;

use crate::managed::Managed;
use body::object;
pub(crate) use filters::Filter;
use rooms::Encryption;
use route::Route;

/// A policy-checked request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// What it is in each way to read its path; at least one.
    routes: Vec<Route>,
}

/// Why a request does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) status: u16,
    pub(crate) errcode: &'static str,
    pub(crate) message: &'static str,
}

/// What display names of users that were deactivated start with.
const DEACTIVATED: &str = "[x] ";
const CREATION_FORBIDDEN: &str = "the policy forbids that you create rooms";

impl Checked {
    /// What is checked about a request to this path: without query, percent-decoded once but for `%2F`, as `~p` of filters has it.
    /// None if it is no checked route.
    pub(crate) fn of(method: &str, decoded_path: &str) -> Option<Self> {
        let readings = path::readings(decoded_path).into_iter();
        let routes: Vec<Route> = readings.filter_map(|segments| Route::of(method, segments)).collect();
        (!routes.is_empty()).then_some(Self { routes })
    }

    /// Filters that match all checked routes, and hardly anything else.
    pub(crate) fn filters() -> Vec<Filter> {
        filters::checked()
    }

    /// Whether [`judge`](Self::judge) looks at the body.
    pub(crate) fn needs_body(&self) -> bool {
        self.routes.iter().any(|route| {
            matches!(route, Route::Kick { .. } | Route::CreateRoom | Route::DisplayName { .. } | Route::Profile { .. })
        })
    }

    /// Whether it is refused without a token, whatever the policy says. Passwords can be reset without.
    pub(crate) fn token_needed(&self) -> bool {
        self.routes.iter().any(|route| *route != Route::Password)
    }

    /// Whether the policy lets this user do it. The body is as the homeserver will see it.
    pub(crate) fn judge(&self, managed: &Managed, asker: Option<&str>, body: &[u8]) -> Result<(), Denied> {
        self.routes.iter().try_for_each(|route| judge(route, managed, asker, body))
    }
}

/// Whether the version of the client-server API in this path, decoded as for [`Checked::of`], goes to no homeserver: `r` or `v` and
/// a number, but not `r0`, `v1` or `v3`.
pub(crate) fn api_version_refused(decoded_path: &str) -> bool {
    path::readings(decoded_path).iter().any(route::is_version_refused)
}

/// A filter that matches all paths whose version is refused, and hardly any other.
pub(crate) fn refused_versions_filter() -> String {
    filters::refused_versions()
}

impl Denied {
    /// For [`api_version_refused`].
    pub(crate) const VERSION: Self = Self::forbidden("this version of the client-server API is not let through");

    pub(crate) const fn forbidden(message: &'static str) -> Self {
        Self { status: 403, errcode: "M_FORBIDDEN", message }
    }

    const fn bad_json(message: &'static str) -> Self {
        Self { status: 403, errcode: "M_BAD_JSON", message }
    }
}

fn judge(route: &Route, managed: &Managed, asker: Option<&str>, body: &[u8]) -> Result<(), Denied> {
    if *route == Route::Password {
        return allow(managed.allows_password(asker), "the policy does not let you set this password");
    }
    let Some(asker) = asker else {
        return Err(Denied { status: 401, errcode: "M_MISSING_TOKEN", message: "an access token is needed" });
    };
    match route {
        Route::Leave { room } => stay(managed, asker, room),
        Route::Kick { room } => {
            let body = object(body)?;
            if body.get("user_id").and_then(Value::as_str) == Some(asker) { stay(managed, asker, room) } else { Ok(()) }
        }
        Route::Member { room, user } if user == asker => stay(managed, asker, room),
        Route::Encryption => allow(!managed.forbids_encrypted_room_creation(asker), "the policy forbids encrypted rooms"),
        Route::CreateRoom => create_room(managed, asker, body),
        Route::UpgradeRoom => allow(!managed.forbids_room_creation(asker), CREATION_FORBIDDEN),
        Route::DisplayName { user } => display_name(managed, asker, user, body),
        Route::Avatar { user } => avatar(managed, asker, user),
        Route::Profile { user } => {
            avatar(managed, asker, user)?;
            display_name(managed, asker, user, body)
        }
        Route::Deactivate => allow(!managed.is_managed(asker), "the policy does not let you deactivate your account"),
        Route::Member { .. } | Route::Send | Route::Password => Ok(()),
    }
}

fn stay(managed: &Managed, asker: &str, room: &str) -> Result<(), Denied> {
    allow(!managed.keeps(asker, room), "the policy keeps you in this room")
}

fn create_room(managed: &Managed, asker: &str, body: &[u8]) -> Result<(), Denied> {
    allow(!managed.forbids_room_creation(asker), CREATION_FORBIDDEN)?;
    let encryption = Encryption::of(&object(body)?)?;
    let is_forbidden = encryption.is_mentioned && managed.forbids_encrypted_room_creation(asker);
    allow(!is_forbidden, "the policy forbids encrypted rooms")?;
    let is_forbidden = !encryption.is_sure && managed.forbids_unencrypted_room_creation(asker);
    allow(!is_forbidden, "the policy forbids rooms without encryption")
}

fn avatar(managed: &Managed, asker: &str, user: &str) -> Result<(), Denied> {
    allow(user != asker || managed.allows_avatar(asker), "the policy sets your avatar")
}

fn display_name(managed: &Managed, asker: &str, user: &str, body: &[u8]) -> Result<(), Denied> {
    allow(user != asker || managed.allows_display_name(asker), "the policy sets your display name")?;
    // A removal has no body.
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let body = object(body)?;
    let name = body.get("displayname").and_then(Value::as_str).unwrap_or_default();
    allow(!name.contains(DEACTIVATED), "this display name is for users that were deactivated")
}

const fn allow(is_allowed: bool, message: &'static str) -> Result<(), Denied> {
    if is_allowed { Ok(()) } else { Err(Denied::forbidden(message)) }
}
