//! What is subscribed to.

use tollgate_sdk::{Event, Flow, OverCap, Subscription};

use crate::{Phase, options::Settings};

/// The subscriptions, and what each is for.
#[derive(Debug)]
pub(crate) struct Plan {
    filter: String,
    roles: Vec<Role>,
}

/// What a subscription is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The request callback, or errors in its place.
    Request,
    /// Nothing but that the request's body is known when there is a response: it is only if somebody asked for it.
    RequestBody {
        /// Whether the filter already tells which flows have a callback later.
        is_filtered: bool,
    },
    /// The response callback, or errors in its place.
    Response,
}

/// Atoms that say of a response what they said of its request.
const ABOUT_REQUESTS: [&str; 12] = ["all", "bq", "d", "dst", "hq", "http", "l", "m", "p", "src", "tq", "u"];

impl Plan {
    pub(crate) fn new(settings: &Settings) -> Self {
        let sends = |phase| settings.send_error.as_ref().is_some_and(|error| error.phase == phase);
        let mut roles = Vec::new();
        let has_request = !settings.request_url.is_empty() || sends(Phase::Request);
        if has_request {
            roles.push(Role::Request);
        }
        let is_filtered = is_about_requests(&settings.filter);
        let knows_body = has_request && is_filtered;
        if !settings.response_url.is_empty() && !knows_body {
            roles.push(Role::RequestBody { is_filtered });
        }
        if !settings.response_url.is_empty() || sends(Phase::Response) {
            roles.push(Role::Response);
        }
        Self { filter: settings.filter.clone(), roles }
    }

    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let filtered = |event| Subscription::to(event).filter(self.filter.as_str());
        let subscribed = self.roles.iter().map(|role| match role {
            Role::Request | Role::RequestBody { is_filtered: true } => filtered(Event::Request),
            Role::RequestBody { is_filtered: false } => Subscription::to(Event::Request),
            Role::Response => filtered(Event::Response),
        });
        // A body over the cap is a callback that fails, and no reason to refuse flows that have none.
        subscribed.map(|subscription| subscription.with_body().over_cap(OverCap::Truncate)).collect()
    }

    /// Whether the subscription with this role called the hook.
    pub(crate) fn is_called(&self, flow: &Flow, role: Role) -> bool {
        let index = self.roles.iter().position(|other| *other == role).and_then(|index| u32::try_from(index).ok());
        index.is_some_and(|index| flow.is_matched(index))
    }
}

/// Whether the filter says of a response what it said of its request. Not where it looks so only: a tilde in quotes counts as
/// an atom.
fn is_about_requests(filter: &str) -> bool {
    let atoms = filter.split('~').skip(1).map(|text| text.split(|letter: char| !letter.is_ascii_alphabetic()).next());
    atoms.flatten().all(|atom| ABOUT_REQUESTS.contains(&atom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_about_requests_are_told_from_others() {
        for filter in ["", "sync", "~u /sync", "~m GET ~u capabilities ~hq syt_a", "!(~d a | ~p ^/b) & ~l main", "~tq json ~bq x"]
        {
            assert!(is_about_requests(filter), "{filter}");
        }
        for filter in
            ["~q", "~s", "!~q", "~c 200", "~h x", "~hs x", "~b x", "~bs x", "~t x", "~ts x", "~a", "~e", "~m GET&~c 200"]
        {
            assert!(!is_about_requests(filter), "{filter}");
        }
    }
}
