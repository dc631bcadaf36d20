//! Header fields: what a hook may set, and how much of them there may be.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    super::grants::{Grants, WITHHELD},
    Edit, EditError, Kind, Stage, at_most, invalid,
};
use crate::http::{Field, Headers, headers::is_token};

/// Framing and hop-by-hop fields (RFC 9110, 7.6.1; RFC 9113, 8.2.2).
const FORBIDDEN: [&str; 9] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
];

/// Values that were there before the hook and that the addon cannot read: they count as what is shown of them, so that its
/// limits do not tell how long they are.
#[derive(Clone)]
pub(super) struct Hidden {
    grants: Arc<Grants>,
    values: Arc<[Bytes]>,
}

impl Hidden {
    /// Of these fields, before any is edited.
    pub(super) fn of(headers: &Headers, grants: &Arc<Grants>) -> Self {
        let is_hidden = |field: &&Field| !grants.may_read(field.name_str());
        let hidden = headers.iter().filter(|_| !grants.reads_all()).filter(is_hidden);
        Self { grants: Arc::clone(grants), values: hidden.map(Field::value_bytes).collect() }
    }

    /// Bytes of a field, as limits count them.
    pub(super) fn counted(&self, field: &Field) -> usize {
        let value = field.value();
        // By place, not by content: else a hook could find out by setting the same.
        let is_known = |known: &Bytes| known.as_ptr() == value.as_ptr() && known.len() == value.len();
        let is_hidden = || value.is_empty() || self.values.iter().any(is_known);
        if !self.grants.may_read(field.name_str()) && is_hidden() {
            wire_len(field.name_str(), WITHHELD)
        } else {
            wire_len(field.name_str(), value)
        }
    }

    /// Fails where fields of one name with these values beside `headers` are more than the limits allow. Who was over before,
    /// as a client may be, can at least take fields away.
    pub(super) fn check(
        &self,
        what: &str,
        headers: &Headers,
        (name, values): (&str, &[Vec<u8>]),
        (count_limit, byte_limit): (usize, usize),
    ) -> Edit {
        let (mut count, mut bytes) = (values.len(), values.iter().map(|value| wire_len(name, value)).sum::<usize>());
        let mut before = 0;
        for field in headers {
            let counted = self.counted(field);
            before += counted;
            if !field.is(name) {
                count += 1;
                bytes += counted;
            }
        }
        if count > headers.len() || bytes > before {
            at_most(what, count, count_limit)?;
            at_most(&format!("bytes of {what}"), bytes, byte_limit)?;
        }
        Ok(())
    }
}

impl Stage {
    fn headers_mut(&mut self, kind: Kind) -> Result<&mut Headers, EditError> {
        match kind {
            Kind::Request => self.request_mut().map(|request| &mut request.head.headers),
            Kind::Response => self.response_mut().map(|response| &mut response.head.headers),
        }
    }

    /// What of a message was hidden when the hook began.
    fn hidden(&mut self, kind: Kind) -> Hidden {
        let (exchange, grants) = (&self.exchange, &self.grants);
        let hidden = self.hidden.get_or_insert_with(|| {
            let messages = exchange.lock();
            match (kind, &messages.response) {
                (Kind::Response, Some(response)) => Hidden::of(&response.head.headers, grants),
                (Kind::Response, None) => Hidden::of(&Headers::new(), grants),
                (Kind::Request, _) => Hidden::of(&messages.request.head.headers, grants),
            }
        });
        hidden.clone()
    }

    /// Replaces all fields of a name.
    pub(in crate::addons) fn set_header(&mut self, kind: Kind, name: &str, values: Vec<Vec<u8>>) -> Edit {
        let (limits, grants) = (self.limits, Arc::clone(&self.grants));
        self.headers_mut(kind)?;
        check_name(kind, name)?;
        grants.check_field(name, values.iter().map(Vec::as_slice))?;
        let hidden = self.hidden(kind);
        let headers = self.headers_mut(kind)?;
        hidden.check("header fields", headers, (name, &values), (limits.header_count, limits.header_bytes))?;
        let shared = Bytes::copy_from_slice(name.as_bytes());
        let fields = values.into_iter().map(|value| field(shared.clone(), value)).collect::<Result<Vec<_>, _>>()?;
        headers.replace(name, fields);
        self.touched.note(shared);
        Ok(())
    }

    /// Adds a field.
    pub(in crate::addons) fn append_header(&mut self, kind: Kind, name: String, value: Vec<u8>) -> Edit {
        let (limits, grants) = (self.limits, Arc::clone(&self.grants));
        self.headers_mut(kind)?;
        check_name(kind, &name)?;
        grants.check_field(&name, [value.as_slice()])?;
        let hidden = self.hidden(kind);
        let headers = self.headers_mut(kind)?;
        let bytes = headers.iter().map(|field| hidden.counted(field)).sum::<usize>() + wire_len(&name, &value);
        at_most("header fields", headers.len() + 1, limits.header_count)?;
        at_most("bytes of header fields", bytes, limits.header_bytes)?;
        let name = Bytes::from(name);
        headers.push(field(name.clone(), value)?);
        self.touched.note(name);
        Ok(())
    }
}

/// Checks a name that a guest wants to set.
pub(in crate::addons) fn check_name(kind: Kind, name: &str) -> Edit {
    if !is_token(name.as_bytes()) {
        return Err(invalid("field name", name));
    }
    let is_host = kind == Kind::Request && name.eq_ignore_ascii_case("host");
    if is_host || FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
        return Err(EditError::Forbidden(name.to_ascii_lowercase()));
    }
    Ok(())
}

/// A field with a checked name.
pub(in crate::addons) fn field(name: Bytes, value: Vec<u8>) -> Result<Field, EditError> {
    let shown = name.clone();
    Field::new(name, value).map_err(|_| EditError::Invalid(format!("value of {}", String::from_utf8_lossy(&shown))))
}

/// Bytes of a field on the wire.
pub(in crate::addons) const fn wire_len(name: &str, value: &[u8]) -> usize {
    name.len() + value.len() + 4
}
