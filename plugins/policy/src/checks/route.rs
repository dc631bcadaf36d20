//! The routes that are checked.

use super::path::Segments;

/// A checked route, with what of its path matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Leave { room: String },
    Kick { room: String },
    Member { room: String, user: String },
    Encryption,
    CreateRoom,
    UpgradeRoom,
    Send,
    DisplayName { user: String },
    Avatar { user: String },
    Profile { user: String },
    Deactivate,
    Password,
}

/// What of a path is behind the version.
const PREFIX: [&str; 2] = ["_matrix", "client"];

impl Route {
    /// The route of a request; none if it is none of these.
    ///
    /// Besides what the specification has, Synapse takes `PUT` with a transaction at the end where that has `POST`, and knows all
    /// of it below `unstable` and `api/v1`, too; so it is a checked route there as well. Behind `unstable` the name of a proposal
    /// may stand, as in MSC4133 `unstable/uk.tcpip.msc4133/profile/{user}/displayname`.
    pub(super) fn of(method: &str, segments: Segments) -> Option<Self> {
        let method = method.to_ascii_uppercase();
        if !matches!(method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE") {
            return None;
        }
        let (segments, is_unstable) = behind_version(segments)?;
        let found = Self::behind(&method, &segments);
        if is_unstable { found.or_else(|| Self::behind(&method, &segments.skip(1))) } else { found }
    }

    fn behind(method: &str, segments: &Segments) -> Option<Self> {
        let words = segments.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let at = |index| segments.get(index).to_owned();
        match words.as_slice() {
            // Older Synapse looks at the start alone.
            ["profile", _, field, ..] if field.starts_with("displayname") => return Some(Self::DisplayName { user: at(1) }),
            ["profile", _, field, ..] if field.starts_with("avatar_url") => return Some(Self::Avatar { user: at(1) }),
            ["profile", _] => return Some(Self::Profile { user: at(1) }),
            _ if !matches!(method, "POST" | "PUT") => return None,
            _ => {}
        }
        match words.as_slice() {
            ["createroom"] | ["createroom", _] => Some(Self::CreateRoom),
            ["rooms", _, "upgrade"] | ["rooms", _, "upgrade", _] => Some(Self::UpgradeRoom),
            ["rooms", _, "leave"] | ["rooms", _, "leave", _] => Some(Self::Leave { room: at(1) }),
            ["rooms", _, "kick"] | ["rooms", _, "kick", _] => Some(Self::Kick { room: at(1) }),
            ["rooms", _, "send", _] | ["rooms", _, "send", _, _] => Some(Self::Send),
            ["rooms", _, "state", _] | ["rooms", _, "state", _, _] => match segments.event_type(3) {
                "m.room.member" => Some(Self::Member { room: at(1), user: at(4) }),
                "m.room.encryption" => Some(Self::Encryption),
                _ => None,
            },
            ["account", "deactivate"] => Some(Self::Deactivate),
            ["account", "password"] => Some(Self::Password),
            _ => None,
        }
    }
}

/// Whether a reading of a path is of a version of the API that is let through by nobody.
pub(super) fn is_version_refused(segments: &Segments) -> bool {
    let words = segments.words();
    let [first, second, version, ..] = words.as_slice() else { return false };
    [first.as_str(), second] == PREFIX && is_numbered(version) && !matches!(version.as_str(), "r0" | "v1" | "v3")
}

/// Without `/_matrix/client/v3`, and whether that was `unstable`; none if it does not start like that.
fn behind_version(segments: Segments) -> Option<(Segments, bool)> {
    let words = segments.words();
    let is_unstable = words.get(2).is_some_and(|version| version == "unstable");
    let count = match words.as_slice() {
        [first, second, api, v1, ..] if [first.as_str(), second] == PREFIX && api == "api" && v1 == "v1" => 4,
        [first, second, version, ..] if [first.as_str(), second] == PREFIX && (is_numbered(version) || version == "unstable") => {
            3
        }
        _ => return None,
    };
    Some((segments.skip(count), is_unstable))
}

/// `r0`, `v1`, `v3`, …
fn is_numbered(version: &str) -> bool {
    let number = version.strip_prefix(['r', 'v']);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
