//! What hooks want sent later.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::rules;
use crate::{http::Request, outbox::Error};

/// Requests that one hook may put in.
const PER_HOOK: u32 = 64;
const MAX_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// The outbox as a flow sees it.
#[derive(Clone)]
pub(super) struct Outbox {
    /// None where it is not granted.
    room: Option<usize>,
    pub(super) requests: Rc<RefCell<Vec<Request>>>,
}

/// The outbox while a hook runs.
struct Current {
    outbox: Outbox,
    made: u32,
}

/// Takes the outbox away again, also when the hook panics.
pub(super) struct Lent(());

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

impl Outbox {
    pub(super) fn new(room: Option<usize>) -> Self {
        Self { room, requests: Rc::default() }
    }

    /// For the hook that runs now on this thread.
    pub(super) fn lend(&self) -> Lent {
        CURRENT.set(Some(Current { outbox: self.clone(), made: 0 }));
        Lent(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// What `put` comes to natively.
pub(crate) fn put(request: &Request, lifetime: Option<Duration>) -> Result<(), Error> {
    let outbox = CURRENT.with_borrow_mut(|current| {
        let current = current.as_mut().ok_or_else(|| Error::Denied("requests are for hooks, and this is none".to_owned()))?;
        current.made += 1;
        if current.made > PER_HOOK {
            return Err(Error::Full(format!("{PER_HOOK} requests were put in by this hook already")));
        }
        Ok(current.outbox.clone())
    })?;
    rules::check_request(request).map_err(|error| Error::Invalid(error.to_string()))?;
    if request.timeout.is_some_and(|timeout| timeout > MAX_TIMEOUT) || lifetime.is_some_and(|lifetime| lifetime > MAX_LIFETIME) {
        return Err(Error::Invalid("a timeout of over a minute, or a lifetime of over a day".to_owned()));
    }
    let room = outbox.room.ok_or_else(|| Error::Denied("the configuration does not grant it".to_owned()))?;
    let mut requests = outbox.requests.borrow_mut();
    if requests.len() >= room {
        return Err(Error::Full(format!("{room} requests wait, limit {room}")));
    }
    requests.push(request.clone());
    Ok(())
}
