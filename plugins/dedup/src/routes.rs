//! Which requests are about timelines, and about which.

use std::borrow::Cow;

use tollgate_sdk::{Event, Query, Request, Segment, Subscription};

use crate::options::{Reach, Settings, Sharing};

/// A kind of timelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timeline {
    Home,
    Public,
    Tag,
    List,
    Link,
    Trends,
}

/// What an answer is looked at for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A page of this family.
    Page(String),
    /// The instance document.
    Instance,
}

/// Values that Rails reads as false.
const FALSE: [&str; 8] = ["", "0", "f", "F", "false", "FALSE", "off", "OFF"];

/// Largest page that is looked at, in bytes: 40 posts are a tenth of it.
const MAX_PAGE: u64 = 4 << 20;
/// Largest message of a stream: a post is a hundredth of it.
const MAX_MESSAGE: u64 = 1 << 20;
/// Largest instance document.
const MAX_INSTANCE: u64 = 1 << 20;

impl Timeline {
    pub(crate) const ALL: [Self; 6] = [Self::Home, Self::Public, Self::Tag, Self::List, Self::Link, Self::Trends];

    /// As in the options.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Public => "public",
            Self::Tag => "tag",
            Self::List => "list",
            Self::Link => "link",
            Self::Trends => "trends",
        }
    }

    /// Its paths as a regular expression, below `/api/v1/`.
    const fn paths(self) -> &'static str {
        match self {
            Self::Home => "timelines/home",
            Self::Public => "timelines/public",
            Self::Tag => "timelines/tag/[^/]+",
            Self::List => "timelines/list/[^/]+",
            Self::Link => "timelines/link",
            Self::Trends => "trends/statuses",
        }
    }
}

impl Reach {
    /// Nothing else is ever shown to the addon.
    pub(crate) fn subscriptions(&self, settings: &Settings) -> Vec<Subscription> {
        use tollgate_sdk::OverCap::PassUnseen;

        let instance = "~m '^GET$' & ~c 200 & ~p '^/api/v[12]/instance$'";
        let mut all = vec![Subscription::to(Event::Response).filter(instance).with_body_up_to(MAX_INSTANCE, PassUnseen)];
        // Whether they are judged or not: clients find them at the proxy.
        let requests = Subscription::to(Event::Request).filter("~m '^GET$' & ~p '^/api/v1/streaming(/.*)?$'");
        if self.timelines.is_empty() {
            all.push(requests);
            return all;
        }
        let (page, stream) = match settings.sharing {
            Sharing::Shared => ("", ""),
            Sharing::User => (
                " & (~hq '(?im)^authorization: *bearer ' | ~u '[?&]access_token=')",
                " & (~hq '(?im)^(authorization: *bearer |sec-websocket-protocol:)' | ~u '[?&]access_token=')",
            ),
        };
        let paths: Vec<_> = self.timelines.iter().map(|timeline| timeline.paths()).collect();
        // A part of a whole can't be edited; a feed that is made anew is none.
        let whole = "(~c 200 | ~c 206 & !~hs '(?im)^content-range:')";
        let pages = format!("~m '^GET$' & {whole} & ~p '^/api/v1/({})$'{page}", paths.join("|"));
        all.push(Subscription::to(Event::Response).filter(pages).with_body_up_to(MAX_PAGE, PassUnseen));
        if self.has_streams {
            let streams = format!("~p '^/api/v1/streaming(/.*)?$'{stream}");
            let messages = Subscription::to(Event::WebsocketMessage).filter(streams.as_str());
            all.push(messages.with_body_up_to(MAX_MESSAGE, PassUnseen));
            all.push(Subscription::to(Event::SseEvent).filter(streams));
        }
        all.push(requests);
        all
    }

    /// Whether this asks for a stream.
    pub(crate) fn is_stream(request: &Request) -> bool {
        let segments = request.path_segments();
        let names: Vec<_> = segments.iter().map(Segment::as_str).collect();
        request.method() == "GET" && names.starts_with(&[Some("api"), Some("v1"), Some("streaming")])
    }

