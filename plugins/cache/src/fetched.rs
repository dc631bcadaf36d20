//! What becomes of the upstream's answer: it is kept, renews what is kept, or what is kept stands in for it.

use tollgate_sdk::{Flow, Header, MadeResponse, Origin, Response, ResponseVerdict, kv, log};

use crate::{
    freshness::Times,
    keep::{self, Why},
    lookup::Fetch,
    options::Settings,
    serve,
    status::{Forward, Status},
    store, subscribe, validate,
};

/// Answers that a stale response may stand in for (RFC 5861, 4).
const ERRORS: [u16; 4] = [500, 502, 503, 504];

/// What became of an answer.
enum Fate {
    Kept,
    /// The next one may be kept.
    Lost,
    /// The next one will hardly be kept.
    Unkept,
}

impl Fetch {
    /// The answer of the upstream, or what stands in its place.
    pub(crate) fn answered(mut self, flow: &Flow, response: &mut Response, settings: &Settings) -> ResponseVerdict {
        if response.origin() != Origin::Upstream {
            // Another addon or the proxy has answered: nobody knows what for.
            self.give_up();
            return ResponseVerdict::Next;
        }
        let status = response.status();
        if status == 304 && self.is_validating {
            return self.renew(&response.headers(), settings).map_or(ResponseVerdict::Next, ResponseVerdict::Replace);
        }
        if ERRORS.contains(&status)
            && let Some(made) = self.stand_in(Some(status), settings)
        {
            return ResponseVerdict::Replace(made);
        }
        let fate = self.keep(flow, response, settings).unwrap_or_else(|error| {
            told(&error);
            Fate::Lost
        });
        self.unlock(!matches!(fate, Fate::Unkept));
        let said = Status::forward(self.why);
        mark(response, &if matches!(fate, Fate::Kept) { said.stored() } else { said }, settings);
        ResponseVerdict::Next
    }

    fn keep(&mut self, flow: &Flow, response: &Response, settings: &Settings) -> Result<Fate, kv::Error> {
        let (status, headers) = (response.status(), response.headers());
        if self.asked.is_head || status == 304 {
            // About a GET they say nothing that is sure.
            return Ok(Fate::Lost);
        }
        let entry = match keep::entry(status, headers, &self.asked.asker, self.times(), settings) {
            Ok(entry) => entry,
            Err(Why::Error) => return Ok(Fate::Lost),
            Err(Why::Response) => {
                // The upstream has another answer now, and that is not to be kept.
                self.forget()?;
                return Ok(Fate::Unkept);
            }
        };
        // Without, it is over the cap.
        let body = if flow.is_matched(subscribe::WHOLE) && !response.is_body_truncated() { response.body() } else { None };
        let Some(body) = body.filter(|body| body.len() as u64 <= settings.max_body) else {
            self.forget()?;
            return Ok(Fate::Unkept);
        };
        Ok(if store::put(&self.asked, &self.epoch, &entry, &body, settings)? { Fate::Kept } else { Fate::Lost })
    }

    /// What is kept, which the upstream has said still holds.
    fn renew(&mut self, not_modified: &[Header], settings: &Settings) -> Option<MadeResponse> {
        let kept = self.kept.take()?;
        let renewed = validate::refreshed(&kept.entry, not_modified, &self.asked.asker, self.times(), settings);
        let done = if renewed.is_kept {
            store::put(&self.asked, &self.epoch, &renewed.entry, &kept.body, settings)
        } else {
            store::remove(&kept).map(|()| false)
        };
        let is_kept = done.unwrap_or_else(|error| {
            told(&error);
            false
        });
        self.unlock(renewed.is_kept);
        let said = Status::forward(self.why).said(304);
        let said = if is_kept { said.stored() } else { said };
        let status = settings.status_header.as_ref().map(|name| said.by(name));
        Some(serve::answer(&self.asked, renewed.entry, kept.body, status, renewed.cookies))
    }

    /// What is kept in the place of an error with this status, or without any, if it may (RFC 5861, 4).
    pub(crate) fn stand_in(&mut self, error: Option<u16>, settings: &Settings) -> Option<MadeResponse> {
        let now = self.asked.now();
        let kept = self.kept.take_if(|kept| self.why != Forward::Request && kept.entry.stands_in(now))?;
        self.give_up();
        let said = Status::forward(self.why);
        let said = match error {
            Some(error) => said.said(error),
            None => said.detail("upstream-error"),
        };
        let status = settings.status_header.as_ref().map(|name| said.by(name));
        Some(serve::answer(&self.asked, kept.entry, kept.body, status, Vec::new()))
    }

    /// Lets others ask, without having an answer for them.
    pub(crate) fn give_up(&mut self) {
        self.unlock(true);
    }

    fn forget(&self) -> Result<(), kv::Error> {
        self.kept.as_ref().map_or(Ok(()), store::remove)
    }

    fn unlock(&mut self, is_kept: bool) {
        if let Some(lock) = self.lock.take()
            && let Err(error) = store::unlock(&lock, is_kept)
        {
            told(&error);
        }
    }

    fn times(&self) -> Times {
        Times { asked: self.asked.at, came: self.asked.now() }
    }
}

/// Adds the status to an answer of the upstream.
pub(crate) fn mark(response: &mut Response, status: &Status, settings: &Settings) {
    if let Some(name) = &settings.status_header
        && let Err(error) = response.append_header("Cache-Status", status.by(name))
    {
        log::debug!("no Cache-Status: {error}");
    }
}

/// Tells that the store is of no use to this flow, which goes on without.
pub(crate) fn told(error: &kv::Error) {
    let error = match error {
        // The proxy tells that once.
        kv::Error::Denied => return log::debug!("nothing is looked up or kept for this flow: {error}"),
        kv::Error::TooLarge(_) => format!("{error}; `kv_bytes` and `kv_keys` say how much is kept"),
        error => error.to_string(),
    };
    log::warn!(error = error.as_str(); "nothing is looked up or kept for this flow");
}
