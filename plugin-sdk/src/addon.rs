//! The trait that every addon implements.

use serde::de::DeserializeOwned;

use crate::{
    Chunk, ChunkVerdict, ConnectVerdict, Error, Flow, MadeResponse, OptionErrors, Outcome, Request, RequestVerdict, Response,
    ResponseVerdict, SseEvent, SseVerdict, Subscription, UpstreamFailure, WebsocketMessage, WebsocketVerdict,
};

/// An addon: configured once a generation, then shown flows, each by a copy of its own.
///
/// Hooks run only for events that [`subscriptions`](Self::subscriptions) asks for, and have a default that lets everything
/// pass. Events of one flow, in the only order in which they can happen: `connect`, `request`, `request_chunk`…, then either
/// `response` or (`upstream_error`, then `response`), `response_chunk`… or `sse_event`… or `websocket_message`…, `finish`.
/// `self` is the flow's own: what one hook leaves in it, the next ones see, and no other flow.
///
/// `request` hooks run from the first addon of the chain to the last; hooks towards the client run from the last to the first.
///
/// # Errors
///
/// A hook that returns an error, panics or is over its deadline has done nothing: the message goes on as it was (failure policy
/// `open`) or the client is answered 503 (`closed`, the default). Later hooks of that flow are called only for events whose
/// policy is closed, in a fresh instance.
///
/// # Example
///
/// Refuses uploads of users that are not listed, and counts in a header what it let pass.
///
/// ```
/// use serde::Deserialize;
/// use tollgate_sdk::{
///     Addon, Error, Event, Flow, OptionErrors, Origin, Refusal, Request, RequestVerdict, Response, ResponseVerdict, Subscription,
/// };
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Options {
///     /// Users that may upload.
///     #[serde(default)]
///     users: Vec<String>,
/// }
///
/// struct Uploads {
///     options: Options,
///     checked: u32,
/// }
///
/// impl Addon for Uploads {
///     type Options = Options;
///
///     fn configure(options: Options) -> Result<Self, OptionErrors> {
///         let mut errors = OptionErrors::default();
///         for (index, user) in options.users.iter().enumerate() {
///             if !user.starts_with('@') {
///                 errors.push(format!("users[{index}]"), "must be a user ID like @me:example.org");
///             }
///         }
///         errors.or_ok(Self { options, checked: 0 })
///     }
///
///     fn subscriptions(&self) -> Vec<Subscription> {
///         vec![
///             Subscription::to(Event::Request).filter("~m POST & ~p ^/upload$"),
///             Subscription::to(Event::Response).filter("~m POST & ~p ^/upload$"),
///         ]
///     }
///
///     fn request(&mut self, _flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
///         self.checked += 1;
///         let query = request.query();
///         match query.get("user") {
///             Some(user) if self.options.users.iter().any(|listed| listed == user) => Ok(RequestVerdict::Next),
///             _ => Ok(Refusal::new(403, "M_FORBIDDEN", "you may not upload").into()),
///         }
///     }
///
///     fn response(&mut self, _flow: &Flow, _request: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
///         if response.origin() == Origin::Upstream {
///             response.set_header("X-Checked", self.checked.to_string())?;
///         }
///         Ok(ResponseVerdict::Next)
///     }
/// }
///
/// tollgate_sdk::export!(Uploads);
///
/// // And its test, which needs neither a proxy nor WebAssembly:
/// # #[cfg(not(target_arch = "wasm32"))]
/// # fn main() -> Result<(), OptionErrors> {
/// use tollgate_sdk::serde_json::json;
/// use tollgate_sdk::testing::{Harness, TestRequest, TestResponse};
///
/// let harness = Harness::<Uploads>::configure(json!({ "users": ["@me:example.org"] }))?;
///
/// let done = harness.exchange(TestRequest::post("/upload?user=%40me:example.org"), |_| TestResponse::new(200));
/// assert_eq!(done.response().header("x-checked"), Some("1"));
///
/// let done = harness.exchange(TestRequest::post("/upload?user=@you:example.org"), |_| TestResponse::new(200));
/// assert_eq!((done.response().status, done.sent), (403, None));
///
/// let errors = Harness::<Uploads>::configure(json!({ "users": ["me"] })).unwrap_err();
/// assert_eq!(errors.to_string(), "users[0]: must be a user ID like @me:example.org");
/// # Ok(())
/// # }
/// # #[cfg(target_arch = "wasm32")]
/// # fn main() {}
/// ```
#[allow(unused_variables, reason = "the names of parameters are documentation, and what editors fill in")]
pub trait Addon: Sized + 'static {
    /// What the configuration says about the addon, read from JSON by serde; [`NoOptions`](crate::NoOptions) where it has
    /// nothing to say. Give it `#[serde(deny_unknown_fields)]`, so that a misspelt key is an error and not ignored, and
    /// `#[serde(default)]` where a key may be left out: without options in the configuration the document is `{}`.
    type Options: DeserializeOwned;

    /// Called once a generation, before any flow. The result is copied for every flow, so what is costly, like compiling
    /// rules, belongs here. It must not print, read a clock or keep anything that belongs to the process.
    ///
    /// # Errors
    ///
    /// Options that are not legal, all at once. They refuse the generation; the one before stays in force.
    fn configure(options: Self::Options) -> Result<Self, OptionErrors>;

    /// What the configured addon asks for, at most 256; called once, after `configure`.
    fn subscriptions(&self) -> Vec<Subscription>;

    /// Before anything is answered to a CONNECT to this host, in lower case and without brackets, and port. The first addon that
    /// has an opinion decides; the request can be looked at. The CONNECT is a flow of its own, and so is each request inside
    /// ([`Flow::connect_id`]).
    fn connect(&mut self, flow: &Flow, request: &Request<'_>, host: &str, port: u16) -> Result<ConnectVerdict, Error> {
        Ok(ConnectVerdict::Next)
    }

    /// Before anything is sent upstream. The request can be edited.
    fn request(&mut self, flow: &Flow, request: &mut Request<'_>) -> Result<RequestVerdict, Error> {
        Ok(RequestVerdict::Next)
    }

    /// For each piece of a streamed request body, in order; the next is not read before this one is decided.
    fn request_chunk(&mut self, flow: &Flow, request: &Request<'_>, chunk: Chunk) -> Result<ChunkVerdict, Error> {
        Ok(ChunkVerdict::pass().and_done())
    }

    /// Before anything is sent to the client. The response can be edited. It may be the upstream's, an addon's (this one's
    /// too) or the core's: [`Response::origin`] tells.
    fn response(&mut self, flow: &Flow, request: &Request<'_>, response: &mut Response<'_>) -> Result<ResponseVerdict, Error> {
        Ok(ResponseVerdict::Next)
    }

    /// As for requests.
    fn response_chunk(
        &mut self,
        flow: &Flow,
        request: &Request<'_>,
        response: &Response<'_>,
        chunk: Chunk,
    ) -> Result<ChunkVerdict, Error> {
        Ok(ChunkVerdict::pass().and_done())
    }

    /// For each event of a `text/event-stream` response.
    fn sse_event(&mut self, flow: &Flow, request: &Request<'_>, event: SseEvent) -> Result<SseVerdict, Error> {
        Ok(SseVerdict::Pass)
    }

    /// For each WebSocket message, either direction.
    fn websocket_message(
        &mut self,
        flow: &Flow,
        request: &Request<'_>,
        message: WebsocketMessage,
    ) -> Result<WebsocketVerdict, Error> {
        Ok(WebsocketVerdict::Pass)
    }

    /// The answer would be 502 or 504. With a response, that one goes out instead, through the `response` hooks; addons are
    /// asked from the last to the first until one supplies a response.
    fn upstream_error(
        &mut self,
        flow: &Flow,
        request: &Request<'_>,
        failure: &UpstreamFailure,
    ) -> Result<Option<MadeResponse>, Error> {
        Ok(None)
    }

    /// After the last byte to the client, or its loss. Nothing can be changed.
    fn finish(&mut self, flow: &Flow, request: &Request<'_>, outcome: &Outcome<'_>) -> Result<(), Error> {
        Ok(())
    }
}
