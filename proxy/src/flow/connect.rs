//! CONNECT (RFC 9110, 9.3.6): whether it is looked into, a tunnel that nobody looks into, or refused.

use std::sync::Arc;

use super::{
    Arrival, Departure, Flows, Site,
    chain::{Pass, Passed},
    collect::Held,
    depart::depart,
    filters, respond, rules,
    rules::Judged,
};
use crate::{
    hooks::{Connecting, Event, Hook, Ruling, Verdict},
    http::{Body, ResponseHead},
};

/// What hooks made of a CONNECT.
#[allow(clippy::large_enum_variant, reason = "made once a flow, and taken apart at once")]
enum Asked {
    /// None of them has an opinion.
    Nothing,
    Ruled(Ruling),
    /// The answer is staged, with this body.
    Refused(Held),
}

impl Flows {
    /// Has addons decide about a CONNECT, and the listener's lists, which say `otherwise`, where these have no opinion; then opens the
    /// tunnel, or leaves what is inside to the server. It is a flow like others, counted and logged; of its events there are `connect`
    /// and `finish`, for addons that subscribe to `connect`. What options ignore, no addon sees.
    ///
    /// Dropping the future ends it, as the client went away.
    pub async fn connect(&self, site: &Arc<Site>, mut arrival: Arrival, connecting: &Connecting, otherwise: Ruling) -> Departure {
        let (chain, otherwise) = match rules::judge(site, &arrival) {
            Judged::Flow(_) => (self.addons.chain(&site.name), otherwise),
            Judged::Ignored => (self.nobody(site), Ruling::Tunnel),
            Judged::Answered(status) => return self.answered(site, arrival, Some(status)).await,
            Judged::Dropped => return self.answered(site, arrival, None).await,
        };
        let chain = if chain.events.contains(Event::Connect) { chain } else { self.nobody(site) };
        let tape = self.tape(&arrival.head);
        arrival.body = Body::empty();
        let (ending, _) = self.begin_with(site, arrival, chain, None, tape);
        let record = Arc::clone(ending.record());
        let ruling = match Pass::new(&record).connect(connecting).await {
            Asked::Nothing => otherwise,
            Asked::Ruled(ruling) => ruling,
            Asked::Refused(body) => return depart(ending, Passed::Response(body, 0), None).await,
        };
        record.keep_for_finish();
        if ruling == Ruling::Tunnel {
            return Self::tunnel(ending).await;
        }
        if let Some(tape) = &record.tape {
            // What is inside is recorded, as if there were no proxy.
            tape.discard();
        }
        let head = ResponseHead::established();
        record.exchange.lock().response = Some(respond::established(&head));
        Departure::Intercept(head, ending)
    }
}

impl Pass<'_> {
    /// `connect` events, first addon to last, until one has an opinion.
    async fn connect(&self, connecting: &Connecting) -> Asked {
        for (index, addon) in self.record.chain.addons.iter().enumerate() {
            let matched = filters::matched(self.record, index, Event::Connect);
            if matched.is_empty() {
                continue;
            }
            match self.call(index, addon.as_ref(), Event::Connect, matched, Hook::Connect(connecting.clone())).await {
                Ok(Verdict::Connect(ruling)) => {
                    tracing::debug!(flow.id = self.record.facts.id, addon.name = addon.name(), ?ruling, "an addon has decided");
                    return Asked::Ruled(ruling);
                }
                Ok(Verdict::Refuse(refusal)) => {
                    return Asked::Refused(self.made(addon.as_ref(), Event::Connect, respond::refusal(&refusal)));
                }
                Ok(_) => {}
                Err(error) => {
                    if self.fails_closed(addon.as_ref(), Event::Connect, &error) {
                        return Asked::Refused(Held::new(Body::empty()));
                    }
                }
            }
        }
        Asked::Nothing
    }
}
