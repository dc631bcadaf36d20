//! Pages over REST.

use std::{borrow::Cow, time::SystemTime};

use serde_json::value::RawValue;
use tollgate_sdk::{Error, Flow, Header, MadeResponse, Request, Response, ResponseVerdict};

use crate::{
    judge::{self, Place},
    options::{EmptyPage, Settings},
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

/// Tells what was done, with `explain`.
const EXPLAIN: &str = "X-Tollgate-Dedup";

/// Fields that describe the body that was there, of which the proxy takes no care in a response that is made.
const ABOUT_BODY: [&str; 7] =
    ["content-length", "content-md5", "content-digest", "digest", "etag", "repr-digest", "transfer-encoding"];

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
    let is_part = || response.header("content-range").is_some() || response.header("content-encoding").is_some();
    let is_whole = status == 200 || (status == 206 && !is_part());
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
        let verdicts = place.page(items)?;
        let kept: Vec<_> = items.iter().zip(verdicts).filter(|(_, is_shown)| *is_shown).map(|(item, _)| item.get()).collect();
        let dropped = items.len() - kept.len();
        let asis = Self { body: None, link: None, kept: kept.len(), dropped };
        if dropped == 0 {
            return Ok(asis);
        }
        let Some(last) = items.last().filter(|_| kept.is_empty()) else {
            return Ok(Self { body: Some(judge::array(kept.into_iter().map(Cow::Borrowed))), ..asis });
        };
        let keep_last = || match items {
            // It is all of the page.
            [_] => None,
            _ => Some(judge::array([Cow::Borrowed(last.get())])),
        };
        match place.settings.empty_page {
            EmptyPage::Empty => Ok(Self { body: Some(b"[]".to_vec()), ..asis }),
            EmptyPage::KeepLast => Ok(Self { body: keep_last(), kept: 1, dropped: dropped - 1, ..asis }),
            EmptyPage::Refill => Ok(match refill::refill(place, request, response)? {
                Some(Refill { items, link, dropped: more }) => {
                    let kept = items.len();
                    Self {
                        body: Some(judge::array(items.into_iter().map(Cow::Owned))),
                        link: Some(link),
                        kept,
                        dropped: dropped + more,
                    }
                }
                None => Self { body: keep_last(), kept: 1, dropped: dropped - 1, ..asis },
            }),
        }
    }

    fn put(self, settings: &Settings, response: &mut Response) -> Result<ResponseVerdict, Error> {
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
        if response.status() == 206 {
            // Without Content-Range it is no part of anything, but the proxy can't tell: so it is made anew.
            return Ok(ResponseVerdict::Replace(made(response, body)));
        }
        response.set_body(body)?;
        Ok(ResponseVerdict::Next)
    }
}

/// The same response with another body.
fn made(response: &Response, body: Vec<u8>) -> MadeResponse {
    let is_kept = |(name, _): &Header| !ABOUT_BODY.iter().any(|about| name.eq_ignore_ascii_case(about));
    let headers = response.headers().into_iter().filter(is_kept).collect();
    MadeResponse { status: response.status(), headers, body }
}

/// Since the Unix epoch.
pub(crate) fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
