//! What is said about a room that is to be created.

use tollgate_sdk::serde_json::Value;

use super::Denied;

/// Its encryption, by `initial_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Encryption {
    /// Whether anything is said about encryption.
    pub(super) is_mentioned: bool,
    /// Whether the room will be encrypted for sure.
    pub(super) is_sure: bool,
}

impl Encryption {
    /// Of a body of `createRoom`.
    pub(super) fn of(body: &Value) -> Result<Self, Denied> {
        let states = match body.get("initial_state") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(states)) => states.as_slice(),
            Some(_) => return Err(Denied::bad_json("initial_state must be a list")),
        };
        let of_type = |state: &&Value| state.get("type").and_then(Value::as_str) == Some("m.room.encryption");
        let mentioned: Vec<&Value> = states.iter().filter(of_type).collect();
        // With another key it is no encryption of the room; and a later event replaces an earlier one.
        let mut effective = mentioned.iter().filter(|state| {
            let key = state.get("state_key").filter(|key| !key.is_null());
            key.is_none_or(|key| key == "")
        });
        let has_algorithm = |state: &&Value| {
            let algorithm = state.get("content").and_then(|content| content.get("algorithm")).and_then(Value::as_str);
            algorithm.is_some_and(|algorithm| !algorithm.is_empty())
        };
        let is_sure = effective.clone().next().is_some() && effective.all(has_algorithm);
        Ok(Self { is_mentioned: !mentioned.is_empty(), is_sure })
    }
}
