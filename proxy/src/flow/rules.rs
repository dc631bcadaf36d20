//! What options do to flows: before the first addon, and after the last.

use std::sync::Arc;

use http::StatusCode;

use super::{Arrival, Destination, Route, Site, filters, record::Record};
use crate::{
    filter::{Seen, View},
    hooks::{Event, FailureKind, Source, UpstreamFailure},
    http::{Field, Headers, Origin},
    options::core::{Modification, Options},
    targets::{Refused, Target, Targets},
    upstream::SendFailure,
};

/// What becomes of a request before any addon sees it.
pub(super) enum Judged {
    /// A flow, with the options that it keeps if one is set.
    Flow(Option<Arc<Options>>),
    /// A flow that neither addons nor rules see.
    Ignored,
    /// An answer with this status and no body.
    Answered(StatusCode),
    /// No answer.
    Dropped,
}

/// Decides by the head as it came and by where it goes.
pub(super) fn judge(site: &Site, arrival: &Arrival) -> Judged {
    let Some(options) = &site.options else { return Judged::Flow(None) };
    let effects = options.effects();
    let upstream = arrival.destination.origin();
    let is_ignored = effects.ignore_hosts.as_ref().is_some_and(|hosts| hosts.contain(upstream))
        || effects.allow_hosts.as_ref().is_some_and(|hosts| !hosts.contain(upstream));
    if is_ignored {
        return Judged::Ignored;
    }
    let view = View {
        listener: &site.name,
        peer: arrival.peer,
        upstream,
        request: &arrival.head,
        request_body: Seen::Absent,
        response: None,
        response_body: Seen::Absent,
        has_error: false,
        is_websocket: false,
    };
    let mut judged = Judged::Flow(Some(Arc::clone(options)));
    for block in effects.block_list.iter().filter(|block| block.matches(&view)) {
        match block.status {
            Some(status) => judged = Judged::Answered(status),
            None => return Judged::Dropped,
        }
    }
    judged
}

/// What addons are to see of the request.
pub(super) fn before_addons(record: &Record) {
    let Some(options) = &record.options else { return };
    let effects = options.effects();
    let headers = &mut record.exchange.lock().request.head.headers;
    if effects.anticache {
        headers.remove("if-none-match");
        headers.remove("if-modified-since");
    }
    if effects.anticomp {
        headers.set(Field::from_static("Accept-Encoding", "identity"));
    }
}

/// What the upstream is to see of the request's fields.
pub(super) fn before_upstream(record: &Record) {
    let Some(options) = &record.options else { return };
    let mut messages = record.exchange.lock();
    let modifications = {
        let view = filters::view(record, &messages, Event::Request, false);
        matching(options, &view)
    };
    modify(&mut messages.request.head.headers, &modifications);
}

/// What the client is to see of the response. What the core says itself stays.
pub(super) fn before_client(record: &Record) {
    let Some(options) = &record.options else { return };
    let mut messages = record.exchange.lock();
    if messages.response.as_ref().is_none_or(|response| response.origin == Source::Core) {
        return;
    }
    let modifications = {
        let view = filters::view(record, &messages, Event::Response, false);
        matching(options, &view)
    };
    if let Some(response) = &mut messages.response {
        modify(&mut response.head.headers, &modifications);
    }
}

fn matching<'a>(options: &'a Options, view: &View<'_>) -> Vec<&'a Modification> {
    options.effects().modify_headers.iter().filter(|modification| modification.matches(view)).collect()
}

/// All that is to go goes before anything comes: so several entries can add fields of one name.
fn modify(headers: &mut Headers, modifications: &[&Modification]) {
    for modification in modifications {
        headers.remove(&modification.name);
    }
    headers.extend(modifications.iter().filter_map(|modification| modification.field.clone()));
}

/// Has the request go where `map_remote` says; tells whether it says anything.
pub(super) fn map_remote(record: &Record) -> Result<bool, SendFailure> {
    let Some(options) = &record.options else { return Ok(false) };
    let (mut moved, mut is_mapped) = (None, false);
    for mapping in &options.effects().map_remote {
        let mut messages = record.exchange.lock();
        let mapped = {
            let view = filters::view(record, &messages, Event::Request, false);
            mapping.apply(&view, &view.url())
        };
        let Some(mapped) =
            mapped.map_err(|why| failure(format!("what map_remote made of the URL cannot be asked for: {why}")))?
        else {
            continue;
        };
        is_mapped = true;
        let request = &mut messages.request;
        request.head.target = mapped.target;
        if let Some((origin, is_named)) = mapped.moved {
            request.head.scheme = origin.scheme;
            request.head.authority = origin.authority.clone();
            // What is sent goes by the upstream; this is for filters that look.
            if let Ok(host) = Field::new("Host", origin.authority.as_str().to_owned()) {
                request.head.headers.set(host);
            }
            request.upstream = Arc::new(origin.clone());
            moved = Some((origin, is_named));
        }
    }
    let Some((origin, is_named)) = moved else { return Ok(is_mapped) };
    let destination = match destination(record, origin.clone(), is_named) {
        Ok(destination) => destination,
        Err(refused) => Destination::refused_at_once(origin, refused),
    };
    record.exchange.lock().request.guard = destination.guard();
    let refused = destination.refused();
    record.moved_to(destination);
    match refused {
        None => Ok(true),
        Some(refused) => match failure(refused.to_string()) {
            SendFailure::Upstream(failure) => Err(SendFailure::Denied(failure)),
            other => Err(other),
        },
    }
}

/// Where a rule sends the request: by the lists of a forward listener, as if the client had asked for it. Before a listener with an
/// upstream the rule itself is the permission, but only for what its author wrote: what comes out of the request leads to public
/// addresses alone. Never back into this process.
fn destination(record: &Record, origin: Origin, is_named: bool) -> Result<Destination, Refused> {
    let site = &record.site;
    let target = Target::of(&origin).ok_or(Refused::NotAllowed)?;
    let client = record.facts.peer.ip();
    if let Route::Forward(forward) = &site.route {
        return forward.destination(origin, target, client);
    }
    let own = site.own.clone();
    let public = Targets::public();
    Ok(Destination::chosen(origin, move |address| {
        if own.contains(address) {
            return Err(Refused::Own);
        }
        if is_named { Ok(()) } else { public.may_dial(&target, address.ip(), client).map_err(|_| Refused::NotNamed) }
    }))
}

fn failure(reason: String) -> SendFailure {
    SendFailure::Upstream(UpstreamFailure { kind: FailureKind::Protocol, message: reason.clone(), reason })
}
