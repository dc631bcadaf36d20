//! A hook that decides about a body part by part.

use std::sync::{Arc, OnceLock};

use futures_util::{FutureExt as _, future::BoxFuture};

use super::{failure, filters, record::Record};
use crate::{
    hooks::{Addon, Call, Change, Event, Hook, HookError, Instance, MessageKind, OverCap, Verdict, differences},
    http::{BodyError, Headers},
};

/// A hook with all that its calls need.
pub(super) struct Piecewise {
    pub(super) record: Arc<Record>,
    pub(super) index: usize,
    pub(super) event: Event,
    matched: Vec<u32>,
    instance: Arc<dyn Instance>,
    // In its place, if the first piece took a second try.
    renewed: Arc<OnceLock<Arc<dyn Instance>>>,
    is_begun: bool,
}

impl Piecewise {
    pub(super) fn new(record: &Arc<Record>, index: usize, event: Event, matched: Vec<u32>, instance: Arc<dyn Instance>) -> Self {
        Self { record: Arc::clone(record), index, event, matched, instance, renewed: Arc::default(), is_begun: false }
    }

    pub(super) fn may_edit(&self) -> bool {
        self.addon().is_some_and(|addon| addon.may_edit())
    }

    pub(super) fn wants_plain(&self) -> bool {
        self.caps().next().is_some()
    }

    /// Caps of the matched subscriptions that want the body without its codings.
    pub(super) fn caps(&self) -> impl Iterator<Item = usize> {
        let addon = self.addon();
        let cap = move |&index| filters::cap(addon?.subscriptions(), index).map(|(cap, _)| cap);
        self.matched.iter().filter_map(cap)
    }

    /// Cap of an event, and whether more ends the stream: the least of those that do, else the largest.
    pub(super) fn event_cap(&self) -> (usize, bool) {
        let addon = self.addon();
        let caps = || self.matched.iter().filter_map(move |&index| filters::cap(addon?.subscriptions(), index));
        let refused = caps().filter(|(_, over_cap)| *over_cap == OverCap::Refuse).map(|(cap, _)| cap).min();
        let cap = refused.or_else(|| caps().map(|(cap, _)| cap).max()).unwrap_or(usize::MAX);
        (cap, refused.is_some())
    }

    /// Takes note of a change.
    pub(super) fn changed(&self, change: Change) {
        if let Some(addon) = self.addon() {
            self.record.exchange.lock().ledger.push(addon.name(), self.event, change);
        }
    }

    /// Asks it. The first time it may get a second try.
    pub(super) fn ask(&mut self, hook: Hook) -> BoxFuture<'static, Result<Verdict, HookError>> {
        let call = Call { matched: self.matched.clone(), hook, body_cap: None };
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        if is_first {
            let (record, instance, renewed) = (Arc::clone(&self.record), Arc::clone(&self.instance), Arc::clone(&self.renewed));
            let (index, event) = (self.index, self.event);
            return async move {
                let (result, fresh) = failure::attempt(&record, index, event, &instance, call).await;
                if let Some(fresh) = fresh {
                    let _ = renewed.set(fresh);
                }
                result
            }
            .boxed();
        }
        self.renewed.get().unwrap_or(&self.instance).call(call, Arc::clone(&self.record.exchange))
    }

    /// Whether the rest may go by unseen after this error. It may not where the addon has changed something before: bytes that
    /// it held back would be missing in the middle.
    pub(super) fn passes_after(&self, error: &HookError, is_untouched: bool) -> Result<(), BodyError> {
        let Some(addon) = self.addon() else { return Ok(()) };
        let Some(why) = failure::closed(&self.record, addon.as_ref(), self.event, error, is_untouched) else { return Ok(()) };
        if self.event == Event::RequestChunk {
            self.record.stopped_by(self.index, why);
        }
        Err(BodyError::Stopped(addon.name().into()))
    }

    pub(super) const fn message(&self) -> MessageKind {
        if matches!(self.event, Event::RequestChunk) { MessageKind::Request } else { MessageKind::Response }
    }

    /// Writes down that the hook has edited trailers.
    pub(super) fn edited(&self, before: &Headers, after: &Headers) {
        if let (Some(addon), Some(change)) = (self.addon(), differences::of_trailers(self.message(), before, after)) {
            self.record.exchange.lock().ledger.push(addon.name(), self.event, change);
        }
    }

    pub(super) fn addon(&self) -> Option<&Arc<dyn Addon>> {
        self.record.chain.addons.get(self.index)
    }
}
