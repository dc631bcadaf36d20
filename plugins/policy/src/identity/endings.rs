//! Requests that end tokens.

use percent_encoding::percent_decode_str;
use tollgate_sdk::Request;

/// Which tokens end when the homeserver answers 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// That of the request.
    Token,
    /// All of the user who asks.
    Asker,
    /// All of this user.
    User(String),
}

/// Matches all such requests, and few others.
pub(super) const FILTER: &str = r#"~m "^(?:POST|PUT|DELETE)$" & ( ~p "^/_matrix/client/.*/(?:logout|logout/all|account/password|account/deactivate|delete_devices|devices/[^/]*)/?$" | ~p "^/_synapse/admin/v[0-9]+/(?:deactivate|reset_password|users)/" )"#;

impl Ending {
    /// What a request ends; none if nothing.
    pub(super) fn of(request: &Request<'_>) -> Option<Self> {
        let path = request.path();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let method = request.method();
        Self::find(&method, &segments)
    }

    fn find(method: &str, segments: &[&str]) -> Option<Self> {
        let user = |text: &str| Some(Self::User(percent_decode_str(text).decode_utf8_lossy().into_owned()));
        match (method, segments) {
            ("POST", ["_matrix", "client", .., "logout"]) => Some(Self::Token),
            (
                "POST",
                ["_matrix", "client", .., "logout", "all"]
                | ["_matrix", "client", .., "delete_devices"]
                | ["_matrix", "client", .., "account", "password" | "deactivate"],
            )
            | ("DELETE", ["_matrix", "client", .., "devices", _]) => Some(Self::Asker),
            (
                "POST",
                ["_synapse", "admin", _, "deactivate" | "reset_password", id]
                | ["_synapse", "admin", _, "users", id, "delete_devices"],
            )
            | ("PUT", ["_synapse", "admin", _, "users", id])
            | ("DELETE", ["_synapse", "admin", _, "users", id, "devices", _]) => user(id),
            _ => None,
        }
    }
}
