//! `[addon.NAME]`.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use super::{
    AddonConfig,
    check::{Check, name},
    files,
    key::Key,
    limits::usize_of,
    policy,
    raw::RawAddon,
    units::{Size, Span},
};

pub(super) const CPU: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_mins(1));
pub(super) const WALL: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_hours(1));
pub(super) const MEMORY: RangeInclusive<Size> = Size(1 << 20)..=Size(256 << 20);
pub(super) const MAX_BODY: RangeInclusive<Size> = Size(0)..=Size(1 << 30);

const SHORTEST: Duration = Duration::from_millis(1);

pub(super) fn addon(check: &mut Check, key: &Key, raw: RawAddon) -> AddonConfig {
    let otherwise = AddonConfig::default();
    check.text(key, key.last().unwrap_or_default(), name);
    check.refuse_unserved(&key.join("http"));
    check.refuse_unserved(&key.join("kv"));
    let mut span =
        |name, raw: &Option<_>, range, otherwise| check.number(&key.join(name), raw.as_ref(), range, Span(otherwise)).0;
    let cpu = span("cpu", &raw.cpu, &CPU, otherwise.cpu);
    let wall = span("wall", &raw.wall, &WALL, otherwise.wall);
    let mut size = |name, raw: &Option<_>, range, otherwise: usize| {
        usize_of(check.number(&key.join(name), raw.as_ref(), range, Size(otherwise as u64)).0)
    };
    let memory = size("memory", &raw.memory, &MEMORY, otherwise.memory);
    let max_body = size("max_body", &raw.max_body, &MAX_BODY, otherwise.max_body);
    let policy = policy::policy(check, key, &raw);
    let quarantine = policy::quarantine(check, &key.join("quarantine"), raw.quarantine.as_ref());
    let (options, options_file) = match (raw.options, raw.options_file) {
        (Some(_), Some(_)) => {
            check.fail(&key.join("options_file"), format!("must not be set where {} is", key.join("options")));
            (otherwise.options, None)
        }
        (Some(options), None) => (options, None),
        (None, Some(path)) => match check.file(&key.join("options_file"), &path, json) {
            Some((path, options)) => (options, Some(path)),
            None => (otherwise.options, None),
        },
        (None, None) => (otherwise.options, None),
    };
    AddonConfig { options, options_file, policy, quarantine, cpu, wall, memory, max_body }
}

/// The content of an options file. Its errors name the place and nothing of the content.
fn json(path: &Path) -> Result<serde_json::Value, String> {
    let text = files::text(path, files::OPTIONS_BYTES)?;
    serde_json::from_str(&text).map_err(|error| format!("the file is not JSON: line {}, column {}", error.line(), error.column()))
}
