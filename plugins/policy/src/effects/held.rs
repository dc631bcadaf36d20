//! The body of a message while hooks change it.

use tollgate_sdk::{EditError, Request, Response, log};

use crate::{
    document::action::Changes,
    merge::{Additions, NoObject, merge},
};

/// A body, asked for once. The first change is made at once, since it tells whether there is an object; later ones are
/// collected, so that the body is not written anew for each hook.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    is_object: bool,
    additions: Additions,
}

/// What edits of a message have in common.
pub(super) trait Staged {
    fn values(&self, name: &str) -> Vec<Vec<u8>>;
    fn set_values(&mut self, name: &str, values: &[Vec<u8>]) -> Result<(), EditError>;
    fn set_whole_body(&mut self, body: &[u8]) -> Result<(), EditError>;
}

impl Held {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, is_object: false, additions: Additions::default() }
    }

    /// Without what is collected.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The body with these changes, where it can't wait: to be [set](Self::set) once whoever else has it took it.
    pub(super) fn first(&self, changes: &Changes) -> Result<Option<Vec<u8>>, NoObject> {
        if self.is_object || changes.json.is_empty() { Ok(None) } else { merge(&self.bytes, &changes.json).map(Some) }
    }

    /// Collects changes of what is known to be an object.
    pub(super) fn collect(&mut self, changes: &Changes) {
        self.additions.extend(&changes.json);
    }

    /// The body with all that was collected; none if that was nothing.
    pub(super) fn collected(&self) -> Result<Option<Vec<u8>>, NoObject> {
        if self.additions.is_empty() { Ok(None) } else { merge(&self.bytes, self.additions.members()).map(Some) }
    }

    /// Takes what was merged.
    pub(super) fn set(&mut self, merged: Vec<u8>) {
        self.bytes = merged;
        self.is_object = true;
        self.additions.clear();
    }
}

/// Sets header fields, then the body; all of it or nothing.
pub(super) fn edit(message: &mut impl Staged, headers: &[(String, String)], body: Option<&[u8]>) -> Result<(), EditError> {
    let mut before = Vec::with_capacity(headers.len());
    let fields = headers.iter().try_for_each(|(name, value)| {
        let values = message.values(name);
        message.set_values(name, &[value.as_bytes().to_vec()])?;
        before.push((name, values));
        Ok(())
    });
    let done = fields.and_then(|()| body.map_or(Ok(()), |body| message.set_whole_body(body)));
    if done.is_err() {
        for (name, values) in before.into_iter().rev() {
            if let Err(error) = message.set_values(name, &values) {
                log::warn!("{name} stays as the hook that failed set it: {error}");
            }
        }
    }
    done
}

macro_rules! staged {
    ($message:ident) => {
        impl Staged for $message<'_> {
            fn values(&self, name: &str) -> Vec<Vec<u8>> {
                self.header_values(name)
            }

            fn set_values(&mut self, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
                self.set_header_values(name, values)
            }

            fn set_whole_body(&mut self, body: &[u8]) -> Result<(), EditError> {
                self.set_body(body)
            }
        }
    };
}

staged!(Request);
staged!(Response);
