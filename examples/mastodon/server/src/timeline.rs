//! Which entries are in a timeline, page by page.

use hyper::header::{HeaderValue, LINK};
use serde_json::Value;
use url::form_urlencoded;

use crate::{
    LIST,
    answer::{Answer, Refused, document},
    people::Person,
    request::Arrived,
    status::{Status, Statuses},
};

/// Entries of a page, unless the request says how many, and at most.
const PAGE: usize = 20;
const LARGEST_PAGE: usize = 40;

/// The parameters that say where a page begins.
const CURSORS: [&str; 3] = ["max_id", "since_id", "min_id"];

/// Everybody follows everybody.
#[derive(Debug)]
pub(crate) enum Timeline<'a> {
    Home,
    /// Of both sides, or of one.
    Public(Option<Side>),
    Tag(String),
    List,
    By(&'a Person),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Local,
    Remote,
}

impl Timeline<'_> {
    /// By the path after `/api/v1/timelines/`.
    pub(crate) fn at(request: &Arrived, path: &[&str]) -> Result<Self, Refused> {
        let is_set = |name| request.query(name).is_some_and(|value| matches!(value, "true" | "1"));
        match path {
            ["home"] => Ok(Self::Home),
            ["public"] => Ok(Self::Public(match (is_set("local"), is_set("remote")) {
                (true, false) => Some(Side::Local),
                (false, true) => Some(Side::Remote),
                _ => None,
            })),
            ["tag", tag] => Ok(Self::Tag(tag.to_lowercase())),
            ["list", LIST] => Ok(Self::List),
            _ => Err(Refused::NOT_FOUND),
        }
    }

    fn has(&self, status: &Status) -> bool {
        match self {
            Self::Home => true,
            Self::Public(side) => {
                let own = if status.author.is_local() { Side::Local } else { Side::Remote };
                status.boosts.is_none() && side.is_none_or(|side| side == own)
            }
            Self::Tag(tag) => status.boosts.is_none() && status.tags().any(|own| own == *tag),
            Self::List => status.author.is_friend,
            Self::By(person) => status.author == *person,
        }
    }

    /// The page that the request asks for, newest first, with `Link` to its neighbours if it has entries.
    pub(crate) fn page(&self, all: &Statuses, base: &str, viewer: Option<&Person>, request: &Arrived) -> Answer {
        let limit = request.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        let [max, since, min] = CURSORS.map(|name| request.query(name).and_then(|id| id.parse::<u64>().ok()));
        let newer = since.max(min).unwrap_or(0);
        let within = all.values().filter(|status| self.has(status) && status.id > newer && max.is_none_or(|max| status.id < max));
        let page: Vec<&Status> = if min.is_some() {
            let mut page: Vec<_> = within.take(limit).collect();
            page.reverse();
            page
        } else {
            within.rev().take(limit).collect()
        };
        let mut answer = document(&page.iter().map(|status| status.json(all, base, viewer)).collect::<Value>());
        if let (Some(first), Some(last)) = (page.first(), page.last()) {
            let link = |cursor: &str, id: u64, rel: &str| {
                let others = request.query_without(&[&CURSORS[..], &["access_token"]].concat()).cloned().collect::<Vec<_>>();
                let query = form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(others)
                    .append_pair(cursor, &id.to_string())
                    .finish();
                format!("<{base}{}?{query}>; rel=\"{rel}\"", request.path)
            };
            let links = format!("{}, {}", link("max_id", last.id, "next"), link("min_id", first.id, "prev"));
            if let Ok(links) = HeaderValue::try_from(links) {
                answer.headers_mut().insert(LINK, links);
            }
        }
        answer
    }
}
