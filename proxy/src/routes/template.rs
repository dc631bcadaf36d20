//! What routes make of requests: targets, locations and documents with variables in them.

use std::{cell::Cell, fmt::Write as _, sync::Arc};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use super::{
    Unfit,
    path::{Captures, Found, is_plain},
};
use crate::http::{Authority, Scheme};

/// Text with variables: `{name}`, and `{{` and `}}` for braces.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Variable(Arc<str>),
    /// The host that was asked for, without its port.
    Host,
}

/// The path under which a request goes on, and its query: that of the request, unless the template has a `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTemplate {
    path: Template,
    query: Option<Template>,
}

/// Where a client is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    base: Base,
    target: TargetTemplate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Base {
    /// Where it asked.
    Same,
    /// Scheme and authority.
    Fixed(Box<str>),
    /// The host that it asked for.
    Host(Scheme, Option<u16>),
}

/// A document with variables in its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(Node);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Fixed(Value),
    Text(Template),
    List(Vec<Self>),
    Table(Vec<(String, Self)>),
}

/// What is there to be put in.
struct Values<'a> {
    captures: &'a Captures,
    host: &'a str,
    /// Bytes of text that may still be made.
    left: Cell<usize>,
}

/// Longest target, in bytes.
const MAX: usize = 64 * 1024;
/// Longest document, in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;
/// All that is not part of a segment as it is (RFC 3986, 3.3); nor `;`, since some take what follows for parameters.
const SEGMENT: &AsciiSet = &QUERY
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');
/// All that may mean something else in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl TargetTemplate {
    /// Reads a target; `names` are the variables that there are.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str, names: &[Arc<str>]) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("must be a path that starts with /, like \"/b/{name}\"".to_owned());
        }
        if text.len() > MAX {
            return Err(format!("must not have more than {MAX} bytes"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\')) {
            return Err("must be percent-encoded, without fragment".to_owned());
        }
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        let read = |text: &str| Template::parse(text, names);
        let target = Self { path: read(path)?, query: query.map(read).transpose()? };
        if !is_plain(&target.path.skeleton()) {
            return Err("must have no empty segments and no dot segments".to_owned());
        }
        Ok(target)
    }

    /// The target for a request with this one.
    ///
    /// # Errors
    /// When what the variables have found makes another path of it than the template says.
    pub fn expand(&self, captures: &Captures, host: &str, sent: &[u8]) -> Result<Bytes, Unfit> {
        let values = Values { captures, host, left: Cell::new(MAX) };
        let mut out = Vec::new();
        self.path.write(&values, SEGMENT, &mut out)?;
        if self.path.has_variables() && !is_plain(&out) {
            return Err(Unfit::Path);
        }
        match &self.query {
            // A bare `?` is how the query is left out.
            Some(query) if query.0.is_empty() => {}
            Some(query) => {
                out.push(b'?');
                query.write(&values, QUERY, &mut out)?;
            }
            None => out.extend(sent.iter().skip_while(|&&byte| byte != b'?')),
        }
        if out.len() > MAX { Err(Unfit::TooLong) } else { Ok(out.into()) }
    }
}

impl Location {
    /// Reads a location: a path, or a URL whose authority is written out or is `{host}`, with or without a port.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str, names: &[Arc<str>]) -> Result<Self, String> {
        const EXPECTED: &str = "must be a path that starts with /, or a URL whose host is written out or is {host}";
        let schemes = [("http://", Scheme::Http), ("https://", Scheme::Https)];
        let found = schemes.iter().find_map(|(prefix, scheme)| Some((text.strip_prefix(prefix)?, *scheme)));
        let Some((rest, scheme)) = found else {
            let is_path = text.starts_with('/') && !text.starts_with("//");
            let target = if is_path { TargetTemplate::parse(text, names)? } else { return Err(EXPECTED.to_owned()) };
            return Ok(Self { base: Base::Same, target });
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let base = match authority.strip_prefix("{host}") {
            Some("") => Base::Host(scheme, None),
            Some(port) => {
                let port = port.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port != 0);
                Base::Host(scheme, Some(port.ok_or("must have a port from 1 to 65535 after {host}:")?))
            }
            None => {
                authority.parse::<Authority>().map_err(|_| EXPECTED)?;
                Base::Fixed(format!("{scheme}://{authority}").into())
            }
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { base, target: TargetTemplate::parse(&path, names)? })
    }

    /// The location for a request with this target.
    ///
    /// # Errors
    /// As [`TargetTemplate::expand`].
    pub fn expand(&self, captures: &Captures, host: &str, sent: &[u8]) -> Result<String, Unfit> {
        let mut out = match &self.base {
            Base::Same => String::new(),
            Base::Fixed(base) => base.to_string(),
            Base::Host(..) if host.is_empty() => return Err(Unfit::NoHost),
            Base::Host(scheme, None) => format!("{scheme}://{host}"),
            Base::Host(scheme, Some(port)) => format!("{scheme}://{host}:{port}"),
        };
        let target = self.target.expand(captures, host, sent)?;
        // Targets are ASCII.
        out.push_str(std::str::from_utf8(&target).map_err(|_| Unfit::NotText)?);
        Ok(out)
    }
}

