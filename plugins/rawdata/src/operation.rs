//! Which requests are reported, and as what.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a request is to the service, by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Operation {
    #[serde(rename = "MP_CLIENT_LOGIN_SUPPORTED_LOGIN_TYPES")]
    LoginTypes,
    #[serde(rename = "MP_CLIENT_LOGIN_REQUEST_ACCESS_TOKEN")]
    AccessToken,
    #[serde(rename = "MP_CLIENT_LOGIN_REQUEST_OPENID_TOKEN")]
    OpenIdToken,
    #[serde(rename = "MP_INVITE_WITHIN_ORGANISATION_SEARCH")]
    Search,
    #[serde(rename = "MP_INVITE_WITHIN_ORGANISATION_INVITE")]
    InviteWithin,
    #[serde(rename = "MP_EXCHANGE_EVENT_WITHIN_ORGANISATION")]
    EventWithin,
    #[serde(rename = "MP_INVITE_OUTSIDE_ORGANISATION_INVITE_SENDER")]
    InviteSent,
    #[serde(rename = "MP_INVITE_OUTSIDE_ORGANISATION_INVITE_RECEIVER")]
    InviteReceived,
    #[serde(rename = "MP_EXCHANGE_EVENT_OUTSIDE_ORGANISATION_SENDER")]
    EventSent,
    #[serde(rename = "MP_EXCHANGE_EVENT_OUTSIDE_ORGANISATION_RECEIVER")]
    EventReceived,
}

/// Whom a request invites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invited {
    Nobody,
    /// A user of this homeserver.
    Within,
    /// A user of another one.
    Outside,
}

