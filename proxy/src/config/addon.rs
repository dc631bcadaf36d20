//! `[addon.NAME]`.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    AddonConfig,
    budgets::budgets,
    check::{Check, name},
    files,
    grants::grants,
    key::Key,
    policy,
    raw::RawAddon,
    units::Span,
};
use crate::{
    addons::{Document, OptionsSource, OptionsUrl},
    http::BearerToken,
    outbound,
};

/// `options_interval`.
const INTERVAL: RangeInclusive<Span> = Span(Duration::from_secs(1))..=Span(Duration::from_hours(24));

pub(super) fn addon(check: &mut Check, key: &Key, raw: RawAddon) -> AddonConfig {
    check.text(key, key.last().unwrap_or_default(), name);
    let limits = budgets(check, key, &raw);
    let grants = Arc::new(grants(check, key, &raw));
    let policy = policy::policy(check, key, &raw);
    let quarantine = policy::quarantine(check, &key.join("quarantine"), raw.quarantine.as_ref());
    let (options, options_token_file) = options(check, key, raw);
    AddonConfig { options, options_token_file, policy, quarantine, limits, grants }
}

fn options(check: &mut Check, key: &Key, raw: RawAddon) -> (OptionsSource, Option<PathBuf>) {
    let sources = ["options", "options_file", "options_url"].map(|source| key.join(source));
    let mut set = sources.iter().filter(|source| check.is_set(source)).cloned().collect::<Vec<_>>().into_iter();
    if let Some(first) = set.next() {
        for other in set {
            check.fail(&other, format!("must not be set where {first} is"));
        }
    }
    if !check.is_set(&key.join("options_url")) {
        for of_url in ["options_token", "options_token_file", "options_interval"].map(|of_url| key.join(of_url)) {
            if check.is_set(&of_url) {
                check.fail(&of_url, format!("needs {}", key.join("options_url")));
            }
        }
    }
    let token = token(check, key, &raw);
    let interval =
        check.number(&key.join("options_interval"), raw.options_interval.as_ref(), &INTERVAL, Span(Duration::from_mins(1)));
    let token_file = raw.options_token_file.as_ref().map(|path| check.path(&key.join("options_token_file"), path));
    let source = if let Some(options) = raw.options {
        Some(OptionsSource::Inline(options))
    } else if let Some(path) = raw.options_file {
        check.file(&key.join("options_file"), &path, document).map(|(path, ())| OptionsSource::File(path))
    } else if let Some(url) = raw.options_url {
        let parse = |url: &str| OptionsUrl::new(url, token, interval.0).map_err(|error| not_a_url(&error));
        check.text(&key.join("options_url"), &url, parse).map(|url| OptionsSource::Url(Arc::new(url)))
    } else {
        None
    };
    (source.unwrap_or_default(), token_file)
}

fn token(check: &mut Check, key: &Key, raw: &RawAddon) -> Option<BearerToken> {
    let (text, file) = (key.join("options_token"), key.join("options_token_file"));
    let parse = |text: &str| text.parse().map_err(|error: crate::http::InvalidToken| error.to_string());
    match (&raw.options_token, &raw.options_token_file) {
        (Some(_), Some(_)) => {
            check.fail(&file, format!("must not be set where {text} is"));
            None
        }
        (Some(token), None) => check.text(&text, token, parse),
        (None, Some(path)) => {
            let read = |path: &Path| parse(files::text(path, files::TOKEN_BYTES)?.trim());
            check.file(&file, path, read).map(|(_, token)| token)
        }
        (None, None) => None,
    }
}

fn not_a_url(error: &outbound::Error) -> String {
    match error {
        outbound::Error::Invalid(why) => format!("must be an http:// or https:// URL without user name and password: {why}"),
        other => other.to_string(),
    }
}

/// Checks an options file. Its errors name the place and no value of the content.
fn document(path: &Path) -> Result<(), String> {
    let bytes = files::bytes(path, files::OPTIONS_BYTES)?;
    Document::read(&bytes).map(drop).map_err(|error| format!("the file is {error}"))
}
