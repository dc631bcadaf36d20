//! A cache, and what its upstream was asked.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use cache::Cache;
use tollgate_sdk::{
    serde_json::Value,
    testing::{Answer, Exchange, Facts, Harness, TestRequest, TestResponse},
};

/// A cache that is asked again and again.
pub(crate) struct Stage {
    harness: RefCell<Option<Harness<Cache>>>,
    /// How often the upstream was asked.
    asked: Cell<usize>,
    last: RefCell<Option<TestRequest>>,
    /// In nanoseconds since the epoch.
    started: Cell<u64>,
}

impl Stage {
    pub(crate) fn new(options: Value) -> Self {
        Self::of(Harness::configure(options).expect("options"))
    }

    pub(crate) fn of(harness: Harness<Cache>) -> Self {
        Self {
            harness: RefCell::new(Some(harness)),
            asked: Cell::new(0),
            last: RefCell::new(None),
            started: Cell::new(Facts::default().started),
        }
    }

    /// So much later: by the clock of flows, and by that of the store.
    pub(crate) fn pass(&self, seconds: u64) {
        let mut harness = self.harness.borrow_mut();
        let old = harness.take().expect("a harness");
        old.pass(Duration::from_secs(seconds));
        let started = self.started.get() + seconds * 1_000_000_000;
        self.started.set(started);
        *harness = Some(old.with_facts(Facts { started, ..Facts::default() }));
    }

    /// A flow, with this answer of the upstream if it is asked.
    pub(crate) fn ask<U: Into<Answer>>(&self, request: TestRequest, answer: U) -> Exchange {
        let harness = self.harness.borrow();
        harness.as_ref().expect("a harness").exchange(request, |sent| {
            self.asked.set(self.asked.get() + 1);
            *self.last.borrow_mut() = Some(sent.clone());
            answer
        })
    }

    /// The same, of which only what is kept matters.
    pub(crate) fn tell<U: Into<Answer>>(&self, request: TestRequest, answer: U) {
        let _ = self.ask(request, answer);
    }

    /// The body that a GET for this path is answered with; the upstream would say `new`.
    pub(crate) fn get(&self, path: &str) -> String {
        self.ask(TestRequest::get(path), fresh("new")).response().text().to_owned()
    }

    /// The same for another request.
    pub(crate) fn body(&self, request: TestRequest) -> String {
        self.ask(request, fresh("new")).response().text().to_owned()
    }

    /// How often the upstream was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.get()
    }

    /// What the upstream was asked last.
    pub(crate) fn last(&self) -> TestRequest {
        self.last.borrow().clone().expect("a request")
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&Harness<Cache>) -> T) -> T {
        look(self.harness.borrow().as_ref().expect("a harness"))
    }
}

/// Fresh for a minute.
pub(crate) fn fresh(body: &str) -> TestResponse {
    saying("max-age=60", body)
}

/// With this Cache-Control.
pub(crate) fn saying(control: &str, body: &str) -> TestResponse {
    TestResponse::new(200).with_header("Cache-Control", control).with_body(body)
}

/// By this user.
pub(crate) fn by(token: &str) -> TestRequest {
    TestRequest::get("/").with_header("Authorization", format!("Bearer {token}"))
}

/// The status of this cache.
pub(crate) fn status(done: &Exchange) -> &str {
    done.response().header("cache-status").unwrap_or_default()
}
