//! What stands in a chain for an addon that the configuration names and that is not in force.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _, ready};

use crate::{
    filter::Filter,
    hooks::{
        Addon, BodyMode, Call, Event, Exchange, Facts, FailurePolicy, HookError, Instance, OverCap, Renewal, Subscription,
        Verdict,
    },
};

/// Fails at every event at which its policy is closed, as nobody can tell what the addon would have let through: as a rule every
/// request, and responses to requests that an earlier addon sent past it.
pub(super) struct Placeholder {
    name: Arc<str>,
    policy: FailurePolicy,
    subscriptions: Vec<Subscription>,
}

struct Nobody;

/// Bytes of a message or an event that are held to fail at it.
const CAP: usize = 64 << 10;

impl Placeholder {
    /// None if flows may pass without the addon, whatever happens in them.
    pub(super) fn new(name: &str, policy: &FailurePolicy) -> Option<Self> {
        let subscription = |event| {
            let body = match event {
                // What is larger does not pass either.
                Event::SseEvent | Event::WebsocketMessage => BodyMode::Full { cap: CAP, over_cap: OverCap::Refuse },
                _ => BodyMode::None,
            };
            Subscription { event, filter: Filter::everything(), filter_text: String::new(), body }
        };
        let events = [
            Event::Request,
            Event::RequestChunk,
            Event::Response,
            Event::ResponseChunk,
            Event::SseEvent,
            Event::WebsocketMessage,
        ];
        let closed = events.into_iter().filter(|event| policy.on(*event).is_closed());
        let subscriptions: Vec<_> = closed.map(subscription).collect();
        (!subscriptions.is_empty()).then(|| Self { name: name.into(), policy: policy.clone(), subscriptions })
    }
}

impl Addon for Placeholder {
    fn name(&self) -> &str {
        &self.name
    }

    fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    fn may_edit(&self) -> bool {
        false
    }

    fn may_set_response_bodies(&self) -> bool {
        false
    }

    fn policy(&self) -> &FailurePolicy {
        &self.policy
    }

    fn instance(self: Arc<Self>, _: Arc<Facts>) -> Box<dyn Instance> {
        Box::new(Nobody)
    }
}

impl Instance for Nobody {
    fn call(&self, _: Call, _: Arc<Exchange>) -> BoxFuture<'static, Result<Verdict, HookError>> {
        ready(Err(HookError::NotLoaded)).boxed()
    }

    fn had_effect(&self) -> bool {
        false
    }

    fn renewed(&self, _: Renewal) -> Box<dyn Instance> {
        Box::new(Self)
    }
}
