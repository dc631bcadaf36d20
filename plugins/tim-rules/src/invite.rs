//! Invitations name a user, who wants them.

use std::time::Duration;

use tollgate_sdk::{Request, http};

use crate::{
    object::Object,
    options::Settings,
    permission::{self, domain_of},
    redaction::{as_client, relayed},
    refusal::Refused,
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// An invitation into a room.
pub(crate) fn check(settings: &Settings, request: &Request, body: &[u8]) -> Result<(), Refused> {
    if !settings.rules.invites && settings.proxied.is_none() {
        return Ok(());
    }
    let invitee = Object::of_body(body)?.string("user_id")?;
    match invitee {
        Some(invitee) => permitted(settings, request, &[invitee]),
        None if settings.rules.invites => Err(Refused::bad_json(&settings.texts.invites)),
        None => Ok(()),
    }
}

/// Invitations that come with a new room.
pub(crate) fn with_room(settings: &Settings, request: &Request, body: &[u8]) -> Result<(), Refused> {
    if settings.proxied.is_none() {
        return Ok(());
    }
    let invited = Object::of_body(body)?.list("invite")?.unwrap_or_default();
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

/// An invitation that another homeserver sends: the event in a body of version 2, the event itself in one of version 1.
pub(crate) fn federated(settings: &Settings, request: &Request, body: &[u8]) -> Result<(), Refused> {
    let Some(proxied) = &settings.proxied else { return Ok(()) };
    let body = Object::of_body(body)?;
    let event = body.object("event")?.unwrap_or(body);
    let blocked = || Refused::forbidden(&settings.texts.invite_permission);
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
