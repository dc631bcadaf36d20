//! Pages over REST.

use std::{borrow::Cow, time::SystemTime};

use serde_json::value::RawValue;
use tollgate_sdk::{Error, Flow, Request, Response, ResponseVerdict};

use crate::{
    judge::{self, Place},
    options::{EmptyPage, Settings, Sharing},
    refill::{self, Refill},
    scope::{Failure, Scope},
};

/// A page without repeats.
#[derive(Debug)]
struct Filtered {
    /// None: as it came.
    body: Option<Vec<u8>>,
    /// None: as it came.
    link: Option<String>,
    kept: usize,
    dropped: usize,
}

/// Where the pages of a client go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// To what is older, from the newest or `max_id` on.
    Down,
    /// To what is newer, page by page from `min_id` on: an empty page would end it, or be asked for for ever.
    Up,
    /// To the newest after `since_id`: nothing is an answer, and ends no walk through older posts.
    Poll,
}

/// Tells what was done, with `explain`.
const EXPLAIN: &str = "X-Tollgate-Dedup";

/// Takes repeats out of an answer.
///
/// # Errors
///
/// What the store says, but that it is full; an edit that is not taken.
pub(crate) fn filter(
    settings: &Settings,
    scope: &Scope,
    family: &str,
    flow: &Flow,
    request: &Request,
    response: &mut Response,
) -> Result<ResponseVerdict, Failure> {
    let status = response.status();
    let is_whole = status == 200 || (status == 206 && response.header("content-range").is_none());
    if !is_whole || response.is_body_truncated() {
        return Ok(ResponseVerdict::Next);
    }
    let body = response.body().unwrap_or_default();
    let Some(items) = judge::items(&body) else { return Ok(ResponseVerdict::Next) };
    let target = request.path_and_query();
    let place = Place { settings, scope, family, page: scope.page(&target), now: seconds(flow.started()) };
    let filtered = Filtered::of(place, &items, request, response)?;
    filtered.put(settings, response).map_err(Failure::Other)
}

impl Filtered {
    fn of(place: Place, items: &[&RawValue], request: &Request, response: &Response) -> Result<Self, Failure> {
        let verdicts = place.page(&request.path_and_query(), items)?;
        let kept: Vec<_> = items.iter().zip(verdicts).filter(|(_, is_shown)| *is_shown).map(|(item, _)| item.get()).collect();
        let dropped = items.len() - kept.len();
        let asis = Self { body: None, link: None, kept: kept.len(), dropped };
        if dropped == 0 {
            return Ok(asis);
        }
        let Some((first, last)) = items.first().zip(items.last()).filter(|_| kept.is_empty()) else {
            return Ok(Self { body: Some(judge::array(kept.into_iter().map(Cow::Borrowed))), ..asis });
        };
        let keep = |item: &RawValue| {
            // A page of one is this item.
            let body = (items.len() > 1).then(|| judge::array([Cow::Borrowed(item.get())]));
            Self { body, link: None, kept: 1, dropped: dropped - 1 }
        };
        match (Walk::of(request), place.settings.empty_page) {
            (Walk::Poll, _) | (_, EmptyPage::Empty) => Ok(Self { body: Some(b"[]".to_vec()), ..asis }),
            (Walk::Up, _) => Ok(keep(first)),
            (Walk::Down, EmptyPage::KeepLast) => Ok(keep(last)),
            (Walk::Down, EmptyPage::Refill) => Ok(match refill::refill(place, request, response)? {
                Some(Refill { items, link, dropped: more }) => {
                    let kept = items.len();
                    Self {
                        body: Some(judge::array(items.into_iter().map(Cow::Owned))),
                        link: Some(link),
                        kept,
                        dropped: dropped + more,
                    }
                }
                None => keep(last),
            }),
        }
    }

    fn put(self, settings: &Settings, response: &mut Response) -> Result<ResponseVerdict, Error> {
        if settings.sharing == Sharing::User {
            keep_private(response)?;
        }
        if settings.is_explained {
            response.set_header(EXPLAIN, format!("kept={} dropped={}", self.kept, self.dropped))?;
        }
        if let Some(link) = self.link {
            if link.is_empty() {
                response.remove_header("Link")?;
            } else {
                response.set_header("Link", link)?;
            }
        }
        let Some(body) = self.body else { return Ok(ResponseVerdict::Next) };
        response.set_body(body)?;
        Ok(ResponseVerdict::Next)
    }
}

/// What is made for one user is kept by no cache that others share (RFC 9111, section 5.2.2.7).
fn keep_private(response: &mut Response) -> Result<(), Error> {
    let before = elements(response, "Cache-Control");
    let is_for_all = |directive: &String| {
        let name = directive.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("public") || name.eq_ignore_ascii_case("s-maxage")
    };
    let mut after: Vec<_> = before.iter().filter(|directive| !is_for_all(directive)).cloned().collect();
    if !after.iter().any(|directive| directive.eq_ignore_ascii_case("private")) {
        after.push("private".to_owned());
    }
    if after != before {
        response.set_header("Cache-Control", after.join(", "))?;
    }
    let mut varies = elements(response, "Vary");
    if !varies.iter().any(|name| name == "*" || name.eq_ignore_ascii_case("authorization")) {
        varies.push("Authorization".to_owned());
        response.set_header("Vary", varies.join(", "))?;
    }
    Ok(())
}

/// Of a field that is a list.
fn elements(response: &Response, name: &str) -> Vec<String> {
    let values = response.header_values(name);
    let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
    let elements = values.iter().flat_map(|value| value.split(',')).map(str::trim);
    elements.filter(|element| !element.is_empty()).map(str::to_owned).collect()
}

impl Walk {
    fn of(request: &Request) -> Self {
        let query = request.query();
        let has = |name| query.get(name).is_some_and(|value| !value.is_empty());
        match (has("min_id"), has("since_id")) {
            // The server looks at no since_id then.
            (true, _) => Self::Up,
            (false, true) => Self::Poll,
            (false, false) => Self::Down,
        }
    }
}

/// Since the Unix epoch.
pub(crate) fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