impl Json {
    /// Reads the texts of a document; names in tables stay as they are.
    ///
    /// # Errors
    /// What is wrong with one of them, for people.
    pub fn parse(value: &Value, names: &[Arc<str>]) -> Result<Self, String> {
        Node::parse(value, names).map(Self)
    }

    /// The document, at most [`MAX_DOCUMENT`]. Whatever a variable holds stays within its text.
    pub(super) fn expand(&self, captures: &Captures, host: &str) -> Result<Bytes, Unfit> {
        let document = self.0.expand(&Values { captures, host, left: Cell::new(MAX_DOCUMENT) })?.to_string();
        if document.len() > MAX_DOCUMENT { Err(Unfit::TooLarge) } else { Ok(document.into()) }
    }
}

impl Node {
    fn parse(value: &Value, names: &[Arc<str>]) -> Result<Self, String> {
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(text, names)?),
            Value::Array(items) => Self::List(items.iter().map(|item| Self::parse(item, names)).collect::<Result<_, _>>()?),
            Value::Object(fields) => {
                let read = |(name, value): (&String, &Value)| Ok((name.clone(), Self::parse(value, names)?));
                Self::Table(fields.iter().map(read).collect::<Result<_, String>>()?)
            }
            other => Self::Fixed(other.clone()),
        })
    }

    fn expand(&self, values: &Values<'_>) -> Result<Value, Unfit> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => Value::String(template.text(values)?),
            Self::List(items) => Value::Array(items.iter().map(|item| item.expand(values)).collect::<Result<_, _>>()?),
            Self::Table(fields) => {
                let expand = |(name, node): &(String, Self)| Ok((name.clone(), node.expand(values)?));
                Value::Object(fields.iter().map(expand).collect::<Result<_, Unfit>>()?)
            }
        })
    }
}

impl Template {
    fn parse(text: &str, names: &[Arc<str>]) -> Result<Self, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(place) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(place);
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
                plain.extend(brace.chars().next());
                rest = after;
                continue;
            }
            let inner = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = inner.ok_or("has a brace that belongs to no variable: braces themselves are {{ and }}")?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(match (name, names.iter().find(|known| ***known == *name)) {
                ("host", _) => Part::Host,
                (_, Some(known)) => Part::Variable(Arc::clone(known)),
                (_, None) => return Err(unknown(name, names)),
            });
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self(parts))
    }

    fn has_variables(&self) -> bool {
        self.0.iter().any(|part| !matches!(part, Part::Text(_)))
    }

    /// With a letter in place of each variable.
    fn skeleton(&self) -> Vec<u8> {
        let text = |part: &Part| if let Part::Text(text) = part { text.as_bytes().to_vec() } else { b"x".to_vec() };
        self.0.iter().flat_map(text).collect()
    }

    fn write(&self, values: &Values<'_>, encoding: &'static AsciiSet, out: &mut Vec<u8>) -> Result<(), Unfit> {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Host => encode(values.host()?.as_bytes(), encoding, out),
                Part::Variable(name) => match values.captures.get(name) {
                    Some(Found::One(found)) => encode(found, encoding, out),
                    Some(Found::Rest(found)) => {
                        for (place, segment) in found.iter().enumerate() {
                            if place > 0 {
                                out.push(b'/');
                            }
                            encode(segment, encoding, out);
                        }
                    }
                    None => {}
                },
            }
            if out.len() > MAX {
                return Err(Unfit::TooLong);
            }
        }
        Ok(())
    }

    fn text(&self, values: &Values<'_>) -> Result<String, Unfit> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(values.take(text)?),
                Part::Host => out.push_str(values.take(values.host()?)?),
                Part::Variable(name) => {
                    let bytes = match values.captures.get(name) {
                        Some(Found::One(found)) => found.clone(),
                        Some(Found::Rest(found)) => found.join(&b'/'),
                        None => Vec::new(),
                    };
                    out.push_str(values.take(std::str::from_utf8(&bytes).map_err(|_| Unfit::NotText)?)?);
                }
            }
        }
        Ok(out)
    }
}

impl Values<'_> {
    /// A text, if there is room for it.
    fn take<'a>(&self, text: &'a str) -> Result<&'a str, Unfit> {
        self.left.set(self.left.get().checked_sub(text.len()).ok_or(Unfit::TooLarge)?);
        Ok(text)
    }

    fn host(&self) -> Result<&str, Unfit> {
        if self.host.is_empty() { Err(Unfit::NoHost) } else { Ok(self.host) }
    }
}

fn encode(bytes: &[u8], encoding: &'static AsciiSet, out: &mut Vec<u8>) {
    for piece in percent_encode(bytes, encoding) {
        out.extend_from_slice(piece.as_bytes());
    }
}

fn unknown(name: &str, names: &[Arc<str>]) -> String {
    let mut text = format!("has {{{name}}}, and there is no such variable; there are {{host}}");
    for name in names {
        let _ = write!(text, ", {{{name}}}");
    }
    text
}
