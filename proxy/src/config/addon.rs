//! `[addon.NAME]`.

use std::{path::Path, sync::Arc};

use super::{
    AddonConfig,
    budgets::budgets,
    check::{Check, name},
    files,
    grants::grants,
    key::Key,
    policy,
    raw::RawAddon,
};

pub(super) fn addon(check: &mut Check, key: &Key, raw: RawAddon) -> AddonConfig {
    let otherwise = AddonConfig::default();
    check.text(key, key.last().unwrap_or_default(), name);
    let limits = budgets(check, key, &raw);
    let grants = Arc::new(grants(check, key, &raw));
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
    AddonConfig { options, options_file, policy, quarantine, limits, grants }
}

/// The content of an options file. Its errors name the place and nothing of the content.
fn json(path: &Path) -> Result<serde_json::Value, String> {
    let text = files::text(path, files::OPTIONS_BYTES)?;
    serde_json::from_str(&text).map_err(|error| format!("the file is not JSON: line {}, column {}", error.line(), error.column()))
}
