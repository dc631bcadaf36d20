//! `[[listener.route]]`.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use http::{Method, StatusCode};
use serde_json::Value;

use super::{
    Mode, address,
    check::Check,
    key::Key,
    raw::{RawAnswer, RawRedirect, RawRoute, RawValues},
    units::Count,
    upstreams::{each, host},
};
use crate::{
    http::{Field, Headers, Origin, headers::HOP_BY_HOP},
    routes::{
        Action, Answer, Condition, Conditions, Content, Json, Location, Onward, PathTemplate, Route, Routes, TargetTemplate,
    },
};

/// Routes of a listener.
const MAX: usize = 256;
/// Bytes of an answer's body.
const MAX_BODY: usize = 64 * 1024;
/// Fields of an answer.
const MAX_FIELDS: usize = 32;
const STATUS: RangeInclusive<Count> = Count(200)..=Count(599);
const REDIRECTS: [u64; 5] = [301, 302, 303, 307, 308];
/// What says where a message ends or how a body is coded is the core's.
const OF_THE_CORE: [&str; 4] = ["content-length", "content-encoding", "content-range", "trailer"];

/// All routes, or none where one is wrong.
pub(super) fn routes(check: &mut Check, at: &Key, raw: &[RawRoute], mode: Option<&Mode>) -> Option<Routes> {
    if raw.len() > MAX {
        check.fail(at, format!("must not be more than {MAX}"));
        return None;
    }
    // All of them, so that each error is told.
    let routes: Vec<_> = raw.iter().enumerate().map(|(place, raw)| route(check, &at.join(place), raw, mode)).collect();
    routes.into_iter().collect::<Option<Vec<_>>>().map(Routes)
}

fn route(check: &mut Check, key: &Key, raw: &RawRoute, mode: Option<&Mode>) -> Option<Route> {
    let of = conditions(check, key, raw);
    let path = raw.path.as_deref().and_then(|text| PathTemplate::parse(text).ok());
    let names: Vec<Arc<str>> = path.iter().flat_map(PathTemplate::names).cloned().collect();
    // Where the path is wrong, its variables are not known: that they are missing is no news.
    let names = (path.is_some() || raw.path.is_none()).then_some(names);
    let action = action(check, key, raw, mode, names.as_deref());
    let of = of?;
    if of.are_none() {
        check.fail(key, "must say which requests: path, host, method or filter");
        return None;
    }
    Some(Route { of, action: action? })
}

fn conditions(check: &mut Check, key: &Key, raw: &RawRoute) -> Option<Conditions> {
    let path = optional(raw.path.as_deref(), |text| check.text(&key.join("path"), text, PathTemplate::parse));
    let hosts = each(check, &key.join("host"), raw.host.as_deref(), host);
    let methods = each(check, &key.join("method"), raw.method.as_deref(), method);
    let filter = optional(raw.filter.as_deref(), |text| check.text(&key.join("filter"), text, Condition::parse));
    Some(Conditions { path: path?, hosts: hosts?, methods: methods?, filter: filter? })
}

fn action(check: &mut Check, key: &Key, raw: &RawRoute, mode: Option<&Mode>, names: Option<&[Arc<str>]>) -> Option<Action> {
    let goes_on = raw.upstream.is_some() || raw.target.is_some() || !raw.on_status.is_empty();
    match (&raw.answer, &raw.redirect) {
        (None, None) if goes_on => onward(check, key, raw, mode, names).map(Action::Onward),
        (Some(raw), None) if !goes_on => answer(check, &key.join("answer"), raw, names).map(Action::Answer),
        (None, Some(raw)) if !goes_on => redirect(check, &key.join("redirect"), raw, names),
        (None, None) => {
            check.fail_missing(key, "must say what becomes of them: upstream, target, on_status, answer or redirect");
            None
        }
        _ => {
            check.fail(key, "must have one of answer, redirect, and upstream with target and on_status");
            None
        }
    }
}

fn onward(check: &mut Check, key: &Key, raw: &RawRoute, mode: Option<&Mode>, names: Option<&[Arc<str>]>) -> Option<Onward> {
    let at = key.join("upstream");
    let upstream = optional(raw.upstream.as_deref(), |text| check.text(&at, text, |text| upstream(text, mode)));
    let target = optional(raw.target.as_deref(), |text| {
        check.text(&key.join("target"), text, |text| names.map(|names| TargetTemplate::parse(text, names)).transpose())
    });
    let on_status = on_status(check, &key.join("on_status"), &raw.on_status, names);
    Some(Onward { upstream: upstream?, target: target?.flatten(), on_status: on_status? })
}

/// An upstream of the listener by its name, or any by its URL.
fn upstream(text: &str, mode: Option<&Mode>) -> Result<Arc<Origin>, String> {
    let named = match mode {
        Some(Mode::Reverse(upstreams)) => upstreams.named(text),
        _ => None,
    };
    match named {
        Some(origin) => Ok(Arc::clone(origin)),
        None if text.contains("://") => address::origin(text).map(Arc::new),
        None => Err("must be the name of one of the listener's upstreams, or a URL like \"https://a.example\"".to_owned()),
    }
}

