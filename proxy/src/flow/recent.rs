//! Flows that have ended, remembered for whoever looks after the proxy: what became of them, and what addons did to them.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use http::StatusCode;
use parking_lot::Mutex;

use super::record::Record;
use crate::hooks::{Facts, Ledger, Outcome, Source};

/// The last flows that have ended; a new one takes the place of the oldest.
///
/// Of a flow some hundred bytes are held, and what its [`Ledger`] holds: at most about 4 KiB for each hook that changed it.
pub struct Recent {
    capacity: usize,
    flows: Mutex<VecDeque<Arc<EndedFlow>>>,
}

/// A flow that has ended. It holds no query, no value of a header field and no body.
pub struct EndedFlow {
    /// What never changed.
    pub facts: Arc<Facts>,
    /// Of the request as it was sent upstream, cut after 64 bytes.
    pub method: String,
    /// Of the request as it was sent upstream, without query, cut after 256 bytes.
    pub path: String,
    /// What the client was sent; none if nothing.
    pub status: Option<StatusCode>,
    /// Who made the response.
    pub source: Option<Source>,
    /// Why it is not complete, cut after 1 KiB.
    pub error: Option<String>,
    /// Body bytes from the client.
    pub request_bytes: u64,
    /// Body bytes to the client.
    pub response_bytes: u64,
    /// From the complete head of the request to the end.
    pub duration: Duration,
    /// What addons changed, bodies hashed.
    pub mutations: Arc<Ledger>,
}

const MAX_METHOD: usize = 64;
const MAX_PATH: usize = 256;
const MAX_ERROR: usize = 1 << 10;

impl Recent {
    /// Remembers so many flows; none at all if it is 0.
    #[must_use]
    pub fn new(capacity: usize) -> Option<Arc<Self>> {
        (capacity > 0).then(|| Arc::new(Self { capacity, flows: Mutex::default() }))
    }

    pub(super) fn push(&self, flow: EndedFlow) {
        let mut flows = self.flows.lock();
        let oldest = if flows.len() < self.capacity { None } else { flows.pop_back() };
        flows.push_front(Arc::new(flow));
        drop(flows);
        drop(oldest);
    }

    /// The last flows, newest first, at most so many.
    #[must_use]
    pub fn newest(&self, limit: usize) -> Vec<Arc<EndedFlow>> {
        self.flows.lock().iter().take(limit).cloned().collect()
    }

    /// The flow with this number, if it is remembered.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<EndedFlow>> {
        self.flows.lock().iter().find(|flow| flow.facts.id == id).cloned()
    }
}

impl EndedFlow {
    pub(super) fn new(record: &Record, outcome: &Outcome) -> Self {
        let messages = record.exchange.lock();
        let head = &messages.request.head;
        Self {
            facts: Arc::clone(&record.facts),
            method: cut(head.method.as_str(), MAX_METHOD),
            path: cut(&String::from_utf8_lossy(head.path()), MAX_PATH),
            status: outcome.status,
            source: outcome.source.clone(),
            error: outcome.error.as_deref().map(|error| cut(error, MAX_ERROR)),
            request_bytes: outcome.request_bytes,
            response_bytes: outcome.response_bytes,
            duration: outcome.duration,
            mutations: Arc::clone(&outcome.mutations),
        }
    }
}

fn cut(text: &str, limit: usize) -> String {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn flow(id: u64) -> EndedFlow {
        let facts = Facts {
            id,
            listener: "main".into(),
            peer: "127.0.0.1:1".parse().expect("an address"),
            is_tls: false,
            connect: None,
            user: None,
            started: SystemTime::UNIX_EPOCH,
            generation: 1,
            upstream: Arc::new("http://127.0.0.1:1".parse().expect("an origin")),
            named: None,
            way: None,
            guard: None,
            public: None,
        };
        EndedFlow {
            facts: Arc::new(facts),
            method: String::new(),
            path: String::new(),
            status: None,
            source: None,
            error: None,
            request_bytes: 0,
            response_bytes: 0,
            duration: Duration::ZERO,
            mutations: Arc::default(),
        }
    }

    #[test]
    fn the_newest_take_the_place_of_the_oldest() {
        let recent = Recent::new(3).expect("some");
        for (count, expected) in [(2, &[2, 1][..]), (1, &[3, 2, 1]), (1, &[4, 3, 2])] {
            let first = recent.newest(1).first().map_or(1, |flow| flow.facts.id + 1);
            (first..first + count).for_each(|id| recent.push(flow(id)));
            let ids: Vec<u64> = recent.newest(10).iter().map(|flow| flow.facts.id).collect();
            assert_eq!(ids, expected);
        }
        assert_eq!((recent.find(1).is_some(), recent.find(2).is_some(), recent.newest(2).len()), (false, true, 2));
        assert!(Recent::new(0).is_none());
    }
}
