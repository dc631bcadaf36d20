//! The trailers of a body, in the last call of its chunk hook (RFC 9110, 6.5).

use std::sync::Arc;

use bytes::Bytes;

use super::{Access, Edit, EditError, Hidden, Kind, Stage, check_name, field};
use crate::{http::Headers, http1::decode::may_be_trailer};

/// Trailers that a hook is shown.
pub(in crate::addons) struct Trailers {
    kind: Kind,
    fields: Headers,
    hidden: Hidden,
    is_edited: bool,
}

impl Stage {
    /// The same stage in the last call for the body of this message.
    pub(in crate::addons) fn with_trailers(mut self, kind: Kind, fields: Headers) -> Self {
        let hidden = Hidden::of(&fields, &self.grants);
        self.trailers = Some(Trailers { kind, fields, hidden, is_edited: false });
        self
    }

    /// The trailers of a message; none but in the last call for its body.
    pub(in crate::addons) fn trailers(&self, kind: Kind) -> Option<&Headers> {
        self.trailers.as_ref().filter(|trailers| trailers.kind == kind).map(|trailers| &trailers.fields)
    }

    /// Replaces all trailers of a name.
    pub(in crate::addons) fn set_trailer(&mut self, kind: Kind, name: &str, values: Vec<Vec<u8>>) -> Edit {
        let (limits, grants, access) = (self.limits, Arc::clone(&self.grants), self.access);
        let Some(trailers) = self.trailers.as_mut().filter(|trailers| trailers.kind == kind && access != Access::Nothing) else {
            return Err(EditError::ReadOnly);
        };
        check_name(kind, name)?;
        if !may_be_trailer(name) {
            return Err(EditError::Forbidden(name.to_ascii_lowercase()));
        }
        grants.check_field(name, values.iter().map(Vec::as_slice))?;
        let at_most = (limits.header_count, limits.header_bytes);
        trailers.hidden.check("trailers", &trailers.fields, (name, &values), at_most)?;
        let shared = Bytes::copy_from_slice(name.as_bytes());
        let fields = values.into_iter().map(|value| field(shared.clone(), value)).collect::<Result<Vec<_>, _>>()?;
        trailers.fields.replace(name, fields);
        trailers.is_edited = true;
        Ok(())
    }

    /// The trailers that a hook has edited; none if it has not.
    pub(in crate::addons) fn edited_trailers(&mut self) -> Option<Headers> {
        self.trailers.take().filter(|trailers| trailers.is_edited).map(|trailers| trailers.fields)
    }
}
