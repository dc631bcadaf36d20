//! The harness: an addon, its options, and how its flows look.

use std::{collections::BTreeMap, fmt, marker::PhantomData, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    Facts, LogLine, TestFlow, TestRequest, capture, dns,
    http::{Answering, Network},
    kv::Kept,
    outbox::Outbox,
    rules,
};
use crate::{Addon, BodyMode, Event, OptionErrors, OverCap, Subscription, dns as names, http, options};

const MAX_SUBSCRIPTIONS: usize = 256;

/// A configured addon to run hooks of; see the [module](super).
#[must_use]
pub struct Harness<A> {
    options: String,
    lines: Vec<LogLine>,
    subscriptions: Vec<Subscription>,
    pub(super) name: String,
    pub(super) is_open: bool,
    pub(super) facts: Facts,
    pub(super) notes: BTreeMap<String, String>,
    pub(super) matched: BTreeMap<Event, Vec<u32>>,
    answering: Option<Answering>,
    pub(super) names: Option<dns::Answering>,
    pub(super) kept: Kept,
    outbox_room: Option<usize>,
    addon: PhantomData<fn() -> A>,
}

impl<A: Addon> Harness<A> {
    /// Configures the addon with these options, to learn what it subscribes to. Without options: `json!({})`.
    ///
    /// # Errors
    ///
    /// As the proxy would refuse them, with the path of the option; also what the proxy refuses of subscriptions.
    ///
    /// # Panics
    ///
    /// Where `configure` panics.
    #[allow(clippy::needless_pass_by_value, reason = "reads better with json!")]
    pub fn configure(options: Value) -> Result<Self, OptionErrors> {
        let options = options.to_string();
        let mut lines = Vec::new();
        let (_, subscriptions) = configure::<A>(&options, &mut lines)?;
        check(&subscriptions)?;
        Ok(Self {
            options,
            lines,
            subscriptions,
            name: "addon".to_owned(),
            is_open: false,
            facts: Facts::default(),
            notes: BTreeMap::new(),
            matched: BTreeMap::new(),
            answering: None,
            names: None,
            kept: Kept::default(),
            outbox_room: Some(usize::MAX),
            addon: PhantomData,
        })
    }

    /// Under this name: it is the origin of responses that the addon makes. Default: `addon`.
    pub fn with_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// With the failure policy `open`: the flow goes on as if a failed hook had not been called. Default: `closed`, the client
    /// is answered 503.
    pub const fn fail_open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// With these facts about the flow.
    pub fn with_facts(mut self, facts: Facts) -> Self {
        self.facts = facts;
        self
    }