    fn has(&self, timeline: Timeline) -> bool {
        self.timelines.contains(&timeline)
    }

    /// What the answer to this request is; none if it is nobody's affair here.
    pub(crate) fn route(&self, request: &Request) -> Option<Route> {
        if request.method() != "GET" {
            return None;
        }
        let segments = request.path_segments();
        let names: Vec<_> = segments.iter().map(Segment::as_str).collect::<Option<_>>()?;
        if let ["api", "v1" | "v2", "instance"] = *names {
            return Some(Route::Instance);
        }
        let ["api", "v1", path @ ..] = &*names else { return None };
        let query = request.query();
        let (timeline, argument) = match *path {
            ["timelines", "home"] => (Timeline::Home, None),
            ["timelines", "public"] => (Timeline::Public, local_or_remote(&query).map(Cow::Borrowed)),
            ["timelines", "tag", tag] => (Timeline::Tag, Some(fold(tag)?)),
            ["timelines", "list", id] => (Timeline::List, Some(named(id)?)),
            ["timelines", "link"] => (Timeline::Link, Some(named(query.get("url")?)?)),
            ["trends", "statuses"] => (Timeline::Trends, None),
            _ => return None,
        };
        self.family(timeline, argument).map(Route::Page)
    }

    /// Family of what a stream brings, by its name and argument, as messages have them: `["hashtag", "rust"]`.
    pub(crate) fn of_stream(&self, names: &[Cow<'_, str>]) -> Option<String> {
        let name = names.first()?;
        let argument = || names.get(1).map(Cow::as_ref);
        let (timeline, argument) = match &**name {
            "user" => (Timeline::Home, None),
            "public" | "public:media" => (Timeline::Public, None),
            "public:local" | "public:local:media" => (Timeline::Public, Some(Cow::Borrowed("local"))),
            "public:remote" | "public:remote:media" => (Timeline::Public, Some(Cow::Borrowed("remote"))),
            "hashtag" | "hashtag:local" => (Timeline::Tag, Some(fold(argument()?)?)),
            "list" => (Timeline::List, Some(named(argument()?)?)),
            _ => return None,
        };
        self.family(timeline, argument)
    }

    /// Family of what a connection brings that says nothing else: by its path, else by its query.
    pub(crate) fn of_connection(&self, request: &Request) -> Option<String> {
        let segments = request.path_segments();
        let names: Vec<_> = segments.iter().map(Segment::as_str).collect::<Option<_>>()?;
        let ["api", "v1", "streaming", path @ ..] = &*names else { return None };
        let query = request.query();
        let name = match path {
            [] | [""] => query.get("stream")?.to_owned(),
            path => path.join(":"),
        };
        let argument = if name.starts_with("hashtag") { query.get("tag") } else { query.get("list") };
        let names: Vec<_> = std::iter::once(name.as_str()).chain(argument).map(Cow::Borrowed).collect();
        self.of_stream(&names)
    }

    fn family(&self, timeline: Timeline, argument: Option<Cow<'_, str>>) -> Option<String> {
        let name = self.has(timeline).then(|| timeline.name())?;
        Some(argument.map_or_else(|| name.to_owned(), |argument| format!("{name}:{argument}")))
    }
}

/// Both, like neither, are everything.
fn local_or_remote(query: &Query) -> Option<&'static str> {
    let is_set = |name| query.get(name).is_some_and(|value| !FALSE.contains(&value));
    match (is_set("local"), is_set("remote")) {
        (true, false) => Some("local"),
        (false, true) => Some("remote"),
        _ => None,
    }
}

fn named(text: &str) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

/// Tags are the same in any case.
fn fold(tag: &str) -> Option<Cow<'_, str>> {
    (!tag.is_empty()).then(|| Cow::Owned(tag.to_lowercase()))
}
