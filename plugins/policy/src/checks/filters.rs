//! The checked routes in the proxy's filter language, so that other flows never get here.
//!
//! A filter may let through more than it should, since the request is looked at again; never less.

/// A filter of requests, and whether their bodies are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// In the language of the proxy.
    pub(crate) expression: String,
    /// Whether the hook needs the whole body of what matches.
    pub(crate) needs_body: bool,
}

const PREFIX: &str = "(?i)^/_matrix/client/(?:[rv][0-9]+|unstable(?:/[^/]+)?|api/v1)/";
/// Paths that can be read in more than one way. No client writes such a path but for a room or user with a slash in it.
const ODD: &str = r#"~p "[%;\\\\]|//|/[.][.]?(?:/|$)" & ~p "(?i)matrix|%""#;

/// Filters that together match every checked route.
pub(super) fn checked() -> Vec<Filter> {
    let written = |route: &str| format!(r#"~m "^(?:POST|PUT)$" & ~p "{PREFIX}{route}""#);
    let profile = |field: &str| format!(r#"~m "^(?:POST|PUT|PATCH|DELETE)$" & ~p "{PREFIX}profile/[^/]*{field}""#);
    let seen = [
        written("rooms/[^/]*/(?:leave|send|upgrade)(?:/|$)"),
        written("rooms/[^/]*/state/m[.]room[.](?:member|encryption)(?:/|$)"),
        written("account/(?:deactivate|password)/?$"),
        profile("/avatar_url"),
    ];
    let read = [
        written("createRoom(?:/|$)"),
        written("rooms/[^/]*/kick(?:/|$)"),
        profile("(?:/displayname|/?$)"),
        format!(r#"~m "^(?:POST|PUT|PATCH|DELETE)$" & {ODD}"#),
    ];
    vec![Filter { expression: seen.join(" | "), needs_body: false }, Filter { expression: read.join(" | "), needs_body: true }]
}

/// Matches every path whose version is refused.
pub(super) fn refused_versions() -> String {
    let numbered = r#"~p "(?i)^/_matrix/client/[rv][0-9]+(?:/|$)""#;
    let served = r#"~p "(?i)^/_matrix/client/(?:r0|v1|v3)(?:/|$)""#;
    format!("{numbered} & !{served} | {ODD}")
}
