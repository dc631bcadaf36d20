//! `[[dependency]]`: what has to be there for the proxy to be ready.

use std::{ops::RangeInclusive, time::Duration};

use http::StatusCode;

use super::{
    Dependency,
    check::{Check, name},
    key::Key,
    raw::RawDependency,
    units::{Count, Span},
};
use crate::outbound::Caller;

/// Dependencies at most: each is asked for one look at readiness.
const MAX: usize = 64;

pub(super) const TIMEOUT: RangeInclusive<Span> = Span(Duration::from_millis(10))..=Span(Duration::from_mins(1));
pub(super) const CACHE: RangeInclusive<Span> = Span(Duration::ZERO)..=Span(Duration::from_hours(1));
pub(super) const STATUS: RangeInclusive<Count> = Count(200)..=Count(599);

const OTHERWISE: Span = Span(Duration::from_secs(5));

pub(super) fn dependencies(check: &mut Check, at: &Key, raw: &[RawDependency]) -> Vec<Dependency> {
    if raw.len() > MAX {
        check.fail(at, format!("must not be more than {MAX}"));
        return Vec::new();
    }
    let mut all: Vec<Dependency> = Vec::new();
    for (place, raw) in raw.iter().enumerate() {
        let key = at.join(place);
        let Some(dependency) = dependency(check, &key, raw) else { continue };
        if let Some(other) = all.iter().position(|other| other.name == dependency.name) {
            check.fail(&key.join("name"), format!("is taken by {}", at.join(other).join("name")));
        }
        all.push(dependency);
    }
    all
}

fn dependency(check: &mut Check, key: &Key, raw: &RawDependency) -> Option<Dependency> {
    let mut text = |part: &str, text: Option<&String>, parse: fn(&str) -> Result<(), String>| {
        let key = key.join(part);
        match text {
            None => {
                check.fail_missing(&key, "is missing");
                None
            }
            Some(text) => check.text(&key, text, |text| parse(text).map(|()| text.to_owned())),
        }
    };
    let (called, url) = (text("name", raw.name.as_ref(), name), text("url", raw.url.as_ref(), url));
    let status = raw.status.as_ref().and_then(|raw| {
        let status = check.number(&key.join("status"), Some(raw), &STATUS, Count(200));
        u16::try_from(status.0).ok().and_then(|status| StatusCode::from_u16(status).ok())
    });
    let timeout = check.number(&key.join("timeout"), raw.timeout.as_ref(), &TIMEOUT, OTHERWISE).0;
    let cache = check.number(&key.join("cache"), raw.cache.as_ref(), &CACHE, OTHERWISE).0;
    Some(Dependency { name: called?.into(), url: url?, status, timeout, cache })
}

fn url(text: &str) -> Result<(), String> {
    let problem = |_| "must be an http or https URL, like \"https://a.example/health\"".to_owned();
    Caller::for_url(text).map(|_| ()).map_err(problem)
}
