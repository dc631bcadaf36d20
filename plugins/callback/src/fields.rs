//! Header fields as JSON: `{"Content-Type": ["application/json"], "Set-Cookie": ["a=1", "b=2"]}`.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value};
use tollgate_sdk::{EditError, Header, Request, Response};

use crate::failure::Failure;

/// Names and all values of each, in the order of their first fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, Vec<Vec<u8>>)>);

/// A message whose fields can be changed.
pub(crate) trait Message {
    fn values(&self, name: &str) -> Vec<Vec<u8>>;
    fn set(&mut self, name: &str, values: &[Vec<u8>]) -> Result<(), EditError>;
}

/// What belongs to the proxy (RFC 9110, 7.6.1), and Host.
const FRAMING: [&str; 10] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "host",
];
/// Values that one answer may set, and bytes of all with their names: well below what the proxy takes.
const MAX_VALUES: usize = 64;
const MAX_BYTES: usize = 16 * 1024;

impl Fields {
    pub(crate) fn of(headers: Vec<Header>) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            match fields.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                Some((_, values)) => values.push(value),
                None => fields.0.push((name, vec![value])),
            }
        }
        fields
    }

    /// What the callback server answered under this key: for each name a text, a list of them or null, which removes.
    pub(crate) fn parse(key: &str, json: &str) -> Result<Self, Failure> {
        let shape = || Failure::new(format!("{key} must be an object of texts, lists of texts and nulls"));
        let members: Map<String, Value> = serde_json::from_str(json).map_err(|_| shape())?;
        let mut fields = Self::default();
        let (mut count, mut bytes) = (0, 0);
        for (name, value) in members {
            let values = match value {
                Value::Null => Vec::new(),
                Value::String(text) => vec![text.into_bytes()],
                Value::Array(texts) => {
                    let texts = texts.into_iter().map(|text| match text {
                        Value::String(text) => Ok(text.into_bytes()),
                        _ => Err(shape()),
                    });
                    texts.collect::<Result<_, _>>()?
                }
                _ => return Err(shape()),
            };
            check_name(key, &name)?;
            if !values.iter().all(|value| is_value(value)) {
                return Err(Failure::new(format!("{key}: the value of {name} holds what no header field may")));
            }
            count += values.len().max(1);
            bytes += values.iter().map(|value| name.len() + value.len()).sum::<usize>();
            fields.0.push((name, values));
        }
        if count > MAX_VALUES || bytes > MAX_BYTES {
            return Err(Failure::new(format!(
                "{key}: {count} values, {bytes} bytes; at most {MAX_VALUES} and {MAX_BYTES} may be"
            )));
        }
        Ok(fields)
    }

    pub(crate) fn names(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// With one more field, in front, unless it is among them.
    pub(crate) fn or(mut self, name: &str, value: &str) -> Self {
        if !self.names(name) {
            self.0.insert(0, (name.to_owned(), vec![value.as_bytes().to_vec()]));
        }
        self
    }

    /// Puts them in place of those of the same names.
    pub(crate) fn put_into(self, headers: &mut Vec<Header>) {
        for (name, values) in self.0 {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            headers.extend(values.into_iter().map(|value| (name.clone(), value)));
        }
    }

    /// The same in a message; all of them or, where it takes one not, none.
    pub(crate) fn set_in(&self, message: &mut impl Message) -> Result<(), Failure> {
        let mut before: Vec<(&str, Vec<Vec<u8>>)> = Vec::new();
        for (name, values) in &self.0 {
            let old = message.values(name);
            if let Err(error) = message.set(name, values) {
                for (name, values) in before.iter().rev() {
                    // What was there a moment ago is taken again.
                    drop(message.set(name, values));
                }
                return Err(Failure::from_edit(name, &error));
            }
            before.push((name, old));
        }
        Ok(())
    }
}

/// The name itself is quoted once it is known to be one.
fn check_name(key: &str, name: &str) -> Result<(), Failure> {
    let is_token =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
    if !is_token {
        return Err(Failure::new(format!("{key} holds what is no name of a header field")));
    }
    if FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
        return Err(Failure::new(format!("{key}: {name} belongs to the proxy")));
    }
    Ok(())
}

/// RFC 9110, 5.5.
fn is_value(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_control = |byte: &u8| *byte != b'\t' && (*byte < 0x20 || *byte == 0x7f);
    !value.iter().any(is_control) && !is_blank(value.first()) && !is_blank(value.last())
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, values) in &self.0 {
            let values: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
            map.serialize_entry(name, &values)?;
        }
        map.end()
    }
}

impl Message for Request<'_> {
    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        self.header_values(name)
    }

    fn set(&mut self, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
        self.set_header_values(name, values)
    }
}

impl Message for Response<'_> {
    fn values(&self, name: &str) -> Vec<Vec<u8>> {
        self.header_values(name)
    }

    fn set(&mut self, name: &str, values: &[Vec<u8>]) -> Result<(), EditError> {
        self.set_header_values(name, values)
    }
}
