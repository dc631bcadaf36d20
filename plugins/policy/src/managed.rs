//! Who is managed.
use serde_json::{Map, Value};
use tollgate_sdk::OptionErrors;

#[derive(Debug)]
pub(crate) struct Managed;

impl Managed {
    pub(crate) fn read(_document: &Map<String, Value>, _errors: &mut OptionErrors) -> Self {
        Self
    }
}
