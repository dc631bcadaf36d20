//! The tunnel that a CONNECT is for, where nobody looks into it.

use std::sync::Arc;

use http::StatusCode;

use super::{Departure, Flows, chain::Passed, collect::Held, depart::depart, record::Ending, respond};
use crate::{
    http::{Body, ResponseHead},
    upstream::SendFailure,
};

impl Flows {
    /// Opens a tunnel to where the flow goes. Nothing of its request is for the other end.
    pub(super) async fn tunnel(ending: Ending) -> Departure {
        let record = Arc::clone(ending.record());
        let (origin, guard) = {
            let request = &record.exchange.lock().request;
            (Arc::clone(&request.upstream), request.guard.clone())
        };
        let site = &record.site;
        let marks = record.tape.as_ref().map(|tape| tape.marks().as_ref());
        let response = match site.client.tunnel(&origin, guard.map(|guard| guard.0).as_ref(), marks).await {
            Ok(tunnel) => {
                let head = ResponseHead::established();
                record.exchange.lock().response = Some(respond::established(&head));
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
