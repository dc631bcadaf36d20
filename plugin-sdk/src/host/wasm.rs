//! The imports of the world.

use crate::{
    EditError, Origin,
    guest::bindings::tollgate::addon::flow::{self, EditError as WitEditError, Origin as WitOrigin},
};

pub(crate) use crate::guest::bindings::tollgate::addon::flow::{Outcome, Request, Response};

/// The functions of `flow`: an instance has exactly one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow;

#[allow(clippy::unused_self, reason = "the harness has several flows, an instance only one")]
impl Flow {
    pub(crate) fn id(self) -> u64 {
        flow::id()
    }

    pub(crate) fn listener(self) -> String {
        flow::listener()
    }

    pub(crate) fn peer(self) -> String {
        flow::peer()
    }

    pub(crate) fn is_tls(self) -> bool {
        flow::is_tls()
    }

    pub(crate) fn started(self) -> u64 {
        flow::started()
    }

    pub(crate) fn generation(self) -> u64 {
        flow::generation()
    }

    pub(crate) fn note(self, key: &str) -> Option<String> {
        flow::note(key)
    }

    pub(crate) fn set_note(self, key: &str, value: &str) -> Result<(), WitEditError> {
        flow::set_note(key, value)
    }
}

/// What an edit came to.
pub(crate) fn edit(result: Result<(), WitEditError>) -> Result<(), EditError> {
    result.map_err(|error| match error {
        WitEditError::ReadOnly => EditError::ReadOnly,
        WitEditError::Invalid(text) => EditError::Invalid(text),
        WitEditError::Forbidden(text) => EditError::Forbidden(text),
        WitEditError::TooLarge(text) => EditError::TooLarge(text),
    })
}

/// Where a response came from.
pub(crate) fn origin(origin: WitOrigin) -> Origin {
    match origin {
        WitOrigin::Upstream => Origin::Upstream,
        WitOrigin::Addon(name) => Origin::Addon(name),
        WitOrigin::Core => Origin::Core,
    }
}
