//! Timelines of Mastodon, and of what speaks like it, without posts that were shown before: pages over REST, WebSocket messages
//! and server-sent events, on what the store remembers of each user.
//!
//! README.md is the manual. Which requests are timelines is in `routes.rs`, whose sightings count in `scope.rs`, what the store has
//! in `record.rs`, and what becomes of a sighting in `seen.rs`;
//! what is deleted is in `deleted.rs`.

mod deleted;
mod instance;
mod judge;
mod options;
mod page;
mod record;
mod refill;
mod relay;
mod routes;
mod scope;
mod seen;
mod site;
mod span;
mod status;
mod stream;

use std::time::SystemTime;

use tollgate_sdk::{
    Addon, Error, Flow, OptionErrors, Origin, Request, RequestVerdict, Response, ResponseVerdict, SseEvent, SseVerdict,
    Subscription, WebsocketKind, WebsocketMessage, WebsocketVerdict, log,
};

pub use crate::options::Options;
use crate::{
    judge::Place,
    options::{Reach, Settings},
    routes::Route,
    scope::{Failure, Scope},
    stream::News,
};

/// The addon.
#[derive(Debug)]
pub struct Dedup {
    settings: Settings,
    who: Who,
    /// Whether the log has a line that this flow's store is full.
    is_full: bool,
}

/// Whose sightings those of the flow are.
#[derive(Debug)]
enum Who {
    /// Nobody has asked yet.
    Unknown,
    /// It has no token: nothing is judged.
    Nobody,
    Known(Scope),
}

impl Addon for Dedup {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        Ok(Self { settings: options.check()?, who: Who::Unknown, is_full: false })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        self.settings.reach.subscriptions(&self.settings)
    }

    fn request(&mut self, flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        if Reach::is_stream(request) {
            relay::lead(&self.settings, flow, request);
            // It may be silent for hours, and there may be thousands of them.
            flow.let_go();
        }
        Ok(RequestVerdict::Next)
    }

    fn response(&mut self, flow: &Flow, request: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        match self.settings.reach.route(request) {
            Some(Route::Instance) if response.status() == 200 => {
                let body = response.body().unwrap_or_default();
                let is_upstreams = response.origin() == Origin::Upstream;
                if let Some(body) = instance::rewrite(&self.settings, flow, request, &body, is_upstreams) {
                    response.set_body(body)?;
                }
                Ok(ResponseVerdict::Next)
            }
            Some(Route::Page(family)) if matches!(response.status(), 200 | 206) => {
                let filtered = self.look_for_scope(flow, request).and_then(|()| match &self.who {
                    Who::Known(scope) => page::filter(&self.settings, scope, &family, flow, request, response),
                    Who::Unknown | Who::Nobody => Ok(ResponseVerdict::Next),
                });
                Ok(self.unless_full(flow, filtered)?.unwrap_or_default())
            }
            _ => Ok(ResponseVerdict::Next),
        }
    }

    fn websocket_message(
        &mut self,
        flow: &Flow,
        request: &Request,
        message: WebsocketMessage,
    ) -> Result<WebsocketVerdict, Error> {
        flow.let_go();
        if message.is_from_client || message.kind != WebsocketKind::Text {
            return Ok(WebsocketVerdict::Pass);
        }
        let is_shown = self.is_shown(flow, request, News::of_message(&message.data))?;
        Ok(if is_shown { WebsocketVerdict::Pass } else { WebsocketVerdict::Drop })
    }

    fn sse_event(&mut self, flow: &Flow, request: &Request, event: SseEvent) -> Result<SseVerdict, Error> {
        flow.let_go();
        let news = event.event.as_deref().and_then(|name| News::of_event(name, &event.data));
        let is_shown = self.is_shown(flow, request, news)?;
        Ok(if is_shown { SseVerdict::Pass } else { SseVerdict::Drop })
    }
}

/// The note that the log was told of a full store.
const FULL: &str = "dedup.full";

impl Dedup {
    fn look_for_scope(&mut self, flow: &Flow, request: &Request) -> Result<(), Failure> {
        if matches!(self.who, Who::Unknown) {
            self.who = Scope::of(&self.settings, &relay::home(flow, request), request)?.map_or(Who::Nobody, Who::Known);
        }
        Ok(())
    }

    /// Whether what a stream brings reaches the client.
    fn is_shown(&mut self, flow: &Flow, request: &Request, news: Option<News>) -> Result<bool, Error> {
        let Some(news) = news else { return Ok(true) };
        let judged = self.look_for_scope(flow, request).and_then(|()| match &self.who {
            Who::Known(scope) => judge_news(&self.settings, scope, request, news),
            Who::Unknown | Who::Nobody => Ok(true),
        });
        Ok(self.unless_full(flow, judged)?.unwrap_or(true))
    }

    /// None where the store has no room: then all is as without the addon, and the log tells once a flow.
    fn unless_full<T>(&mut self, flow: &Flow, judged: Result<T, Failure>) -> Result<Option<T>, Error> {
        match judged {
            Ok(verdict) => Ok(Some(verdict)),
            Err(Failure::Other(error)) => Err(error),
            Err(Failure::Full(error)) => {
                if !self.is_full && flow.note(FULL).is_none() {
                    self.is_full = true;
                    // Streams have an instance for each message.
                    let _ = flow.set_note(FULL, "");
                    log::warn!(error = error.as_str(); "the store is full (kv_bytes, kv_keys): timelines pass unfiltered");
                }
                Ok(None)
            }
        }
    }
}

fn judge_news(settings: &Settings, scope: &Scope, request: &Request, news: News) -> Result<bool, Failure> {
    let family = match news.stream() {
        Some(names) => settings.reach.of_stream(names),
        None => settings.reach.of_connection(request),
    };
    let Some(family) = family else { return Ok(true) };
    match news {
        News::Deleted { id, .. } => deleted::remember(settings, scope, scope.entry(&id)).map(|()| true).map_err(Failure::from),
        News::Status { json, is_update, .. } => {
            // The flow began when the client connected, which may be long ago.
            let now = page::seconds(SystemTime::now());
            Place { settings, scope, family: &family, page: 0, now }.message(&json, is_update)
        }
    }
}

tollgate_sdk::export!(Dedup);
