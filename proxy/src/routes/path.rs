//! Paths in segments, and templates that they fit.

use std::{borrow::Cow, sync::Arc};

use percent_encoding::percent_decode;

/// A path as it is matched: `/a/{name}/{rest...}`. A variable is a whole segment, and finds one that is not empty; one with `...`
/// comes last, and finds whatever is left after its `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    segments: Vec<Segment>,
    rest: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// Decoded.
    Text(Vec<u8>),
    Variable(Arc<str>),
}

/// What the variables of a template have found, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captures(Vec<(Arc<str>, Found)>);

/// What a variable has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    One(Vec<u8>),
    Rest(Vec<Vec<u8>>),
}

/// The decoded segments of a path; the last one is empty where the path ends with a slash.
#[derive(Debug)]
pub(super) struct Segments<'a>(pub(super) Vec<Cow<'a, [u8]>>);

/// Bytes of a template.
const MAX: usize = 2048;
/// What is no variable of a path, since it has a value anyway.
const HOST: &str = "host";

impl PathTemplate {
    /// Reads a template. Its text is percent-decoded, too.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or("must be a path that starts with /, like \"/a/{name}\" or \"/a/{rest...}\"")?;
        if text.len() > MAX {
            return Err(format!("must not have more than {MAX} bytes"));
        }
        if text.chars().any(|character| character.is_control() || matches!(character, ' ' | '?' | '#' | '\\' | ';')) {
            return Err("must have no query, fragment, white space, '\\' or ';'".to_owned());
        }
        let all: Vec<&str> = path.split('/').collect();
        let mut template = Self { segments: Vec::with_capacity(all.len()), rest: None };
        for (place, text) in all.iter().enumerate() {
            let is_last = place + 1 == all.len();
            let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
                template.segments.push(Segment::Text(literal(text, is_last)?));
                continue;
            };
            let (name, is_rest) = name.strip_suffix("...").map_or((name, false), |name| (name, true));
            template.check(name)?;
            match (is_rest, is_last) {
                (false, _) => template.segments.push(Segment::Variable(name.into())),
                (true, true) => template.rest = Some(name.into()),
                (true, false) => return Err(format!("must have nothing after {{{name}...}}")),
            }
        }
        Ok(template)
    }

    fn check(&self, name: &str) -> Result<(), String> {
        if !is_name(name) {
            return Err("must have variables like {name}: letters, digits and '_', no digit first, at most 64".to_owned());
        }
        if name == HOST {
            return Err("must not have a variable {host}: that is the host that was asked for".to_owned());
        }
        if self.names().any(|known| **known == *name) {
            return Err(format!("must have the variable {name} only once"));
        }
        Ok(())
    }

    /// The variables.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let named = self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(name) => Some(name),
            Segment::Text(_) => None,
        });
        named.chain(&self.rest)
    }

    pub(super) fn matches(&self, path: &Segments<'_>) -> bool {
        let length = self.segments.len();
        let is_long_enough = if self.rest.is_some() { path.0.len() > length } else { path.0.len() == length };
        is_long_enough
            && self.segments.iter().zip(&path.0).all(|(segment, found)| match segment {
                Segment::Text(text) => text.as_slice() == &**found,
                Segment::Variable(_) => !found.is_empty(),
            })
    }

    /// What the variables have found; none if the path does not fit.
    pub(super) fn captures(&self, path: &Segments<'_>) -> Option<Captures> {
        if !self.matches(path) {
            return None;
        }
        let found = self.segments.iter().zip(&path.0).filter_map(|(segment, found)| match segment {
            Segment::Variable(name) => Some((Arc::clone(name), Found::One(found.to_vec()))),
            Segment::Text(_) => None,
        });
        let mut captures = Captures(found.collect());
        if let Some(rest) = &self.rest {
            let found = path.0.iter().skip(self.segments.len()).map(|segment| segment.to_vec()).collect();
            captures.0.push((Arc::clone(rest), Found::Rest(found)));
        }
        Some(captures)
    }
}

impl Captures {
    pub(super) fn get(&self, name: &str) -> Option<&Found> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, found)| found)
    }
}

impl<'a> Segments<'a> {
    /// Those of a path as it was sent. None of `*`, which is no path.
    pub(super) fn of(path: &'a [u8]) -> Option<Self> {
        let path = path.strip_prefix(b"/")?;
        Some(Self(path.split(|&byte| byte == b'/').map(decoded).collect()))
    }
}

/// Whether a path that is to be sent is read alike by everybody: no empty segment but the last, and no dot segment, however it is
/// written.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let Some(inner) = path.strip_prefix(b"/") else { return false };
    let mut segments = inner.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_hollow = segment.is_empty() && segments.peek().is_some();
        if is_hollow || has_dots(&decoded(before(segment))) {
            return false;
        }
    }
    true
}

/// Whether a decoded segment is a dot segment, or holds one between slashes of its own.
pub(super) fn has_dots(decoded: &[u8]) -> bool {
    // Parameters may hide there once more.
    decoded.split(|&byte| is_slash(byte)).any(|piece| matches!(before(piece), b"." | b".."))
}

pub(super) fn decoded(segment: &[u8]) -> Cow<'_, [u8]> {
    percent_decode(segment).into()
}

pub(super) const fn is_slash(byte: u8) -> bool {
    matches!(byte, b'/' | b'\\')
}

/// A segment without parameters.
pub(super) fn before(segment: &[u8]) -> &[u8] {
    segment.split(|&byte| byte == b';').next().unwrap_or_default()
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The text of a segment, decoded.
fn literal(text: &str, is_last: bool) -> Result<Vec<u8>, String> {
    if text.contains(['{', '}']) {
        return Err("must have variables as whole segments, like \"/a/{name}\"; a brace itself is %7B or %7D".to_owned());
    }
    if text.is_empty() && !is_last {
        return Err("must have no empty segments".to_owned());
    }
    let text = decoded(text.as_bytes()).into_owned();
    if has_dots(&text) {
        return Err("must have no dot segments".to_owned());
    }
    Ok(text)
}
