//! What happens when a hook fails: once more, an answer in its place, or on without it.

use std::sync::Arc;

use super::{
    chain::{Pass, Passed},
    collect::Held,
    record::Record,
    respond,
};
use crate::{
    hooks::{Addon, Call, Event, HookError, Instance, Renewal, Verdict},
    http::Body,
};

/// Calls the hook of the addon at `index`, and once more if it fails and the addon's policy wants that; then the fresh instance
/// is that of the flow.
pub(super) async fn call(record: &Record, index: usize, event: Event, call: Call) -> Result<Verdict, HookError> {
    let Some(instance) = record.instance(index) else { return Ok(Verdict::Next) };
    attempt(record, index, event, &instance, call).await.0
}

/// The same with an instance of the caller's, who gets the fresh one, if there is one, to go on with. Not to be used where the
/// hook counts on what an earlier call for the same event has left in the instance, as from the second piece of a body on.
pub(super) async fn attempt(
    record: &Record,
    index: usize,
    event: Event,
    instance: &Arc<dyn Instance>,
    call: Call,
) -> (Result<Verdict, HookError>, Option<Arc<dyn Instance>>) {
    let Some(addon) = record.chain.addons.get(index) else { return (Ok(Verdict::Next), None) };
    tracing::trace!(flow.id = record.facts.id, addon.name = addon.name(), hook.event = %event, "calling a hook");
    let again = call.clone();
    let error = match instance.call(call, Arc::clone(&record.exchange)).await {
        Ok(verdict) => return (Ok(verdict), None),
        // It failed at an earlier event that is open, and the flow went on without it. This one is not to be passed so.
        Err(HookError::Gone) if addon.policy().on(event).is_closed() || event == Event::Finish => {
            let fresh = Arc::from(instance.renewed(Renewal::Gone));
            record.replace(index, instance, &fresh);
            return (fresh.call(again, Arc::clone(&record.exchange)).await, Some(fresh));
        }
        Err(error) => error,
    };
    if !addon.policy().on(event).is_retried() || !may_heal(&error, instance.had_effect()) {
        return (Err(error), None);
    }
    tell(record, addon.as_ref(), event, &error, "retry");
    let fresh = Arc::from(instance.renewed(Renewal::Retry));
    record.replace(index, instance, &fresh);
    let result = match fresh.call(again, Arc::clone(&record.exchange)).await {
        // It came to no second try: what went wrong is still the first.
        Err(HookError::Quarantined) => Err(error),
        result => result,
    };
    (result, Some(fresh))
}

/// Whether a fresh instance may do better, and nothing happens twice if it is asked.
fn may_heal(error: &HookError, had_effect: bool) -> bool {
    let is_of_instance = match error {
        HookError::Trap(_) | HookError::Failed(_) => true,
        // What waited in vain for the whole time would do so again.
        HookError::Deadline { kind, .. } => *kind == "cpu",
        HookError::Verdict(_)
        | HookError::Instance(_)
        | HookError::NoSeat { .. }
        | HookError::NoRoom(_)
        | HookError::Quarantined
        | HookError::NotLoaded
        | HookError::Coded(_)
        | HookError::Gone => false,
    };
    is_of_instance && !had_effect
}

/// Takes note of a hook that failed for good; tells whether its addon fails closed here, and if so with which text. Where the
/// flow cannot go on without the hook, as `can_pass` tells, it does not, whatever the policy.
pub(super) fn closed(record: &Record, addon: &dyn Addon, event: Event, error: &HookError, can_pass: bool) -> Option<String> {
    let is_closed = addon.policy().on(event).is_closed() || !can_pass;
    tell(record, addon, event, error, if is_closed { "closed" } else { "open" });
    is_closed.then(|| {
        let what = match error {
            HookError::Quarantined => "is quarantined",
            HookError::NotLoaded => "is not loaded",
            HookError::Coded(_) => "cannot be shown the body",
            _ => "failed",
        };
        let text = format!("addon {} {what}", addon.name());
        record.fail(text.clone());
        text
    })
}

/// One line for each failure, with what follows from it.
pub(super) fn tell(record: &Record, addon: &dyn Addon, event: Event, error: &HookError, policy: &'static str) {
    let (flow, addon) = (record.facts.id, addon.name());
    if matches!(error, HookError::Quarantined | HookError::NotLoaded | HookError::Gone) {
        // The log told why: once for all flows, or when the hook before it failed.
        tracing::debug!(flow.id = flow, addon.name = addon, hook.event = %event, %error, policy, "a hook was not called");
    } else {
        tracing::warn!(flow.id = flow, addon.name = addon, hook.event = %event, %error, policy, "a hook failed");
    }
}

impl Pass<'_> {
    /// Deals with a hook that failed for good; tells whether its addon fails closed, and then stages its answer.
    pub(super) fn fails_closed(&self, addon: &dyn Addon, event: Event, error: &HookError) -> bool {
        let text = closed(self.record, addon, event, error, true);
        if let Some(text) = &text {
            self.answer(respond::failed(&addon.policy().answer, text));
        }
        text.is_some()
    }

    /// The response pass after an addon has stopped the request's body.
    pub(super) async fn stopped(&self) -> Passed {
        let Some((index, why)) = self.record.stopper() else { return Passed::Drop };
        self.answer_for(*index, why);
        self.response(*index, Held::new(Body::empty())).await
    }

    /// The same where the response hooks have seen another response already: nobody is asked again.
    pub(super) fn stopped_late(&self) -> Passed {
        let Some((index, why)) = self.record.stopper() else { return Passed::Drop };
        self.answer_for(*index, why);
        Passed::Response(Held::new(Body::empty()), 0)
    }

    /// Stages what stands in for the addon at `index`.
    pub(super) fn answer_for(&self, index: usize, why: &str) {
        if let Some(addon) = self.record.chain.addons.get(index) {
            self.answer(respond::failed(&addon.policy().answer, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn deadline(kind: &'static str) -> HookError {
        HookError::Deadline { kind, limit: Duration::from_secs(1) }
    }

    #[test]
    fn only_failures_of_instances_may_heal() {
        for (error, expected) in [
            (HookError::Trap(String::new()), true),
            (HookError::Failed(String::new()), true),
            (deadline("cpu"), true),
            (deadline("wall"), false),
            (HookError::Verdict(String::new()), false),
            (HookError::Instance(String::new()), false),
            (HookError::NoSeat { own: 1, common: 1 }, false),
            (HookError::NoRoom(1), false),
            (HookError::Quarantined, false),
            (HookError::NotLoaded, false),
            (HookError::Coded("why"), false),
            (HookError::Gone, false),
        ] {
            assert_eq!(may_heal(&error, false), expected, "{error}");
        }
    }

    #[test]
    fn what_had_an_effect_is_not_repeated() {
        assert!(!may_heal(&HookError::Trap(String::new()), true));
    }
}
