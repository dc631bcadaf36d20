//! Which requests the rules are about.

use crate::{
    options::Settings,
    path::{name, readings, word},
    state::MEMBER,
};

/// What a request is, as far as a rule is about it. Identifiers are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Register,
    Presence,
    CreateRoom,
    Upgrade,
    Invite,
    State {
        kind: String,
        key: String,
    },
    Send {
        room: String,
        kind: String,
    },
    Redact {
        room: String,
        event: String,
    },
    /// Where the event of it is: in version 1 it is the body, later it is in there.
    FederatedInvite {
        is_body: bool,
    },
}

impl Route {
    /// What the request may be taken for, by servers that read its path in one way or another.
    pub(crate) fn readings(method: &str, target: &str) -> Vec<Self> {
        if !method.eq_ignore_ascii_case("POST") && !method.eq_ignore_ascii_case("PUT") {
            return Vec::new();
        }
        let mut routes: Vec<Self> = readings(target).iter().filter_map(|segments| Self::of(segments)).collect();
        routes.dedup();
        routes
    }

    /// Whether a rule in force looks at the body.
    pub(crate) fn is_judged_by_body(&self, settings: &Settings) -> bool {
        let (rules, is_proxied) = (&settings.rules, settings.proxied.is_some());
        match self {
            Self::Register | Self::Redact { .. } => false,
            Self::Presence => rules.status_message,
            Self::CreateRoom => settings.judges_rooms(),
            Self::Upgrade => rules.room_versions,
            Self::Invite => rules.invites || is_proxied,
            Self::State { kind, .. } => rules.join_rules || (is_proxied && kind == MEMBER),
            Self::Send { .. } => rules.threads || rules.reactions || rules.redactions,
            Self::FederatedInvite { .. } => is_proxied,
        }
    }

    /// By a path of any version of the API: a homeserver may serve more of them than it says.
    fn of(segments: &[String]) -> Option<Self> {
        let words: Vec<String> = segments.iter().map(|segment| word(segment)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let ["_matrix", "federation", version, "invite", ..] = words.as_slice() {
            return is_version(version).then_some(Self::FederatedInvite { is_body: *version == "v1" });
        }
        let segment = |index: usize| segments.get(index).map(String::as_str).unwrap_or_default();
        let start = client(&words)?;
        let text = |index: usize| segment(start.saturating_add(index)).to_owned();
        let kind = |index: usize| name(segment(start.saturating_add(index))).to_owned();
        match words.get(start..)? {
            ["register"] => Some(Self::Register),
            ["presence", _, "status", ..] => Some(Self::Presence),
            ["createroom", ..] => Some(Self::CreateRoom),
            ["rooms", _, "upgrade", ..] => Some(Self::Upgrade),
            ["rooms", _, "invite", ..] => Some(Self::Invite),
            ["rooms", _, "state", _, ..] => Some(Self::State { kind: kind(3), key: text(4) }),
            ["rooms", _, "send", _, ..] => Some(Self::Send { room: text(1), kind: kind(3) }),
            ["rooms", _, "redact", _, ..] => Some(Self::Redact { room: text(1), event: text(3) }),
            _ => None,
        }
    }
}

/// Where the endpoint begins, behind `/_matrix/client/v3` or what stands for that in other versions.
pub(crate) fn client(words: &[&str]) -> Option<usize> {
    match words {
        ["_matrix", "client", "api", "v1", ..] => Some(4),
        ["_matrix", "client", "unstable", proposal, ..] if proposal.contains('.') => Some(4),
        ["_matrix", "client", version, ..] if *version == "unstable" || is_version(version) => Some(3),
        _ => None,
    }
}

/// Like `v3` or `r0`.
fn is_version(word: &str) -> bool {
    let digits = word.strip_prefix(['v', 'r']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(target: &str) -> Vec<Route> {
        Route::readings("POST", target)
    }

    #[test]
    fn all_versions_have_the_same_routes() {
        for start in ["v3", "r0", "v1", "v99", "unstable", "unstable/org.matrix.msc1", "api/v1", "V3"] {
            assert_eq!(routes(&format!("/_matrix/client/{start}/createRoom")), [Route::CreateRoom], "{start}");
        }
        for start in ["v", "3", "x3", "v3/x"] {
            assert_eq!(routes(&format!("/_matrix/client/{start}/createRoom")), [], "{start}");
        }
    }

    #[test]
    fn disguises_are_seen_through() {
        for target in [
            "/_matrix/client/v3/%63reateRoom",
            "/_matrix/client/v3//createRoom/",
            "/_matrix/client/v3/createRoom/txn",
            "/_matrix/client/v3/x/../createRoom",
            "/_matrix/client/v3/createRoom;x",
            "/_matrix/client/v3%2FcreateRoom",
            "/_matrix/client/v3/%2563reateRoom",
            "/_matrix/client/v3/createroom?x",
            "/_matrix\\client\\v3\\createRoom",
        ] {
            assert_eq!(routes(target), [Route::CreateRoom], "{target}");
        }
        assert_eq!(Route::readings("put", "/_matrix/client/v3/createRoom"), [Route::CreateRoom]);
        assert_eq!(Route::readings("GET", "/_matrix/client/v3/createRoom"), []);
    }

    #[test]
    fn identifiers_are_decoded() {
        let room = || "!a:b".to_owned();
        let start = "/_matrix/client/v3/rooms/%21a%3Ab";
        assert_eq!(
            routes(&format!("{start}/send/m%2Eroom.message/1")),
            [Route::Send { room: room(), kind: "m.room.message".to_owned() }]
        );
        assert_eq!(routes(&format!("{start}/redact/%24e/1")), [Route::Redact { room: room(), event: "$e".to_owned() }]);
        assert_eq!(
            routes(&format!("{start}/state/m.room.join_rules")),
            [Route::State { kind: "m.room.join_rules".to_owned(), key: String::new() }]
        );
        for (version, is_body) in [("v1", true), ("V1", true), ("v2", false), ("v3", false)] {
            let target = format!("/_matrix/federation/{version}/invite/!a:b/$e");
            assert_eq!(routes(&target), [Route::FederatedInvite { is_body }], "{version}");
        }
    }

    #[test]
    fn other_requests_are_nobodys_affair() {
        for target in [
            "/_matrix/client/v3/sync",
            "/_matrix/client/v3/register/available",
            "/_matrix/client/v3/rooms/!a:b/join",
            "/_matrix/media/v3/upload",
            "/createRoom",
            "/",
            "*",
        ] {
            assert_eq!(routes(target), [], "{target}");
        }
    }
}