fn on_status(
    check: &mut Check,
    at: &Key,
    raw: &BTreeMap<String, RawAnswer>,
    names: Option<&[Arc<str>]>,
) -> Option<Vec<(StatusCode, Answer)>> {
    let mut all = Vec::with_capacity(raw.len());
    for (text, raw) in raw {
        let key = at.join(text);
        let status = text.parse().ok().filter(|status| text.len() == 3 && (200..600).contains(status));
        let status = status.and_then(|status: u16| StatusCode::from_u16(status).ok());
        if status.is_none() {
            check.fail(&key, "must be a status from 200 to 599");
        }
        all.push(status.zip(answer(check, &key, raw, names)));
    }
    all.into_iter().collect()
}

fn redirect(check: &mut Check, key: &Key, raw: &RawRedirect, names: Option<&[Arc<str>]>) -> Option<Action> {
    let at = key.join("status");
    let status = check.number(&at, raw.status.as_ref(), &STATUS, Count(302));
    if !REDIRECTS.contains(&status.0) && !check.has_failed(&at) {
        check.fail(&at, "must be one of 301, 302, 303, 307 and 308");
    }
    let at = key.join("location");
    let Some(text) = &raw.location else {
        check.fail_missing(&at, "is missing");
        return None;
    };
    let location = check.text(&at, text, |text| names.map(|names| Location::parse(text, names)).transpose());
    Some(Action::Redirect(status_code(status)?, location??))
}

fn answer(check: &mut Check, key: &Key, raw: &RawAnswer, names: Option<&[Arc<str>]>) -> Option<Answer> {
    let status = check.number(&key.join("status"), raw.status.as_ref(), &STATUS, Count(200));
    let headers = fields(check, &key.join("headers"), &raw.headers);
    let (content, kind) = match (&raw.body, &raw.json) {
        (Some(_), Some(_)) => {
            check.fail(&key.join("json"), "must not be set where body is");
            return None;
        }
        (Some(text), None) => (body(check, &key.join("body"), text), Some("text/plain; charset=utf-8")),
        (None, Some(value)) => (json(check, &key.join("json"), value, names), Some("application/json")),
        (None, None) => (Some(Content::Fixed(bytes::Bytes::new())), None),
    };
    if kind.is_some() && matches!(status.0, 204 | 205 | 304) {
        check.fail(key, format!("must have no body: a response with status {} has none", status.0));
        return None;
    }
    let mut headers = headers?;
    if let Some(kind) = kind.filter(|_| !headers.contains("content-type")) {
        headers.push(Field::from_static("Content-Type", kind));
    }
    Some(Answer { status: status_code(status)?, headers, content: content? })
}

fn body(check: &mut Check, key: &Key, text: &str) -> Option<Content> {
    if text.len() > MAX_BODY {
        check.fail(key, format!("must not have more than {MAX_BODY} bytes"));
        return None;
    }
    Some(Content::Fixed(text.to_owned().into()))
}

fn json(check: &mut Check, key: &Key, value: &Value, names: Option<&[Arc<str>]>) -> Option<Content> {
    if value.to_string().len() > MAX_BODY {
        check.fail(key, format!("must not have more than {MAX_BODY} bytes"));
        return None;
    }
    let json = Json::parse(value, names?).map_err(|problem| check.fail(key, problem)).ok()?;
    Some(Content::Json(json))
}

fn fields(check: &mut Check, at: &Key, raw: &BTreeMap<String, RawValues>) -> Option<Headers> {
    let (mut headers, mut is_good) = (Headers::new(), true);
    for (name, values) in raw {
        let key = at.join(name);
        let values = match values {
            RawValues::One(value) => std::slice::from_ref(value),
            RawValues::Several(values) => values.as_slice(),
        };
        if OF_THE_CORE.iter().chain(&HOP_BY_HOP).any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            check.fail(&key, "is set by the proxy alone");
            is_good = false;
            continue;
        }
        for value in values {
            match Field::new(name.clone(), value.clone()) {
                Ok(field) => headers.push(field),
                Err(error) => {
                    check.fail(&key, format!("is {error}"));
                    is_good = false;
                }
            }
        }
    }
    if headers.len() > MAX_FIELDS {
        check.fail(at, format!("must not be more than {MAX_FIELDS} fields"));
        return None;
    }
    is_good.then_some(headers)
}

fn method(text: &str) -> Result<Method, String> {
    let expected = || "must be a method, like \"GET\"; CONNECT is not routed".to_owned();
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| expected())?;
    if method == Method::CONNECT || text.len() > 64 { Err(expected()) } else { Ok(method) }
}

fn status_code(status: Count) -> Option<StatusCode> {
    u16::try_from(status.0).ok().and_then(|status| StatusCode::from_u16(status).ok())
}

/// What is not there is not wrong.
#[allow(clippy::option_option, reason = "whether it is wrong, and whether it is there")]
fn optional<T>(text: Option<&str>, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => read(text).map(Some),
    }
}
