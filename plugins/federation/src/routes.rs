//! What of a request is checked, by its path.

/// Which side of the homeserver a listener is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// In front of it: other servers and its own clients come in.
    Inbound,
    /// Behind it: its own requests go out.
    Outbound,
}

/// What is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// Nothing.
    Free,
    /// The server that X-Matrix names.
    Server,
    /// The same, and the users of an invitation between servers.
    Invite(Place),
    /// The server whose media these are; where `is_signed` also that of X-Matrix.
    Media { server: String, is_signed: bool },
    /// Users that are invited with a new room.
    CreateRoom,
    /// The user that a client invites.
    ClientInvite,
    /// The user whose membership a client sets, if that is an invitation.
    Member { user: String },
}

/// Where the event of an invitation between servers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the body: version 1.
    Body,
    /// Under `event`: version 2, and whatever comes after it.
    Event,
}

/// Paths of the homeserver's requests that need no X-Matrix.
const FREE_OUTBOUND: [&[&str]; 5] = [
    &[".well-known", "matrix", "server"],
    &["_matrix", "key", "v2", "server"],
    &["_matrix", "key", "v2", "query"],
    &["_matrix", "identity", "v2", "pubkey", "isvalid"],
    &["cas", "proxyValidate"],
];
/// The same with the name of a server at the end.
const FREE_QUERY: [&str; 4] = ["_matrix", "key", "v2", "query"];
const USERINFO: [&str; 5] = ["_matrix", "federation", "v1", "openid", "userinfo"];

/// The first segment that may be an ID.
const IDS_FROM: usize = 4;
const SEPARATORS: [char; 2] = ['/', '\\'];

/// What `Route::of` may find something to check in, as a filter: all else is seen by nobody.
pub(crate) const INBOUND_FILTER: &str = "~p '(?i)federation|media|createRoom|invite|m.room.member'";
/// The same, and what is signed: media of old, too.
pub(crate) const SIGNED_FILTER: &str = "~p '(?i)federation|/r0/|createRoom|invite|m.room.member'";
/// What has users in its body.
pub(crate) const USERS_FILTER: &str = "~p '(?i)createRoom|invite|m.room.member'";

impl Route {
    /// What to check of a request with this path.
    ///
    /// Segments are decoded. Where there are empty or dot segments, or slashes within the first ones, which some servers take for
    /// what they look like, it is what they make of it, and nothing is let off.
    pub(crate) fn of(side: Side, method: &str, segments: &[String]) -> Self {
        let mut path: Vec<&str> = Vec::new();
        let mut is_plain = true;
        for (index, segment) in segments.iter().enumerate() {
            let is_end = index + 1 == segments.len();
            // IDs behind the first segments may hold anything.
            let parts = if index < IDS_FROM { segment.split(SEPARATORS).collect() } else { vec![segment.as_str()] };
            is_plain &= parts.len() == 1;
            for part in parts {
                match part {
                    "" if is_end => {}
                    "" | "." => is_plain = false,
                    ".." => {
                        is_plain = false;
                        path.pop();
                    }
                    part => path.push(part),
                }
            }
        }
        let route = if is_plain { Self::let_off(side, &path) } else { None };
        route.unwrap_or_else(|| match side {
            Side::Inbound => Self::inbound(method, &path),
            Side::Outbound => Self::server(side, &path).unwrap_or(Self::Server),
        })
    }

    fn let_off(side: Side, path: &[&str]) -> Option<Self> {
        let is_free = match side {
            Side::Inbound => path == USERINFO,
            Side::Outbound => {
                let is_query = matches!(path.split_last(), Some((_, rest)) if rest == FREE_QUERY);
                is_query || FREE_OUTBOUND.contains(&path)
            }
        };
        is_free.then_some(Self::Free)
    }

    fn inbound(method: &str, path: &[&str]) -> Self {
        if let Some(route) = Self::server(Side::Inbound, path) {
            return route;
        }
        let ["_matrix", "client", rest @ ..] = path else { return Self::Free };
        if !matches!(method, "POST" | "PUT") {
            return Self::Free;
        }
        // Behind the version, which homeservers write in several ways.
        let behind = |name: &str| rest.iter().position(|segment| *segment == name).and_then(|place| rest.get(place + 1..));
        if behind("createRoom").is_some_and(|rest| rest.len() <= 1) {
            return Self::CreateRoom;
        }
        match behind("rooms") {
            Some([_, "invite"] | [_, "invite", _]) => Self::ClientInvite,
            Some([_, "state", "m.room.member", user]) => Self::Member { user: (*user).to_owned() },
            _ => Self::Free,
        }
    }

