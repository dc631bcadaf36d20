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
    /// Nothing: there is a filter and nothing that it is for. It is handed in so that the proxy refuses one that is wrong.
    Nothing,
}

impl Plan {
    pub(crate) fn new(settings: &Settings) -> Self {
        let sends = |phase| settings.send_error.as_ref().is_some_and(|error| error.phase == phase);
        let mut roles = Vec::new();
        let has_request = !settings.request_url.is_empty() || sends(Phase::Request);
        if has_request {
            roles.push(Role::Request);
        }
        let is_filtered = is_about_connections(&settings.filter);
        let knows_body = has_request && is_filtered;
        if !settings.response_url.is_empty() && !knows_body {
            roles.push(Role::RequestBody { is_filtered });
        }
        if !settings.response_url.is_empty() || sends(Phase::Response) {
            roles.push(Role::Response);
        }
        if roles.is_empty() && !settings.filter.trim().is_empty() {
            roles.push(Role::Nothing);
        }
        Self { filter: settings.filter.clone(), roles }
    }

    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let filtered = |event| Subscription::to(event).filter(self.filter.as_str());
        let subscribed = self.roles.iter().map(|role| match role {
            Role::Request | Role::RequestBody { is_filtered: true } => filtered(Event::Request),
            Role::RequestBody { is_filtered: false } => Subscription::to(Event::Request),
            Role::Response => filtered(Event::Response),
            Role::Nothing => Subscription::to(Event::Request).filter(format!("({}) & !~all", self.filter)),
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

/// Whether a parenthesis is closed that was never opened: within others, that would not be seen. In quotes it is none.
pub(crate) fn closes_too_many(filter: &str) -> bool {
    let (mut depth, mut quote, mut is_escaped) = (0_usize, None, false);
    for letter in filter.chars() {
        match (quote, letter) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return true,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    false
}

/// Whether the filter surely says of a response what it said of its request: it does where it asks for nothing but the listener
/// and the client. What is left of a request may be others' doing by then: another URL, as with `map_remote`, another method,
/// other fields, another body.
fn is_about_connections(filter: &str) -> bool {
    let mut words =
        filter.split(|letter: char| letter.is_whitespace() || matches!(letter, '(' | ')')).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        match word.trim_matches(['!', '&', '|']) {
            "" | "~all" => {}
            // Not where words may end elsewhere than it looks.
            "~l" | "~src" if words.next().is_some_and(|word| !word.contains(['"', '\'', '~', '!', '&', '|'])) => {}
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parentheses_are_closed_where_they_were_opened() {
        for filter in ["", "(a)", "((a) | (b))", "\")\"", "'a)'", r#""a\")""#, "("] {
            assert!(!closes_too_many(filter), "{filter}");
        }
        for filter in [")", "a) | (b", "\"(\")", r#""\")" )"#] {
            assert!(closes_too_many(filter), "{filter}");
        }
    }

    #[test]
    fn filters_about_connections_are_told_from_others() {
        for filter in ["", " ", "~all", "~l hs1", "!~l hs1", "(~l hs1 | ~src 127) & !(~all)", "~src ^10 ~l main"] {
            assert!(is_about_connections(filter), "{filter}");
        }
        for filter in [
            "sync", "~u /sync", "~d a", "~p ^/b", "~m GET", "~hq a", "~h a", "~bq a", "~tq json", "~dst a", "~http", "~q",
            "~c 200", "~s", "~a",
        ] {
            for filter in
                [filter.to_owned(), format!("~l main & {filter}"), format!("({filter}) | ~l main"), format!("!{filter}")]
            {
                assert!(!is_about_connections(&filter), "{filter}");
            }
        }
        for filter in ["~l main sync", "~l & sync", "~l main&~u a ~all", "~l \"a sync\"", "~l", "~all&~u sync"] {
            assert!(!is_about_connections(filter), "{filter}");
        }
    }
}
