//! Invitations name a user, who wants them.

use std::time::Duration;

use tollgate_sdk::{Request, http};

use crate::{
    object::Object,
    options::Settings,
    permission::{self, domain_of},
    redaction::{as_client, relayed},
    refusal::Refused,
    state::MEMBER,
};

const TIMEOUT: Duration = Duration::from_secs(10);
/// What invites somebody by an address, whomever `user_id` names beside.
const ADDRESSES: [&str; 4] = ["medium", "address", "id_server", "id_access_token"];

/// An invitation into a room.
pub(crate) fn check(settings: &Settings, request: &Request, body: &[u8]) -> Result<(), Refused> {
    if !settings.rules.invites && settings.proxied.is_none() {
        return Ok(());
    }
    let body = Object::of_body(body)?;
    if settings.rules.invites && ADDRESSES.iter().any(|key| body.has(key)) {
        return Err(Refused::bad_json(&settings.texts.invites));
    }
    match body.string("user_id")? {
        Some(invitee) => permitted(settings, request, &[invitee]),
        None if settings.rules.invites => Err(Refused::bad_json(&settings.texts.invites)),
        None => Ok(()),
    }
}

/// Invitations that come with a new room. Those that its first state would hold nobody counts or asks for: there are none.
pub(crate) fn with_room(settings: &Settings, request: &Request, body: &[u8]) -> Result<(), Refused> {
    let rules = &settings.rules;
    if !(rules.invites || rules.one_invite) && settings.proxied.is_none() {
        return Ok(());
    }
    let room = Object::of_body(body)?;
    for event in room.list("initial_state")?.unwrap_or_default() {
        let event = Object::read(event).ok_or_else(|| Refused::bad_json("\"initial_state\" holds what is no event"))?;
        if event.string("type")?.as_deref() == Some(MEMBER) {
            return Err(Refused::bad_json("\"initial_state\" must not say who is in the room"));
        }
    }
    if rules.invites && room.list("invite_3pid")?.is_some_and(|invited| !invited.is_empty()) {
        return Err(Refused::bad_json(&settings.texts.invites));
    }
    let invited = room.list("invite")?.unwrap_or_default();
    let invited: Vec<String> = invited.into_iter().filter_map(|user| serde_json::from_str(user).ok()).collect();
    permitted(settings, request, &invited)
}

/// An invitation as a state event of the invited user's.
pub(crate) fn as_state(settings: &Settings, request: &Request, invitee: &str, body: &[u8]) -> Result<(), Refused> {
    if settings.proxied.is_none() || Object::of_body(body)?.string("membership")?.as_deref() != Some("invite") {
        return Ok(());
    }
    permitted(settings, request, &[invitee.to_owned()])
}

/// An invitation that another homeserver sends: the event itself in a body of version 1, the event within it later.
pub(crate) fn federated(settings: &Settings, request: &Request, body: &[u8], is_body: bool) -> Result<(), Refused> {
    let Some(proxied) = &settings.proxied else { return Ok(()) };
    let body = Object::of_body(body)?;
    let blocked = || Refused::forbidden(&settings.texts.invite_permission);
    let event = if is_body { body } else { body.object("event")?.ok_or_else(blocked)? };
    let content = event.object("content")?.ok_or_else(blocked)?;
    let (Some(invitee), Some(inviter)) = (event.string("state_key")?, event.string("sender")?) else { return Err(blocked()) };
    let is_invite = content.string("membership")?.as_deref() == Some("invite");
    if is_invite && permission::is_given(proxied, settings.policy, request, &invitee, &inviter)? {
        Ok(())
    } else {
        Err(blocked())
    }
}

/// Whether those of the invited who live here want it. What others want, their own proxies know.
fn permitted(settings: &Settings, request: &Request, invited: &[String]) -> Result<(), Refused> {
    let Some(proxied) = &settings.proxied else { return Ok(()) };
    let mut here = invited.iter().filter(|user| domain_of(user) == proxied.home_domain).peekable();
    if here.peek().is_none() {
        return Ok(());
    }
    let inviter = whoami(request)?;
    for invitee in here {
        if !permission::is_given(proxied, settings.policy, request, invitee, &inviter)? {
            return Err(Refused::forbidden(&settings.texts.invite_permission));
        }
    }
    Ok(())
}

/// Who sends the request.
fn whoami(request: &Request) -> Result<String, Refused> {
    let unknown = || Refused::new(502, "M_UNKNOWN", "the homeserver did not tell who invites");
    let question = as_client(request, format!("{}/_matrix/client/v3/account/whoami", request.upstream()));
    let response: http::Response = question.timeout(TIMEOUT).send().map_err(|_| unknown())?;
    match response.status {
        200 => permission::user_of(&response).ok_or_else(unknown),
        401 | 429 => Err(Refused::Relayed(relayed(&response))),
        _ => Err(unknown()),
    }
}