    /// Routes between servers, and to media.
    fn server(side: Side, path: &[&str]) -> Option<Self> {
        let media = |server: &&str, is_signed| Self::Media { server: (*server).to_owned(), is_signed };
        match path {
            ["_matrix", "federation", "v1", "invite", ..] => Some(Self::Invite(Place::Body)),
            ["_matrix", "federation", _, "invite", ..] => Some(Self::Invite(Place::Event)),
            ["_matrix", "federation", ..] => Some(Self::Server),
            ["_matrix", "media", version, "download" | "thumbnail", server, ..] => Some(media(server, *version == "r0")),
            ["_matrix", "client", _, "media", "download" | "thumbnail", server, ..]
            | ["_matrix", "client", _, _, "media", "download" | "thumbnail", server, ..] => {
                Some(media(server, side == Side::Outbound))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;

    use super::*;

    fn of(side: Side, method: &str, path: &str) -> Route {
        let decode = |raw: &str| percent_decode_str(raw).decode_utf8_lossy().into_owned();
        let segments: Vec<_> = path.split('/').skip(1).map(decode).collect();
        Route::of(side, method, &segments)
    }

    fn media(is_signed: bool) -> Route {
        Route::Media { server: "a.de".to_owned(), is_signed }
    }

    #[test]
    fn inbound_routes_are_told_apart() {
        for (method, path, route) in [
            ("GET", "/_matrix/federation/v1/version", Route::Server),
            ("PUT", "/_matrix/federation/v1/send/1", Route::Server),
            ("GET", "/_matrix/federation/unstable/org.matrix.foo/x", Route::Server),
            ("PUT", "/_matrix/federation/v1/invite/!a/$b", Route::Invite(Place::Body)),
            ("PUT", "/_matrix/federation/v2/../v1/invite/!a/$b", Route::Invite(Place::Body)),
            ("PUT", "/_matrix/federation/v2/invite/!a/$b", Route::Invite(Place::Event)),
            ("GET", "/_matrix/federation/v1/openid/userinfo", Route::Free),
            ("GET", "/_matrix/key/v2/server", Route::Free),
            ("GET", "/_matrix/media/v3/download/a.de/1", media(false)),
            ("GET", "/_matrix/media/r0/thumbnail/a.de/1", media(true)),
            ("GET", "/_matrix/client/v1/media/download/a.de/1/name", media(false)),
            ("GET", "/_matrix/client/unstable/org.matrix.msc3916/media/download/a.de/1", media(false)),
            ("GET", "/_matrix/client/v1/media/config", Route::Free),
            ("POST", "/_matrix/client/v3/createRoom", Route::CreateRoom),
            ("PUT", "/_matrix/client/api/v1/createRoom/7", Route::CreateRoom),
            ("GET", "/_matrix/client/v3/createRoom", Route::Free),
            ("POST", "/_matrix/client/v3/rooms/!a:b/invite", Route::ClientInvite),
            ("PUT", "/_matrix/client/r0/rooms/!a:b/invite/1", Route::ClientInvite),
            ("PUT", "/_matrix/client/v3/rooms/!a/state/m.room.member/@u:a.de", Route::Member { user: "@u:a.de".to_owned() }),
            ("PUT", "/_matrix/client/v3/rooms/!a/send/m.room.message/invite", Route::Free),
            ("GET", "/_matrix/client/v3/sync", Route::Free),
        ] {
            assert_eq!(of(Side::Inbound, method, path), route, "{method} {path}");
        }
    }

    #[test]
    fn outbound_all_that_is_not_let_off_names_a_server() {
        for (path, route) in [
            ("/_matrix/federation/v1/send/1", Route::Server),
            ("/_matrix/federation/v1/openid/userinfo", Route::Server),
            ("/_matrix/federation/v1/media/download/1", Route::Server),
            ("/_matrix/federation/v1/invite/!a/$b", Route::Invite(Place::Body)),
            ("/_matrix/client/v3/createRoom", Route::Server),
            ("/", Route::Server),
            ("/.well-known/matrix/server", Route::Free),
            ("/_matrix/key/v2/server", Route::Free),
            ("/_matrix/key/v2/server/ed25519:1", Route::Server),
            ("/_matrix/key/v2/query", Route::Free),
            ("/_matrix/key/v2/query/a.de", Route::Free),
            ("/_matrix/identity/v2/pubkey/isvalid", Route::Free),
            ("/cas/proxyValidate", Route::Free),
            ("/_matrix/media/v3/download/a.de/1", media(false)),
            ("/_matrix/media/r0/download/a.de/1", media(true)),
            ("/_matrix/client/v1/media/thumbnail/a.de/1", media(true)),
        ] {
            assert_eq!(of(Side::Outbound, "GET", path), route, "{path}");
        }
    }

    #[test]
    fn other_ways_to_write_a_path_let_nobody_off() {
        for path in [
            "/_matrix/%66ederation/v1/version",
            "//_matrix/federation/v1/version",
            "/_matrix/./federation/v1/version",
            "/_matrix/key/../federation/v1/version",
            "/_matrix/key/%2e%2e/federation/v1/version",
            "/_matrix%2Ffederation/v1/openid/userinfo",
            "/%5fmatrix%5Cfederation%2fv1",
            "/_matrix/federation//v1/openid/userinfo",
            "/_matrix/federation/v1/send/../openid/userinfo",
        ] {
            assert_eq!(of(Side::Inbound, "GET", path), Route::Server, "{path}");
        }
        for path in
            ["/x/../.well-known/matrix/server", "//cas/proxyValidate", "/_matrix/key/v2/./query", "/_matrix%2fkey/v2/query"]
        {
            assert_eq!(of(Side::Outbound, "GET", path), Route::Server, "{path}");
        }
    }
}