/// Methods, paths below `/_matrix/`, and what they are: received where it may be sent, within where it may be outside.
const TABLE: [(&str, &str, Operation); 44] = [
    ("GET", "client/v3/login", Operation::LoginTypes),
    ("POST", "client/v3/login", Operation::AccessToken),
    ("POST", "client/v3/user/*/openid/request_token", Operation::OpenIdToken),
    ("POST", "client/v3/user_directory/search", Operation::Search),
    ("POST", "client/v3/createRoom", Operation::InviteWithin),
    ("POST", "client/v3/rooms/*/invite", Operation::InviteWithin),
    ("GET", "federation/v1/event/*", Operation::EventReceived),
    ("PUT", "federation/v1/invite/*/*", Operation::InviteReceived),
    ("PUT", "federation/v2/invite/*/*", Operation::InviteReceived),
    ("GET", "client/v1/rooms/*/hierarchy", Operation::EventWithin),
    ("GET", "client/v1/rooms/*/relations/*", Operation::EventWithin),
    ("GET", "client/v1/rooms/*/relations/*/*", Operation::EventWithin),
    ("GET", "client/v1/rooms/*/relations/*/*/*", Operation::EventWithin),
    ("GET", "client/v3/rooms/*/aliases", Operation::EventWithin),
    ("GET", "client/v3/rooms/*/joined_members", Operation::EventWithin),
    ("GET", "client/v3/rooms/*/members", Operation::EventWithin),
    ("GET", "client/v3/rooms/*/messages", Operation::EventWithin),
    ("GET", "client/v3/rooms/*/state", Operation::EventWithin),
    ("GET", "client/v3/rooms/*/context/*", Operation::EventWithin),
    ("GET", "client/v3/rooms/*/event/*", Operation::EventWithin),
    ("GET PUT", "client/v3/rooms/*/state/*", Operation::EventWithin),
    ("GET PUT", "client/v3/rooms/*/state/*/?", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/ban", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/forget", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/join", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/kick", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/leave", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/read_markers", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/unban", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/upgrade", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/receipt/*/*", Operation::EventWithin),
    ("POST", "client/v3/rooms/*/report/*", Operation::EventWithin),
    ("PUT", "client/v3/rooms/*/send/*/*", Operation::EventWithin),
    ("PUT", "client/v3/rooms/*/redact/*/*", Operation::EventWithin),
    ("PUT", "client/v3/rooms/*/typing/*", Operation::EventWithin),
    ("POST", "client/v3/join/*", Operation::EventWithin),
    ("POST", "client/v3/knock/*", Operation::EventWithin),
    ("GET", "client/v3/joined_rooms", Operation::EventWithin),
    ("GET POST", "client/v3/publicRooms", Operation::EventWithin),
    ("GET PUT", "client/v3/directory/list/room/*", Operation::EventWithin),
    ("GET PUT DELETE", "client/v3/directory/room/*", Operation::EventWithin),
    ("GET PUT", "client/v3/user/*/rooms/*/account_data/*", Operation::EventWithin),
    ("GET", "client/v3/user/*/rooms/*/tags", Operation::EventWithin),
    ("PUT DELETE", "client/v3/user/*/rooms/*/tags/*", Operation::EventWithin),
];

/// Requests whose bodies name who is invited.
pub(crate) const INVITING: &str = r#"~m "^POST$" & ~p "^/_matrix/client/v3/(?:createRoom|rooms/[^/]+/invite)$""#;

/// All that may be reported; [`Operation::of`] knows better.
pub(crate) const REPORTED: &str = "!~m \"^(?:OPTIONS|HEAD|CONNECT)$\" & (\
     ~p \"^/_matrix/client/v3/(?:login|createRoom|publicRooms|joined_rooms|user_directory/search|(?:join|knock)/[^/]+)$\" | \
     ~p \"^/_matrix/client/(?:v1|v3)/rooms/\" | \
     ~p \"^/_matrix/client/v3/directory/\" | \
     ~p \"^/_matrix/client/v3/user/[^/]+/(?:openid/|rooms/)\" | \
     ~p \"^/_matrix/federation/(?:v1/event|v[12]/invite)/\")";

impl Operation {
    /// Where the service counts it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::LoginTypes => "TIM.UC_100 57_01",
            Self::AccessToken => "TIM.UC_100 57_02",
            Self::OpenIdToken => "TIM.UC_100 57_03",
            Self::Search => "TIM.UC_101 04_01",
            Self::InviteWithin => "TIM.UC_101 04_02",
            Self::EventWithin => "TIM.UC_100 63_01",
            Self::InviteSent => "TIM.UC_100 61_02",
            Self::InviteReceived => "TIM.UC_100 61_03",
            Self::EventSent => "TIM.UC_100 62_01",
            Self::EventReceived => "TIM.UC_100 62_02",
        }
    }

    /// Whether a homeserver asks, and no client.
    pub(crate) const fn is_federated(self) -> bool {
        matches!(self, Self::InviteReceived | Self::EventSent | Self::EventReceived)
    }

    /// What a request is; none where it is not reported.
    pub(crate) fn of(method: &str, path: &str, is_outbound: bool, invited: Invited) -> Option<Self> {
        let reported =
            TABLE.iter().find(|(methods, pattern, _)| methods.split(' ').any(|one| one == method) && is_like(pattern, path));
        let (_, _, operation) = *reported?;
        Some(match operation {
            Self::EventReceived if is_outbound => Self::EventSent,
            Self::InviteReceived if is_outbound => Self::InviteSent,
            Self::InviteWithin if invited == Invited::Nobody => Self::EventWithin,
            Self::InviteWithin if invited == Invited::Outside => Self::InviteSent,
            other => other,
        })
    }
}

/// Whether a path is like a pattern, in which `*` is one segment that is not empty, and `?` one that may be.
fn is_like(pattern: &str, path: &str) -> bool {
    let Some(path) = path.strip_prefix("/_matrix/") else { return false };
    let (mut patterns, mut segments) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some("?"), Some(_)) => {}
            (Some(pattern), Some(segment)) if pattern == segment => {}
            _ => return false,
        }
    }
}

impl Invited {
    /// By the path and the body of an invitation or of a new room; what can't be read invites nobody.
    pub(crate) fn of(path: &str, body: &[u8], home_domain: Option<&str>) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Body {
            user_id: Value,
            invite: Value,
        }
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let invited = if path.ends_with("/invite") { Some(&body.user_id) } else { body.invite.get(0) };
        match invited.and_then(Value::as_str) {
            None => Self::Nobody,
            Some(user) if user.split_once(':').map(|(_, domain)| domain) == home_domain && home_domain.is_some() => Self::Within,
            Some(_) => Self::Outside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str) -> Option<Operation> {
        Operation::of(method, path, false, Invited::Nobody)
    }

    #[test]
    fn invitations_are_told_apart_by_server() {
        let home = Some("home.de");
        let (room, invite) = ("/_matrix/client/v3/createRoom", "/_matrix/client/v3/rooms/!a/invite");
        for (path, body, invited) in [
            (invite, r#"{"user_id":"@a:home.de"}"#, Invited::Within),
            (invite, r#"{"user_id":"@a:home.de:8448"}"#, Invited::Outside),
            (invite, r#"{"user_id":"@home.de:b.de"}"#, Invited::Outside),
            (room, r#"{"invite":["@a:home.de"]}"#, Invited::Within),
            (room, r#"{"invite":["@a:b.de","@a:home.de"]}"#, Invited::Outside),
            (room, r#"{"invite":["@a:b.de"],"user_id":"@a:home.de"}"#, Invited::Outside),
            (room, r#"{"user_id":"@a:home.de"}"#, Invited::Nobody),
            (room, r#"{"invite":[]}"#, Invited::Nobody),
            (invite, r#"{"user_id":7}"#, Invited::Nobody),
            (invite, "", Invited::Nobody),
        ] {
            assert_eq!(Invited::of(path, body.as_bytes(), home), invited, "{path} {body}");
        }
        assert_eq!(Invited::of(invite, br#"{"user_id":"@a"}"#, None), Invited::Outside);
    }

    #[test]
    fn slashes_at_the_end_make_another_path() {
        assert_eq!(of("GET", "/_matrix/client/v3/login"), Some(Operation::LoginTypes));
        for path in
            ["/_matrix/client/v3/login/", "/_matrix/client/v3//login", "/_matrix/client/r0/login", "/_matrix/client/v3/sync"]
        {
            assert_eq!(of("GET", path), None, "{path}");
        }
    }

    #[test]
    fn keys_of_state_may_be_empty() {
        let state = "/_matrix/client/v3/rooms/!r/state";
        for method in ["GET", "PUT"] {
            for path in ["/m.room.name", "/m.room.name/", "/m.room.member/@a:b"] {
                assert_eq!(of(method, &format!("{state}{path}")), Some(Operation::EventWithin), "{method} {path}");
            }
        }
        for path in ["//", "//x", "/m.room.name//", "/"] {
            assert_eq!(of("GET", &format!("{state}{path}")), None, "{path}");
        }
    }

    #[test]
    fn who_sends_through_an_outbound_listener_is_the_sender() {
        for (path, received, sent) in [
            ("/_matrix/federation/v1/event/$e", Operation::EventReceived, Operation::EventSent),
            ("/_matrix/federation/v2/invite/!r/$e", Operation::InviteReceived, Operation::InviteSent),
        ] {
            let method = if path.contains("invite") { "PUT" } else { "GET" };
            assert_eq!(Operation::of(method, path, false, Invited::Nobody), Some(received));
            assert_eq!(Operation::of(method, path, true, Invited::Nobody), Some(sent));
        }
    }
}
