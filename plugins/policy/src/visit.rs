//! What is known of a flow, from its first hook to its last.

use tollgate_sdk::Request;

use crate::{
    document::{
        Terms,
        hook::{EventType, Hook},
        reply::Reply,
    },
    identity::Asker,
    path,
    stages::Route,
    subscribe,
};

/// A flow as its request came in. Later hooks go by it, whatever other addons made of the request.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) method: String,
    /// Decoded.
    pub(crate) path: Vec<u8>,
    pub(crate) route: Route,
    /// Places of the hooks whose rules about method and path match; none where the path is too long for them.
    matching: Option<Vec<usize>>,
    /// None before it is asked for.
    asker: Option<Asker>,
    /// As it was sent on, where an after hook may tell it to a service.
    pub(crate) request_body: Option<Vec<u8>>,
}

/// Bytes of a decoded path that rules are evaluated on. Synapse takes 16 KiB of request line, and real paths are far below this.
const MAX_PATH: usize = 8 * 1024;

impl Visit {
    pub(crate) fn of(terms: &Terms, request: &Request<'_>) -> Self {
        let (method, path) = (request.method(), path::decoded(&request.path_and_query()));
        let route = Route::of(&method, &String::from_utf8_lossy(&path));
        let is_too_long = path.len() > MAX_PATH && subscribe::has_routes(&terms.hooks);
        let matching = (!is_too_long).then(|| {
            let hooks = terms.hooks.iter().enumerate().filter(|(_, hook)| hook.is_for(&method, &path));
            hooks.map(|(place, _)| place).collect()
        });
        Self { method, path, route, matching, asker: None, request_body: None }
    }

    /// The answer where rules would take too long to look at the path: that none of them matches is not known.
    pub(crate) fn refusal(&self) -> Option<Reply> {
        let is_too_long = self.matching.is_none();
        is_too_long.then(|| Reply::error(414, "M_UNKNOWN", &format!("The path is longer than {MAX_PATH} bytes")))
    }

    /// Whether hooks don't apply: a browser asks whether it may ask, and has to be told by the homeserver.
    pub(crate) fn is_preflight(&self) -> bool {
        self.method == "OPTIONS"
    }

    /// Who asks; resolved when it is needed first.
    pub(crate) fn asker(&mut self, terms: &Terms, request: &Request<'_>) -> &Asker {
        self.asker.get_or_insert_with(|| match self.route {
            Route::Login => Asker::Anonymous,
            Route::Checked(_) | Route::Open => terms.identity.asker(request),
        })
    }

    /// The Matrix ID of who asks. None also where it can't be told: where that matters, the flow has been ended before.
    pub(crate) fn user(&mut self, terms: &Terms, request: &Request<'_>) -> Option<&str> {
        match self.asker(terms, request) {
            Asker::Known(user) => Some(user),
            Asker::Anonymous | Asker::Refused(_) | Asker::Illegal(_) | Asker::Unanswered => None,
        }
    }

    /// Whether it makes a difference to this hook who asks: somebody known, or nobody.
    ///
    /// What is for nobody alone does not count: it takes nobody's place where nothing is for somebody.
    pub(crate) fn depends_on_asker(&self, hook: &Hook) -> bool {
        use EventType::{
            AfterAny, AfterAuthenticated, AfterAuthenticatedPolicyChecked, AfterUnauthenticated, BeforeAny, BeforeAuthenticated,
            BeforeAuthenticatedPolicyChecked, BeforeUnauthenticated,
        };
        if matches!(self.route, Route::Login) {
            // Nobody is known there.
            return false;
        }
        match hook.event {
            BeforeAuthenticated | AfterAuthenticated => true,
            BeforeAuthenticatedPolicyChecked | AfterAuthenticatedPolicyChecked => matches!(self.route, Route::Checked(_)),
            // A service is told who asks, and may go by it.
            BeforeAny | AfterAny => hook.has_user_rule() || hook.deed.consults(),
            BeforeUnauthenticated | AfterUnauthenticated => hook.has_user_rule(),
        }
    }

    /// Hooks of this event type whose rules about method and path match.
    pub(crate) fn hooks<'t>(&self, terms: &'t Terms, event: EventType) -> Vec<&'t Hook> {
        self.matching(terms).into_iter().filter(|hook| hook.event == event).collect()
    }

    /// All hooks whose rules about method and path match.
    pub(crate) fn matching<'t>(&self, terms: &'t Terms) -> Vec<&'t Hook> {
        self.matching.iter().flatten().filter_map(|place| terms.hooks.get(*place)).collect()
    }
}
