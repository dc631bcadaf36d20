//! What services answer: hooks.

use serde_json::value::RawValue;
use tollgate_sdk::{http, log};

use crate::document::{
    action::{self, Deed},
    fields::{Fields, Report},
    hook::Stage,
};

/// The hook that a service answered with.
///
/// # Errors
///
/// Where it is none that can be carried out in this stage.
pub(crate) fn read(hook: &str, stage: Stage, response: &http::Response) -> Result<Deed, String> {
    super::accepted(response)?;
    let value: &RawValue = serde_json::from_slice(&response.body).map_err(|error| format!("the answer is no JSON: {error}"))?;
    let mut report = Report { hook: hook.to_owned(), is_lenient: true, ..Report::default() };
    // Depth 1: what an answer is to its hook is what a nested hook is.
    let deed = Fields::read("answer", value, &mut report).and_then(|fields| action::read(fields, Some(stage), 1));
    for warning in &report.warnings {
        log::warn!("{warning}");
    }
    if !report.errors.is_empty() {
        return Err(format!("the answer can't be carried out: {}", report.errors));
    }
    deed.ok_or_else(|| "the answer can't be carried out".to_owned())
}