    /// With a note that an earlier addon of the chain left.
    pub fn with_note(mut self, key: &str, value: &str) -> Self {
        self.notes.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Whenever this event happens, exactly these subscriptions match: indices in the list that the addon returned. With none
    /// its hook is not called. Default: all subscriptions to the event.
    pub fn with_matched(mut self, event: Event, indices: &[u32]) -> Self {
        self.matched.insert(event, indices.to_vec());
        self
    }

    /// With this answer to each request that hooks make of their own. Default: all are denied.
    ///
    /// ```
    /// # use tollgate_sdk::{Addon, Error, Event, Flow, NoOptions, OptionErrors, Request, RequestVerdict, Subscription};
    /// use tollgate_sdk::{http, serde_json::json, testing::{Harness, TestRequest}};
    /// # struct Tells;
    /// # impl Addon for Tells {
    /// #     type Options = NoOptions;
    /// #     fn configure(_: NoOptions) -> Result<Self, OptionErrors> { Ok(Self) }
    /// #     fn subscriptions(&self) -> Vec<Subscription> { vec![Subscription::to(Event::Request)] }
    /// #     fn request(&mut self, _: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
    /// #         http::Request::post("http://hooks.test/").body(request.method()).send()?;
    /// #         Ok(RequestVerdict::Next)
    /// #     }
    /// # }
    ///
    /// let harness = Harness::<Tells>::configure(json!({}))?.with_http(|request| match request.url.as_str() {
    ///     "http://hooks.test/" => Ok(http::Response::new(204)),
    ///     _ => Err(http::Error::Denied("not expected".to_owned())),
    /// });
    /// let done = harness.request(TestRequest::get("/"));
    /// assert_eq!(done.http[0].body, b"GET");
    /// # Ok::<(), OptionErrors>(())
    /// ```
    pub fn with_http(
        mut self,
        answer: impl Fn(&http::Request) -> Result<http::Response, http::Error> + Send + Sync + 'static,
    ) -> Self {
        self.answering = Some(Arc::new(answer));
        self
    }

    /// With these answers to what hooks ask the domain name system for. Default: it is denied.
    pub fn with_dns(
        mut self,
        answer: impl Fn(&str) -> Result<Vec<names::Service>, names::Error> + Send + Sync + 'static,
    ) -> Self {
        self.names = Some(Arc::new(answer));
        self
    }

    /// With this in its store, for ever.
    ///
    /// ```
    /// # use tollgate_sdk::{Addon, Error, Event, Flow, NoOptions, OptionErrors, Request, RequestVerdict, Subscription};
    /// use tollgate_sdk::{kv, serde_json::json, testing::{Harness, TestRequest}};
    /// # struct Counts;
    /// # impl Addon for Counts {
    /// #     type Options = NoOptions;
    /// #     fn configure(_: NoOptions) -> Result<Self, OptionErrors> { Ok(Self) }
    /// #     fn subscriptions(&self) -> Vec<Subscription> { vec![Subscription::to(Event::Request)] }
    /// #     fn request(&mut self, _: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
    /// #         kv::Bucket::new("hits").increment(&request.path(), 1, None)?;
    /// #         Ok(RequestVerdict::Next)
    /// #     }
    /// # }
    ///
    /// let harness = Harness::<Counts>::configure(json!({}))?.with_kv("hits", "/", "41");
    /// harness.request(TestRequest::get("/"));
    /// assert_eq!(harness.kv("hits", "/").as_deref(), Some(&b"42"[..]));
    /// # Ok::<(), OptionErrors>(())
    /// ```
    pub fn with_kv(self, bucket: &str, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.kept.preset(bucket, key, value.as_ref());
        self
    }

    /// Without a grant for its store: all operations are denied.
    pub fn without_kv(mut self) -> Self {
        self.kept = Kept::denied();
        self
    }

    /// Without a grant for its outbox: everything is denied.
    pub const fn without_outbox(mut self) -> Self {
        self.outbox_room = None;
        self
    }

    /// With room for so many requests in its outbox, counted from zero for each flow. Default: no limit.
    pub const fn with_outbox_room(mut self, requests: usize) -> Self {
        self.outbox_room = Some(requests);
        self
    }

    /// What its store has there.
    #[must_use]
    pub fn kv(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.kept.get(bucket, key)
    }

    /// Entries of its store grow older by so much.
    pub fn pass(&self, time: Duration) {
        self.kept.pass(time);
    }

    pub(super) fn outbox(&self) -> Outbox {
        Outbox::new(self.outbox_room)
    }

    pub(super) fn network(&self) -> Network {
        Network::new(self.answering.clone())
    }

    /// What the addon subscribed to.
    pub fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    /// What it logged while it was configured. Flows configure it anew, but don't repeat these lines.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.lines
    }

    /// A new flow with this request and a fresh addon, to call hooks one by one.
    ///
    /// # Panics
    ///
    /// Where `configure` refuses or panics although it took the same options before.
    #[must_use]
    pub fn flow(&self, request: TestRequest) -> TestFlow<A> {
        match configure::<A>(&self.options, &mut Vec::new()) {
            Ok((addon, subscriptions)) => TestFlow::new(self, addon, subscriptions, request),
            Err(errors) => panic!("configure refuses options that it took before: {errors}"),
        }
    }
}

impl<A> fmt::Debug for Harness<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Harness").field("name", &self.name).field("options", &self.options).finish_non_exhaustive()
    }
}

fn configure<A: Addon>(options: &str, lines: &mut Vec<LogLine>) -> Result<(A, Vec<Subscription>), OptionErrors> {
    let caught = capture::catch(lines, || {
        let addon = options::parse(options).and_then(A::configure)?;
        let subscriptions = addon.subscriptions();
        Ok((addon, subscriptions))
    });
    caught.unwrap_or_else(|panic| panic!("configure panicked: {} at {}", panic.message, panic.place))
}

/// What the proxy refuses at load, besides filters.
fn check(subscriptions: &[Subscription]) -> Result<(), OptionErrors> {
    let mut errors = OptionErrors::default();
    if subscriptions.len() > MAX_SUBSCRIPTIONS {
        errors.push("", format!("{} subscriptions, at most {MAX_SUBSCRIPTIONS} are allowed", subscriptions.len()));
    }
    for (index, subscription) in subscriptions.iter().enumerate() {
        let BodyMode::Full { cap, over_cap } = subscription.body() else { continue };
        match subscription.event() {
            Event::Request | Event::Response | Event::RequestChunk | Event::ResponseChunk => {}
            Event::SseEvent | Event::WebsocketMessage => {
                if over_cap == OverCap::Truncate {
                    errors.push("", format!("subscription {index}: messages and events are not truncated"));
                }
            }
            event => errors.push("", format!("subscription {index}: {event:?} has no body to ask for")),
        }
        if cap.is_some_and(|cap| cap > rules::MAX_BODY as u64) {
            errors.push("", format!("subscription {index}: its cap is over max_body, {} bytes", rules::MAX_BODY));
        }
    }
    errors.or_ok(())
}
