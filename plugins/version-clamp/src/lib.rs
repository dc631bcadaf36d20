//! Limits what clients see of a Matrix homeserver to one version of the specification.
//!
//! - **Clamp**: of the versions that `GET /_matrix/client/versions` lists, only those up to `max` stay.
//! - **Fence**: only the methods and paths of a table go through; the tables are in the folder `tables/`.
//!
//! | Option | Default | Meaning |
//! |---|---|---|
//! | `max` | `"v1.11"` | the highest version that stays |
//! | `unstable_features` | `"drop"` | `"drop"` empties the object of this name in the same answer, `"keep"` leaves it |
//! | `fence` | `"matrix-v1.11"` | the table: `"matrix-v1.11"`, `"tim"`, `"tim-outbound"` or `"off"`; or one for each listener, as `{"inbound": "tim", "outbound": "tim-outbound"}`, where listeners that are not named have no fence |
//! | `allow` | `[]` | rules like `"GET /_matrix/client/unstable/foo/{id}"` that go through besides the table |
//! | `deny` | `[]` | rules that don't go through, whatever the table and `allow` say |
//! | `open_hosts` | `[]` | hosts, as `"sso.example"`, to which requests go with any path but those of `deny`: by where they are sent, whatever Host says |
//!
//! A rule is a method, or `ANY`, and a path: `{name}` stands for one segment that is not empty; at the end, `{name?}` for one
//! that may be empty or missing, and `{...}` for everything behind the slash.

mod clamp;
mod fence;
mod options;
mod version;

use tollgate_sdk::{
    Addon, Error, Event, Flow, OptionErrors, Origin, Request, RequestVerdict, Response, ResponseVerdict, Subscription, log,
};

use crate::{clamp::Clamp, fence::Fences, options::Options};

/// Fields that vouch for the body as it was (RFC 9110, 8.8.3; RFC 9530).
const VALIDATORS: [&str; 5] = ["ETag", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"];

/// The addon.
#[derive(Debug)]
pub struct VersionClamp {
    clamp: Clamp,
    /// Where there is none, every request goes through.
    fences: Fences,
}

impl Addon for VersionClamp {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        options.check()
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let clamp = Subscription::to(Event::Response).filter("~c 200 & ~m ^GET$ & ~p ^/_matrix/client/versions$").with_body();
        // What is outside of the table can't be told by a filter: the fence has to see every request.
        let fence = (!self.fences.is_empty()).then(|| Subscription::to(Event::Request));
        std::iter::once(clamp).chain(fence).collect()
    }

    fn request(&mut self, flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        let method = request.method();
        match self.fences.check(&flow.listener(), &request.upstream(), &method, &request.path_and_query()) {
            Ok(()) => Ok(RequestVerdict::Next),
            Err(refused) => Ok(refused.into_response().into()),
        }
    }

    fn response(&mut self, _flow: &Flow, _request: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        if response.origin() != Origin::Upstream || response.status() != 200 {
            return Ok(ResponseVerdict::Next);
        }
        let body = response.body().unwrap_or_default();
        if let Some(clamped) = self.clamp.apply(&body) {
            for entry in &clamped.no_versions {
                log::warn!(entry = entry.as_str(); "dropped from the list of versions what is no version");
            }
            response.set_body(clamped.body)?;
            for name in VALIDATORS {
                response.remove_header(name)?;
            }
        }
        Ok(ResponseVerdict::Next)
    }
}

tollgate_sdk::export!(VersionClamp);
