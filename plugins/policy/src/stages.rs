//! Which event types a flow goes through, in which order.

use crate::{checks::Checked, document::hook::EventType};

/// What kind of route a request is for.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    /// Checked against the policy.
    Checked(Checked),
    /// `POST /login`: nobody is known there, whatever token is sent.
    Login,
    /// All others.
    Open,
}

impl Route {
    /// The route of a method and a decoded path.
    pub(crate) fn of(method: &str, path: &str) -> Self {
        match Checked::of(method, path) {
            Some(checked) => Self::Checked(checked),
            None if method == "POST" && is_login(path) => Self::Login,
            None => Self::Open,
        }
    }

    /// Event types after `BeforeAny` and before the homeserver is asked.
    pub(crate) const fn before(&self, is_user_known: bool) -> &'static [EventType] {
        match (self, is_user_known) {
            (Self::Checked(_), true) => &[EventType::BeforeAuthenticated, EventType::BeforeAuthenticatedPolicyChecked],
            (Self::Open, true) => &[EventType::BeforeAuthenticated],
            (Self::Login, _) | (_, false) => &[EventType::BeforeUnauthenticated],
        }
    }

    /// Event types after `AfterAny` once the homeserver has answered.
    pub(crate) const fn after(&self, is_user_known: bool) -> &'static [EventType] {
        match (self, is_user_known) {
            (Self::Checked(_), true) => &[EventType::AfterAuthenticated, EventType::AfterAuthenticatedPolicyChecked],
            (Self::Open, true) => &[EventType::AfterAuthenticated],
            (Self::Login, _) | (_, false) => &[EventType::AfterUnauthenticated],
        }
    }
}

/// Whether this is the path to log in at, in a version that there is.
fn is_login(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/_matrix/client/") else { return false };
    let Some((version, rest)) = rest.split_once('/') else { return false };
    let digits = version.strip_prefix('v').unwrap_or("0");
    let is_version = version == "r0" || (version.starts_with('v') && !digits.is_empty());
    is_version && digits.bytes().all(|byte| byte.is_ascii_digit()) && matches!(rest, "login" | "login/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logging_in_is_a_route_of_its_own() {
        for path in ["/_matrix/client/r0/login", "/_matrix/client/v3/login", "/_matrix/client/v11/login/"] {
            assert!(matches!(Route::of("POST", path), Route::Login), "{path}");
        }
        for path in ["/_matrix/client/r1/login", "/_matrix/client/v/login", "/_matrix/client/unstable/login", "/login"] {
            assert!(matches!(Route::of("POST", path), Route::Open), "{path}");
        }
        assert!(matches!(Route::of("GET", "/_matrix/client/v3/login"), Route::Open));
    }

    #[test]
    fn nobody_is_known_at_login() {
        for is_known in [false, true] {
            assert_eq!(Route::Login.before(is_known), [EventType::BeforeUnauthenticated]);
            assert_eq!(Route::Login.after(is_known), [EventType::AfterUnauthenticated]);
        }
    }

    #[test]
    fn types_run_in_the_order_of_the_document() {
        use EventType::{AfterAuthenticated, BeforeAuthenticated, BeforeUnauthenticated};
        assert_eq!(Route::Open.before(true), [BeforeAuthenticated]);
        assert_eq!(Route::Open.before(false), [BeforeUnauthenticated]);
        assert_eq!(Route::Open.after(true), [AfterAuthenticated]);
    }
}
