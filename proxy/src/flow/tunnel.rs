//! CONNECT (RFC 9110, 9.3.6): a tunnel that nobody looks into.

use std::sync::Arc;

use http::StatusCode;

use super::{Arrival, Departure, Flows, Site, chain::Passed, collect::Held, depart::depart, respond, rules, rules::Judged};
use crate::{
    hooks::{ResponseMessage, Source, StagedBody},
    http::{Body, Extent, Headers, ResponseHead},
    upstream::SendFailure,
};

impl Flows {
    /// Whether options leave it to the listener to look into a CONNECT. If not, [`Self::tunnel`] knows what becomes of it.
    #[must_use]
    pub fn may_intercept(&self, site: &Site, arrival: &Arrival) -> bool {
        matches!(rules::judge(site, arrival), Judged::Flow(_))
    }

    /// Opens a tunnel to the destination. It is counted and logged like other flows; no addon sees it.
    ///
    /// Dropping the future ends it, as the client went away.
    pub async fn tunnel(&self, site: &Arc<Site>, mut arrival: Arrival) -> Departure {
        match rules::judge(site, &arrival) {
            Judged::Flow(_) | Judged::Ignored => {}
            Judged::Answered(status) => return self.answered(site, arrival, Some(status)).await,
            Judged::Dropped => return self.answered(site, arrival, None).await,
        }
        let tape = self.tape(&arrival.head);
        // Nothing of it is for the other end, and credentials for a proxy may be among it.
        arrival.head.headers = Headers::new();
        arrival.body = Body::empty();
        let (ending, _) = self.begin_with(site, arrival, self.nobody(site), None, tape);
        let record = Arc::clone(ending.record());
        let (origin, guard) = {
            let request = &record.exchange.lock().request;
            (Arc::clone(&request.upstream), request.guard.clone())
        };
        let marks = record.tape.as_ref().map(|tape| tape.marks().as_ref());
        let response = match site.client.tunnel(&origin, guard.map(|guard| guard.0).as_ref(), marks).await {
            Ok(tunnel) => {
                let head = ResponseHead::established();
                let response = ResponseMessage {
                    head: head.clone(),
                    body: StagedBody::Streaming,
                    origin: Source::Core,
                    may_have_body: false,
                    extent: Extent::Whole,
                };
                record.exchange.lock().response = Some(response);
                if let Some(tape) = &record.tape {
                    tape.depart(&head, true);
                }
                return Departure::Upgrade(head, tunnel, ending);
            }
            Err(SendFailure::Denied(_)) => record.denied(),
            Err(SendFailure::Upstream(failure)) => {
                site.metrics.upstream_failed(failure.kind);
                record.fail(failure.message);
                respond::staged(failure.kind.status(), &format!("the tunnel failed: {}", failure.reason))
            }
            Err(SendFailure::Client(error)) => respond::staged(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        record.exchange.lock().response = Some(response);
        depart(ending, Passed::Response(Held::new(Body::empty()), 0), None).await
    }
}
