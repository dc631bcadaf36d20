//! What services are told when nobody waits for them any more.

use tollgate_sdk::log;

use crate::{
    consult::{self, Failure, Patience, payload::Payload},
    document::action::Call,
};

/// Calls of services that are made when the flow has ended.
#[derive(Debug, Default)]
pub(crate) struct Deferred(Vec<Pending>);

#[derive(Debug)]
struct Pending {
    hook: String,
    call: Call,
    payload: Payload<'static>,
}

/// Calls that one flow may leave for its end. Only the policy can make them more.
const MAX_CALLS: usize = 16;
/// Bytes of bodies that are kept for them, and that payloads may take in one of them.
const MAX_BYTES: usize = 8 * 1024 * 1024;

impl Deferred {
    /// Keeps a call. Whoever sends much does not get it left out: what is over the limit is cut off its payload.
    pub(super) fn push(&mut self, hook: &str, call: &Call, payload: Payload<'_>) {
        if self.0.len() >= MAX_CALLS {
            log::warn!(hook = hook; "the service is not told: a flow has at most {MAX_CALLS} asynchronous calls");
            return;
        }
        let kept: usize = self.0.iter().map(|pending| pending.payload.body_length()).sum();
        let payload = payload.into_owned(MAX_BYTES.saturating_sub(kept));
        if payload.is_cut() {
            log::warn!(hook = hook; "the service is told a part of the payload: a flow keeps {MAX_BYTES} bytes for asynchronous calls");
        }
        self.0.push(Pending { hook: hook.to_owned(), call: call.clone(), payload });
    }

    /// Makes the calls, in order.
    pub(crate) fn send(&mut self, mut patience: Patience) {
        for Pending { hook, call, payload } in std::mem::take(&mut self.0) {
            let mut room = MAX_BYTES;
            let told = loop {
                let told = consult::ask(&hook, &call, payload.to_json(room), &mut patience, consult::accepted);
                match told {
                    // The addon's `max_body` is below what was kept, and told by nothing else.
                    Err(Failure::Unsendable(_)) if room > 0 => room = room.min(payload.escaped_length()) >> 1,
                    told => break told,
                }
            };
            if let Err(why) = told {
                log::warn!(hook = hook.as_str(); "asynchronous consultation failed: {why}");
            }
        }
    }
}
