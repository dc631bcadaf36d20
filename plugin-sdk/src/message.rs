//! The staged messages of a flow.
//!
//! Values of header fields are bytes; names are ASCII and compare without case. On HTTP/1 the order and the case of names
//! are what came over the wire; on HTTP/2 names are lower case (RFC 9113, 8.2.1).

mod json;
mod request;
mod response;

pub use json::JsonError;
pub use request::Request;
pub use response::Response;

/// Bytes that are set aside for JSON when it is written: fewer steps to its full length.
const JSON_ROOM: usize = 4 << 10;

/// What requests and responses have in common.
macro_rules! message_methods {
    ($message:ident) => {
        impl $message<'_> {
            /// All header fields in order. Hop-by-hop fields and those that Connection nominated were removed before.
            #[must_use]
            pub fn headers(&self) -> Vec<$crate::Header> {
                self.host.headers()
            }

            /// Value of the first field of this name.
            #[must_use]
            pub fn header(&self, name: &str) -> Option<Vec<u8>> {
                self.host.header(name).into_iter().next()
            }

            /// Value of the first field of this name; none also where it is no UTF-8.
            #[must_use]
            pub fn header_str(&self, name: &str) -> Option<String> {
                self.header(name).and_then(|value| String::from_utf8(value).ok())
            }

            /// Values of all fields of this name, in order.
            #[must_use]
            pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
                self.host.header(name)
            }

            /// Replaces all fields of this name by one, at the place of the first, else at the end.
            ///
            /// # Errors
            ///
            /// [`EditError::Invalid`](crate::EditError::Invalid) where the name is no token or the value holds control
            /// characters or is surrounded by white space (RFC 9110, 5.1 and 5.5);
            /// [`EditError::Forbidden`](crate::EditError::Forbidden) for a field of the core's.
            pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), $crate::EditError> {
                $crate::host::edit(self.host.set_header(name, &[value.as_ref().to_vec()]))
            }

            /// Replaces all fields of this name by these, at the place of the first, else at the end.
            ///
            /// # Errors
            ///
            /// As [`set_header`](Self::set_header).
            pub fn set_header_values(&mut self, name: &str, values: &[Vec<u8>]) -> Result<(), $crate::EditError> {
                $crate::host::edit(self.host.set_header(name, values))
            }

            /// Adds one field at the end.
            ///
            /// # Errors
            ///
            /// As [`set_header`](Self::set_header).
            pub fn append_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), $crate::EditError> {
                $crate::host::edit(self.host.append_header(name, value.as_ref()))
            }

            /// Removes all fields of this name; that there was none is no error.
            ///
            /// # Errors
            ///
            /// As [`set_header`](Self::set_header).
            pub fn remove_header(&mut self, name: &str) -> Result<(), $crate::EditError> {
                $crate::host::edit(self.host.set_header(name, &[]))
            }

            /// The body, content codings undone. None if no matched subscription asks for it.
            #[must_use]
            pub fn body(&self) -> Option<Vec<u8>> {
                self.host.body()
            }

            /// Whether [`body`](Self::body) is only its first bytes because it is over the cap
            /// ([`OverCap::Truncate`](crate::OverCap::Truncate)).
            #[must_use]
            pub fn is_body_truncated(&self) -> bool {
                self.host.is_body_truncated()
            }

            /// The fields after the body, in the last call of its chunk hook; anywhere else none.
            #[must_use]
            pub fn trailers(&self) -> Vec<$crate::Header> {
                self.host.trailers()
            }

            /// Replaces all trailers of this name by one, at the place of the first, else at the end. In the last call of the body's
            /// chunk hook only.
            ///
            /// # Errors
            ///
            /// [`EditError::ReadOnly`](crate::EditError::ReadOnly) in any other call; else as for header fields, and
            /// [`EditError::Forbidden`](crate::EditError::Forbidden) also for fields that frame, route or authorise a message (RFC
            /// 9110, 6.5.1).
            pub fn set_trailer(&self, name: &str, value: impl AsRef<[u8]>) -> Result<(), $crate::EditError> {
                $crate::host::edit(self.host.set_trailer(name, &[value.as_ref().to_vec()]))
            }

            /// Removes all trailers of this name; that there was none is no error.
            ///
            /// # Errors
            ///
            /// As [`set_trailer`](Self::set_trailer).
            pub fn remove_trailer(&self, name: &str) -> Result<(), $crate::EditError> {
                $crate::host::edit(self.host.set_trailer(name, &[]))
            }

            /// Reads the body as JSON.
            ///
            /// Into `serde_json::Value`, integers beyond 64 bits and long fractions lose digits; read into
            /// `Box<serde_json::value::RawValue>` what must stay as it is.
            ///
            /// # Errors
            ///
            /// Where there is no body to see, only a part of it, or it is no JSON of this shape.
            pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, $crate::JsonError> {
                if self.is_body_truncated() {
                    return Err($crate::JsonError::Truncated);
                }
                let body = self.body().ok_or($crate::JsonError::NoBody)?;
                Ok(serde_json::from_slice(&body)?)
            }

            /// Replaces the whole body by this value's JSON. Content-Type becomes `application/json` where there is none.
            ///
            /// # Errors
            ///
            /// Where the value has no JSON, or as `set_body`.
            pub fn set_json(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), $crate::JsonError> {
                let mut body = Vec::with_capacity(super::JSON_ROOM);
                serde_json::to_writer(&mut body, value)?;
                self.set_body(body)?;
                if self.host.header("content-type").is_empty() {
                    self.set_header("Content-Type", "application/json")?;
                }
                Ok(())
            }
        }
    };
}

use message_methods;
