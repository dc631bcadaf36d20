//! Errors without any server.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tollgate_sdk::{Error, Flow, kv};

use crate::{Phase, answer::Respond, fields::Fields, options::Settings};

/// The first matching flows are answered an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendError {
    /// How many; 0: all.
    #[serde(default)]
    pub count: u32,
    /// With this status.
    pub status: u16,
    /// In place of which callback.
    #[serde(default)]
    pub phase: Phase,
}

/// As complement-crypto's helper of this name answers.
const BODY: &str = r#"{"error":"callback.SendError"}"#;
/// How long it is known how many were sent. No test takes so long.
const KEPT: Duration = Duration::from_hours(7 * 24);

impl Settings {
    /// The error that this flow gets, if it is its turn. Flows are counted as long as these options are in force.
    ///
    /// Without a store nobody can count: that is no failure of a callback, but one of the configuration.
    pub(crate) fn error_to_send(&self, flow: &Flow, phase: Phase) -> Result<Option<Respond<'static>>, Error> {
        let Some(error) = self.send_error.filter(|error| error.phase == phase) else { return Ok(None) };
        if error.count > 0 {
            let number = kv::Bucket::new("send_error").increment(&flow.addon_generation(), 1, KEPT);
            let number = number.map_err(|error| {
                let hint = if error == kv::Error::Denied { "; it needs `kv = true` in the addon's table" } else { "" };
                Error::new(format!("send_error can't count flows: {error}{hint}"))
            })?;
            if number > i64::from(error.count) {
                return Ok(None);
            }
        }
        let body = serde_json::from_str::<&RawValue>(BODY)?;
        Ok(Some(Respond { status: Some(error.status), body: Some(body), headers: Fields::default() }))
    }
}
