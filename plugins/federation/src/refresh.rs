//! Asking the registration service for the list.

use std::time::{Duration, Instant};

use tollgate_sdk::{Error, http, kv, log};

use crate::{
    hash,
    kept::{Kept, Pointer, Seen, Turn},
    list::{List, MAX_DOCUMENT},
    once::{PAUSES, wait},
};

/// A registration service.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) url: String,
    /// Of the query; empty: the version is not told.
    pub(crate) version_parameter: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) kept: Kept,
}

/// The list that a flow goes by, or why there is none.
#[derive(Debug)]
pub(crate) enum Had {
    List(Pointer),
    Nothing(String),
}

/// The first pause after a failure; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest, unless the interval is longer.
const MAX_PAUSE: Duration = Duration::from_mins(5);
/// What storing a list may take, besides the timeout.
const MARGIN: Duration = Duration::from_secs(10);

impl Source {
    /// The list in force, and whether it is time to ask for the next one. Nobody waits for the service once there is a list; the
    /// first one is asked for by one flow, and others wait for it.
    pub(crate) fn list(&self) -> Result<(Had, bool), Error> {
        let begun = Instant::now();
        let mut glance = PAUSES.0;
        loop {
            let seen = self.kept.look()?;
            if let Some(pointer) = seen.pointer {
                return Ok((Had::List(pointer), seen.turn == Turn::Due));
            }
            let is_over = begun.elapsed() > self.timeout;
            match seen.turn {
                _ if is_over => return Ok((Had::Nothing("it takes too long".to_owned()), false)),
                Turn::Due => self.refresh()?,
                Turn::Taken => wait(&mut glance),
                Turn::Later => {
                    let why = self.kept.why()?.unwrap_or_else(|| "it was removed from the store".to_owned());
                    return Ok((Had::Nothing(why), false));
                }
            }
        }
    }

    /// Asks, unless somebody else does. Failures are counted and in the log.
    pub(crate) fn refresh(&self) -> Result<(), kv::Error> {
        if !self.kept.take(self.timeout.saturating_add(MARGIN))? {
            return Ok(());
        }
        let seen = self.kept.look()?;
        match self.fetch(&seen) {
            Ok(()) => {
                self.kept.succeeded()?;
                self.kept.give_back(self.interval)
            }
            Err(why) => {
                let failures = self.kept.failed(&why)?;
                let pause = pause(failures, self.interval);
                let has_list = seen.pointer.is_some();
                log::warn!(
                    failures = failures, seconds = pause.as_secs(), has_list = has_list, why = why.as_str();
                    "no new federation list: the next try is after a pause"
                );
                self.kept.give_back(pause)
            }
        }
    }

    fn fetch(&self, seen: &Seen) -> Result<(), String> {
        let version = seen.pointer.as_ref().map(|pointer| pointer.version);
        let request = http::Request::get(self.url_for(version)).header("Accept", "application/json").timeout(self.timeout);
        let response = request.max_response(MAX_DOCUMENT as u64).send().map_err(|error| error.to_string())?;
        match (response.status, &seen.pointer) {
            (304, Some(_)) => return Ok(()),
            (200, _) => {}
            (status, _) => return Err(format!("the registration service answered with status {status}")),
        }
        let hash = hash::of(&response.body);
        if seen.pointer.as_ref().is_some_and(|pointer| pointer.hash == hash) {
            return Ok(());
        }
        let list = List::read(&response.body)?;
        if self.kept.store(&list, hash, seen).map_err(|error| format!("the list cannot be kept: {error}"))? {
            log::info!(version = list.version, domains = list.domains.len(); "a new federation list is in force");
        }
        Ok(())
    }

    fn url_for(&self, version: Option<u64>) -> String {
        let Self { url, version_parameter: name, .. } = self;
        match version {
            Some(version) if !name.is_empty() => {
                let separator = if url.contains('?') { '&' } else { '?' };
                format!("{url}{separator}{name}={version}")
            }
            _ => url.clone(),
        }
    }
}

fn pause(failures: i64, interval: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).clamp(0, 16);
    PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE.max(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let seconds = |failures, interval| pause(failures, Duration::from_secs(interval)).as_secs();
        let pauses = [1, 2, 3, 6, 7, 8, 1_000_000, i64::MAX].map(|failures| seconds(failures, 60));
        assert_eq!(pauses, [5, 10, 20, 160, 300, 300, 300, 300]);
        assert_eq!((seconds(99, 3600), seconds(1, 3600)), (3600, 5));
    }
}
