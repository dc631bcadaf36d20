//! Answers the requests that hooks make.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use super::rules;
use crate::http::{Error, Request, Response};

/// What answers: a test's function.
pub(super) type Answering = Arc<dyn Fn(&Request) -> Result<Response, Error> + Send + Sync>;

/// Requests that one hook may make.
const PER_HOOK: u32 = 64;

/// The network as a flow sees it.
#[derive(Clone, Default)]
pub(super) struct Network {
    answering: Option<Answering>,
    /// Whatever became of them, in order.
    pub(super) requests: Rc<RefCell<Vec<Request>>>,
}

/// The network while a hook runs.
struct Current {
    network: Network,
    made: u32,
}

/// Takes the network away again, also when the hook panics.
pub(super) struct Lent(());

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

impl Network {
    pub(super) fn new(answering: Option<Answering>) -> Self {
        Self { answering, requests: Rc::default() }
    }

    /// For the hook that runs now on this thread.
    pub(super) fn lend(&self) -> Lent {
        CURRENT.set(Some(Current { network: self.clone(), made: 0 }));
        Lent(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// What `send` comes to natively.
pub(crate) fn send(request: &Request) -> Result<Response, Error> {
    let network = CURRENT.with_borrow_mut(|current| {
        let current = current.as_mut().ok_or_else(|| Error::Denied("requests are for hooks, and this is none".to_owned()))?;
        current.made += 1;
        if current.made > PER_HOOK { Err(Error::Busy(PER_HOOK)) } else { Ok(current.network.clone()) }
    })?;
    rules::check_request(request).map_err(|error| Error::Invalid(error.to_string()))?;
    let answering = network.answering.ok_or_else(|| Error::Denied("the test answers no requests: see with_http".to_owned()))?;
    network.requests.borrow_mut().push(request.clone());
    let mut response = answering(request)?;
    let limit = request.max_response.unwrap_or(rules::MAX_BODY as u64);
    if response.body.len() as u64 > limit {
        return Err(Error::TooLarge(limit));
    }
    if response.url.is_empty() {
        response.url.clone_from(&request.url);
    }
    Ok(response)
}
