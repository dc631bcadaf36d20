//! What stands in for a page of repeats alone.

use std::time::Duration;

use tollgate_sdk::{Request, Response, http, log};

use crate::{
    judge::{self, Place},
    scope::{self, Failure},
};

mod link;

use link::Links;

/// Items of later pages, and the cursors that fit them.
#[derive(Debug)]
pub(crate) struct Refill {
    pub(crate) items: Vec<String>,
    /// Value of Link; empty for none.
    pub(crate) link: String,
    /// Repeats on those pages.
    pub(crate) dropped: usize,
}

/// Pages that are asked for at most.
const MAX_PAGES: usize = 3;
/// For each of them.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of each of them, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Follows the page's `next` until there is something that was not shown before; at the end the last repeat stands for the rest. None
/// where nothing follows, or it can't be had.
///
/// Only towards older posts: it is not for clients that ask for newer ones.
///
/// # Errors
///
/// What the store says.
pub(crate) fn refill(place: Place, request: &Request, response: &Response) -> Result<Option<Refill>, Failure> {
    let mut links = Links::parse(&response.header_values("link"));
    let previous = links.previous.take();
    let mut dropped = 0;
    let mut last = None;
    for _ in 0..MAX_PAGES {
        let Some(target) = links.next_of(&request.path()) else { break };
        let Some(answer) = ask(request, &target) else { break };
        let Some(items) = judge::items(&answer.body) else { break };
        let values: Vec<_> = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link")).collect();
        links = Links::parse(&values.into_iter().map(|(_, value)| value.clone()).collect::<Vec<_>>());
        let Some(end) = items.last() else {
            // The timeline ends here.
            break;
        };
        let verdicts = Place { page: place.scope.page(&target), ..place }.page(&target, &items)?;
        let shown = items.iter().zip(verdicts).filter(|(_, is_shown)| *is_shown);
        let shown: Vec<_> = shown.map(|(item, _)| item.get().to_owned()).collect();
        dropped += items.len() - shown.len();
        if !shown.is_empty() {
            return Ok(Some(Refill { items: shown, link: links.with(previous.as_deref()), dropped }));
        }
        last = Some(Refill { items: vec![end.get().to_owned()], link: links.with(previous.as_deref()), dropped: dropped - 1 });
    }
    Ok(last)
}

/// A page of the flow's own upstream, with the user's token.
fn ask(request: &Request, target: &str) -> Option<http::Response> {
    let mut asked = http::Request::get(format!("{}{target}", request.upstream())).timeout(TIMEOUT).max_response(MAX_BYTES);
    for name in ["Accept", "Accept-Language", "User-Agent"] {
        if let Some(value) = request.header(name) {
            asked = asked.header(name, value);
        }
    }
    if let Some(token) = scope::token(request) {
        asked = asked.bearer(&token);
    }
    match asked.send() {
        Ok(answer) if matches!(answer.status, 200 | 206) => Some(answer),
        Ok(answer) => {
            log::warn!(status = answer.status; "the next page could not be had: what is there stays");
            None
        }
        Err(error) => {
            let error = error.to_string();
            log::warn!(error = error.as_str(); "the next page could not be had: what is there stays");
            None
        }
    }
}
