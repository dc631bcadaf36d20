//! What stands in a chain for an addon that the configuration names and that is not in force.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _, ready};

use crate::{
    filter::Filter,
    hooks::{Addon, BodyMode, Call, Event, Exchange, Facts, FailurePolicy, HookError, Instance, Renewal, Subscription, Verdict},
};

/// Fails every request, as nobody can tell which ones the addon would have let through; and responses to requests that an
/// earlier addon sent past it.
pub(super) struct Placeholder {
    name: Arc<str>,
    policy: FailurePolicy,
    subscriptions: Vec<Subscription>,
}

struct Nobody;

impl Placeholder {
    /// None if requests may pass without the addon.
    pub(super) fn new(name: &str, policy: &FailurePolicy) -> Option<Self> {
        let subscription =
            |event| Subscription { event, filter: Filter::everything(), filter_text: String::new(), body: BodyMode::None };
        let events = [Event::Request, Event::Response].into_iter().filter(|event| policy.on(*event).is_closed());
        policy.on(Event::Request).is_closed().then(|| Self {
            name: name.into(),
            policy: policy.clone(),
            subscriptions: events.map(subscription).collect(),
        })
    }
}

impl Addon for Placeholder {
    fn name(&self) -> &str {
        &self.name
    }

    fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
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
