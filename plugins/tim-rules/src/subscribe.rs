//! The requests that rules are about, as filters of the core: others never get here.
//!
//! A filter may let through more than it should, since the request is looked at again; never less.

use tollgate_sdk::{Event, Subscription};

use crate::options::Settings;

/// Paths that can be read in more than one way. Few clients write such a path but for a user or room with a slash in it.
const ODD: &str = r#"(~p "[%;\\\\]|//|/[.][.]?(?:/|$)" & ~p "(?i)matrix|%")"#;

/// What the rules in force want to see.
pub(crate) fn to(settings: &Settings) -> Vec<Subscription> {
    let rules = &settings.rules;
    let invites = rules.invites || settings.proxied.is_some();
    let with_body: Vec<&str> = [
        (rules.status_message, "/presence/[^/]*/status"),
        (settings.judges_rooms(), "/createroom"),
        (rules.room_versions, "/rooms/[^/]*/upgrade"),
        (invites, "/rooms/[^/]*/invite"),
        (rules.threads || rules.reactions || rules.redactions, "/rooms/[^/]*/send/[^/]*"),
        (rules.join_rules || settings.proxied.is_some(), "/rooms/[^/]*/state/[^/]*"),
        (settings.proxied.is_some(), "/_matrix/federation/[^/]*/invite"),
    ]
    .into_iter()
    .filter_map(|(holds, path)| holds.then_some(path))
    .collect();
    let without: Vec<&str> = [(rules.redactions, "/rooms/[^/]*/redact"), (rules.guests, "/register")]
        .into_iter()
        .filter_map(|(holds, path)| holds.then_some(path))
        .collect();
    let mut subscriptions = Vec::new();
    let written = |paths: &[&str]| format!(r#"~m "^(?:POST|PUT)$" & (~p "(?i)(?:{})(?:/|$)" | {ODD})"#, paths.join("|"));
    if !with_body.is_empty() {
        subscriptions.push(Subscription::to(Event::Request).filter(written(&with_body)).with_body());
    }
    if !without.is_empty() {
        subscriptions.push(Subscription::to(Event::Request).filter(written(&without)));
    }
    if rules.push_rules {
        subscriptions.push(Subscription::to(Event::Request).filter(r#"~m "^(?:GET|HEAD|PUT)$" & ~p "(?i)/pushrules""#));
    }
    if rules.permission_default {
        let path = r#"~p "/account_data/de[.]gematik[.]tim[.]account[.]permissionconfig[.](?:pro[.])?v1$""#;
        subscriptions.push(Subscription::to(Event::Response).filter(format!(r#"~c 404 & ~m "^GET$" & {path}"#)));
    }
    subscriptions
}
