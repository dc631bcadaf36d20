//! Who is asking.
//!
//! The access token of a request, from `Authorization: Bearer` or the query's `access_token`, is shown to the homeserver
//! (`GET /_matrix/client/v3/account/whoami`), and its answer kept by a hash of the token.
//!
//! | Field | Default | Range | Meaning |
//! |---|---|---|---|
//! | `homeserverUrl` | the flow's upstream | | the homeserver to ask, like `https://matrix.example.org`; another one than the upstream needs a grant (`http`) |
//! | `whoami.timeoutMilliseconds` | 10000 | 1 to 60000 | for one question |
//! | `whoami.cacheMilliseconds` | 300000 | 0 to 86400000 | how long an answer is kept; 0: not at all |
//! | `whoami.unknownCacheMilliseconds` | 30000 | 0 to 86400000 | the same for tokens that the homeserver does not know |
//!
//! That a homeserver did not answer is not kept. Two flows with the same new token may both ask. Without the grant `kv` every
//! flow asks; then each question is a warning in the log. If the store is full, what is new is not kept, and what ends one token
//! ends belief in all that is kept. Of tokens that the homeserver refuses at most 4,096 are kept.
//!
//! A token is forgotten when its logout went well, or when the homeserver answers 401 to it; all tokens of a user when
//! `logout/all`, a change of the password, the end of the account or of a device went well, by the client's API or by Synapse's
//! admin API. What passes by elsewhere, and a password that was reset without a token, is known when the time is over.

mod cache;
mod endings;
mod forms;
mod settings;
#[cfg(test)]
mod tests;
mod token;
mod whoami;

use tollgate_sdk::{
    Event, OptionErrors, Origin, Request, Response, Subscription, log,
    serde_json::{Map, Value},
};

pub(crate) use self::whoami::Refusal;
use self::{
    cache::{Cache, Kept},
    endings::Ending,
    settings::Settings,
    token::{Credentials, Token},
    whoami::Answer,
};
use crate::checks::Denied;

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Somebody without a token.
    Anonymous,
    /// This user, or an application service on behalf of it.
    Known(String),
    /// Somebody whose token the homeserver does not take.
    Refused(Refusal),
    /// Somebody with credentials that homeservers refuse, or read in more than one way.
    Illegal(Denied),
    /// Somebody with a token about which the homeserver does not say anything, or that is withheld from the addon. It may be
    /// anybody: never to be taken as nobody where anything depends on who asks.
    Unanswered,
}

/// Finds out who sends requests.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    settings: Settings,
}

impl Identity {
    /// The top-level fields that it reads.
    pub(crate) const FIELDS: [&str; 2] = ["homeserverUrl", "whoami"];

    /// Reads its fields of a policy document; all that is wrong goes to `errors`.
    pub(crate) fn read(document: &Map<String, Value>, errors: &mut OptionErrors) -> Self {
        Self { settings: Settings::read(document, errors) }
    }

    /// What [`request`](Self::request), [`refuses`](Self::refuses) and [`response`](Self::response) have to see.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let mut subscriptions = vec![Subscription::to(Event::Request).filter(forms::FILTER)];
        if self.is_caching() {
            subscriptions.extend([
                Subscription::to(Event::Request).filter(endings::FILTER),
                Subscription::to(Event::Response).filter(format!("~c 200 & ( {} )", endings::FILTER)),
                Subscription::to(Event::Response).filter(r#"~c 401 & ~p "^/+_matrix/""#),
            ]);
        }
        subscriptions
    }

    /// Who sent this request. Asks the homeserver if it is not known.
    pub(crate) fn asker(&self, request: &Request<'_>) -> Asker {
        self.find(request, true)
    }

    fn find(&self, request: &Request<'_>, keeps_refusals: bool) -> Asker {
        let token = match Credentials::of(request) {
            Credentials::None => return Asker::Anonymous,
            Credentials::Token(token) => token,
            Credentials::Illegal(denied) => return Asker::Illegal(denied),
            Credentials::Withheld => {
                log::warn!("Authorization is withheld from this addon: it cannot tell who asks");
                return Asker::Unanswered;
            }
        };
        let homeserver = self.homeserver(request);
        let cache = Cache::new(&homeserver, &self.settings);
        match cache.get(&token) {
            Some(Kept::Known(user)) => return Asker::Known(user),
            Some(Kept::Refused(refusal)) => return Asker::Refused(refusal),
            None => {}
        }
        if self.is_caching() && !cache::is_granted() {
            log::warn!("kv is not granted: the homeserver is asked about every request");
        }
        let before = cache.before(&token);
        match whoami::ask(&homeserver, &token, request, self.settings.timeout) {
            Answer::Known(user) => {
                cache.keep(&token, &Kept::Known(user.clone()), before);
                Asker::Known(user)
            }
            Answer::Refused(refusal) => {
                if keeps_refusals {
                    cache.keep(&token, &Kept::Refused(refusal.clone()), before);
                }
                Asker::Refused(refusal)
            }
            Answer::Nothing => Asker::Unanswered,
        }
    }

    /// Why a request is not let through whoever sent it: its body could tell the homeserver another identity than it told us.
    pub(crate) fn refuses(request: &Request<'_>) -> Option<Denied> {
        forms::may_hide_identity(request).then_some(Denied::forbidden("forms are not let through to this API: send JSON"))
    }

    /// To be called for requests: whose tokens a request ends has to be known before it does.
    pub(crate) fn request(&self, request: &Request<'_>) {
        if self.is_caching() && Ending::of(request) == Some(Ending::Asker) {
            // Nothing depends on who it is, so strangers leave nothing behind.
            let _ = self.find(request, false);
        }
    }

    /// To be called for responses: forgets tokens that are none any more.
    pub(crate) fn response(&self, request: &Request<'_>, response: &Response<'_>) {
        if !self.is_caching() || response.origin() != Origin::Upstream {
            return;
        }
        let ending = if response.status() == 200 { Ending::of(request) } else { None };
        let homeserver = self.homeserver(request);
        let cache = Cache::new(&homeserver, &self.settings);
        if let Some(Ending::User(user)) = ending {
            cache.forget_user(&user);
            return;
        }
        let Credentials::Token(token) = Credentials::of(request) else { return };
        match ending {
            _ if response.status() == 401 => forget_refused(&cache, &token),
            Some(Ending::Token) => cache.forget_token(&token),
            Some(Ending::Asker) => match cache.get(&token) {
                Some(Kept::Known(user)) => cache.forget_user(&user),
                // It went well, so somebody's tokens have ended, but there was no room to keep whose.
                _ => cache.forget_all(),
            },
            Some(Ending::User(_)) | None => {}
        }
    }

    const fn is_caching(&self) -> bool {
        self.settings.known.is_some() || self.settings.unknown.is_some()
    }

    fn homeserver(&self, request: &Request<'_>) -> String {
        self.settings.homeserver.clone().unwrap_or_else(|| request.upstream().trim_end_matches('/').to_owned())
    }
}

/// What is negative stays: a stranger who tries tokens is not to be asked about each time.
fn forget_refused(cache: &Cache<'_>, token: &Token) {
    if let Some(Kept::Known(_)) = cache.get(token) {
        cache.forget(token);
    }
}
