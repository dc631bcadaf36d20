//! Header fields in the order and the case of the wire.

use std::{fmt, sync::Arc};

use bytes::Bytes;

/// One header field. The name is a legal token (RFC 9110, 5.6.2), the value legal bytes without surrounding white space
/// (RFC 9110, 5.5); both hold whatever made the field.
#[derive(Clone)]
pub struct Field(Text);

#[derive(Clone)]
enum Text {
    /// A line of a head: one share of that, not two.
    Line {
        line: Bytes,
        name_end: usize,
        value_start: usize,
    },
    Apart {
        name: Bytes,
        value: Bytes,
    },
}

/// Fields that concern one connection only (RFC 9110, 7.6.1; RFC 9113, 8.2.2), whatever Connection says.
pub(crate) const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Why a name or a value is no header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// The name is empty or holds a byte that is no token character.
    #[error("not a field name")]
    Name,
    /// The value holds CR, LF, NUL or another control character, or is surrounded by white space.
    #[error("not a field value")]
    Value,
}

impl Field {
    /// Checks name and value.
    pub fn new(name: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<Self, InvalidField> {
        Self(Text::Apart { name: name.into(), value: value.into() }).checked()
    }

    /// Checks name and value of a line that begins with one and ends with the other.
    pub(crate) fn of_line(line: Bytes, name_end: usize, value_start: usize) -> Result<Self, InvalidField> {
        Self(Text::Line { line, name_end, value_start }).checked()
    }

    fn checked(self) -> Result<Self, InvalidField> {
        if !is_token(self.name()) {
            return Err(InvalidField::Name);
        }
        if !is_field_value(self.value()) {
            return Err(InvalidField::Value);
        }
        Ok(self)
    }

    /// A field known to be legal where it is written.
    #[must_use]
    pub const fn from_static(name: &'static str, value: &'static str) -> Self {
        Self(Text::Apart { name: Bytes::from_static(name.as_bytes()), value: Bytes::from_static(value.as_bytes()) })
    }

    /// In the case of the wire.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match &self.0 {
            Text::Line { line, name_end, .. } => line.get(..*name_end).unwrap_or_default(),
            Text::Apart { name, .. } => name,
        }
    }

    /// The name as text: a token is ASCII.
    #[must_use]
    pub fn name_str(&self) -> &str {
        std::str::from_utf8(self.name()).unwrap_or_default()
    }

    /// The value's bytes; often but not always UTF-8.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        match &self.0 {
            Text::Line { line, value_start, .. } => line.get(*value_start..).unwrap_or_default(),
            Text::Apart { value, .. } => value,
        }
    }

    /// The value, shared.
    #[must_use]
    pub fn value_bytes(&self) -> Bytes {
        match &self.0 {
            Text::Line { line, .. } => line.slice_ref(self.value()),
            Text::Apart { value, .. } => value.clone(),
        }
    }

    /// Compares names without case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.value() == other.value()
    }
}

impl Eq for Field {}

impl fmt::Debug for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Field")
            .field("name", &self.name_str())
            .field("value", &self.value().escape_ascii().to_string())
            .finish()
    }
}

/// Header fields, several of one name allowed.
///
/// Looking up is linear: messages have few fields, and order matters more than the lookup. Clones share the fields until one of them
/// is edited.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    fields: Option<Arc<Vec<Field>>>,
}

impl Headers {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self { fields: None }
    }

    /// No fields, room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { fields: Some(Arc::new(Vec::with_capacity(count))) }
    }

    /// How many fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all().len()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Bytes of names and values, with four for `: ` and CRLF each.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.all().iter().map(|field| field.name().len() + field.value().len() + 4).sum()
    }

    /// The fields in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.all().iter()
    }

    /// Value of the first field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all().iter().find(|field| field.is(name)).map(Field::value)
    }

    /// Value of the first field of this name, where it is UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Values of all fields of this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all().iter().filter(move |field| field.is(name)).map(Field::value)
    }

    /// Whether a field of this name is present.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.all().iter().any(|field| field.is(name))
    }

    /// Adds a field at the end.
    pub fn push(&mut self, field: Field) {
        self.edited().push(field);
    }

    /// Removes all fields of this name; tells whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let is_there = self.contains(name);
        if is_there {
            self.edited().retain(|field| !field.is(name));
        }
        is_there
    }

    /// Keeps the fields for which `keep` is true.
    pub fn retain(&mut self, keep: impl FnMut(&Field) -> bool) {
        if !self.is_empty() {
            self.edited().retain(keep);
        }
    }

    /// Removes hop-by-hop fields and those that Connection nominates.
    pub fn strip_hop_by_hop(&mut self) {
        if !self.iter().any(is_hop_by_hop) {
            // Nothing is nominated without Connection.
            return;
        }
        let nominated: Vec<Vec<u8>> = self.list("connection").map(<[u8]>::to_ascii_lowercase).collect();
        self.retain(|field| {
            // Framing is the core's: nominating Content-Length must not take it from the length check.
            let is_nominated = nominated.iter().any(|name| field.name().eq_ignore_ascii_case(name));
            !is_hop_by_hop(field) && !is_nominated
        });
    }

    /// Replaces all fields of the first one's name by these, at the place of the first old one, else at the end. The fields
    /// must all have the same name.
    pub fn replace(&mut self, name: &str, fields: impl IntoIterator<Item = Field>) {
        let place = self.all().iter().position(|field| field.is(name));
        self.remove(name);
        let all = self.edited();
        let place = place.unwrap_or(all.len()).min(all.len());
        all.splice(place..place, fields);
    }

    /// Replaces all fields of this one's name by this one.
    pub fn set(&mut self, field: Field) {
        if !self.contains(field.name_str()) {
            self.push(field);
            return;
        }
        let name = field.clone();
        self.replace(name.name_str(), [field]);
    }

    /// The comma-separated elements of all fields of this name, white space trimmed, empty ones left out (RFC 9110, 5.6.1).
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }

    fn all(&self) -> &[Field] {
        self.fields.as_ref().map_or(&[], |fields| fields.as_slice())
    }

    /// The fields of this one alone.
    fn edited(&mut self) -> &mut Vec<Field> {
        Arc::make_mut(self.fields.get_or_insert_default())
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl Eq for Headers {}

fn is_hop_by_hop(field: &Field) -> bool {
    HOP_BY_HOP.iter().any(|name| field.is(name))
}

impl FromIterator<Field> for Headers {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        let fields: Vec<Field> = fields.into_iter().collect();
        Self { fields: (!fields.is_empty()).then(|| Arc::new(fields)) }
    }
}

impl Extend<Field> for Headers {
    fn extend<I: IntoIterator<Item = Field>>(&mut self, fields: I) {
        let mut fields = fields.into_iter().peekable();
        if fields.peek().is_some() {
            self.edited().extend(fields);
        }
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Field;
    type IntoIter = std::slice::Iter<'a, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.all().iter()
    }
}

/// Whether these bytes are a token (RFC 9110, 5.6.2).
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN.get(usize::from(byte)).is_some_and(|&is_legal| is_legal))
}

/// Which bytes a token may have.
const TOKEN: [bool; 256] = {
    let mut legal = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated by the compiler, below 256")]
        {
            legal[byte] = is_token_byte(byte as u8);
        }
        byte += 1;
    }
    legal
};

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Whether these bytes are a field value: no control characters but tab inside, no white space around (RFC 9110, 5.5).
#[must_use]
pub fn is_field_value(bytes: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !is_blank(bytes.first())
        && !is_blank(bytes.last())
        // To its end whatever comes: so the compiler takes many bytes at a time.
        && bytes.iter().fold(true, |is_legal, &byte| is_legal & ((byte == b'\t') | ((byte >= 0x20) & (byte != 0x7f))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> Headers {
        fields.iter().map(|(name, value)| Field::from_static(name, value)).collect()
    }

    #[test]
    fn names_compare_without_case_and_keep_it() {
        let headers = headers(&[("X-fOo", "1")]);
        assert_eq!(headers.get("x-foo"), Some(&b"1"[..]));
        assert_eq!(headers.iter().next().map(Field::name_str), Some("X-fOo"));
    }

    #[test]
    fn clones_are_edited_apart() {
        let before = headers(&[("a", "1"), ("b", "2")]);
        for edit in [
            (|headers| headers.push(Field::from_static("c", "3"))) as fn(&mut Headers),
            |headers| assert!(headers.remove("a")),
            |headers| headers.retain(|field| field.is("b")),
            |headers| headers.set(Field::from_static("a", "x")),
            |headers| headers.extend([Field::from_static("c", "3")]),
        ] {
            let mut after = before.clone();
            edit(&mut after);
            assert_ne!(after, before);
            assert_eq!(before, headers(&[("a", "1"), ("b", "2")]));
        }
        let mut same = before.clone();
        assert!(!same.remove("c"));
        assert_eq!(same, before);
        assert_eq!(Headers::with_capacity(4), Headers::new());
    }

    #[test]
    fn replacing_keeps_the_place_of_the_first() {
        let mut headers = headers(&[("a", "1"), ("b", "2"), ("c", "3"), ("B", "4")]);
        headers.replace("b", [Field::from_static("b", "x"), Field::from_static("b", "y")]);
        let order: Vec<_> = headers.iter().map(|field| (field.name_str(), field.value())).collect();
        assert_eq!(order, [("a", &b"1"[..]), ("b", b"x"), ("b", b"y"), ("c", b"3")]);
    }

    #[test]
    fn fields_of_lines_are_like_others() {
        let line = Bytes::from_static(b"X-A:  b c");
        let field = Field::of_line(line.clone(), 3, 6).expect("a field");
        assert_eq!((field.name(), field.value(), &field.value_bytes()[..]), (&b"X-A"[..], &b"b c"[..], &b"b c"[..]));
        assert_eq!(field, Field::from_static("X-A", "b c"));
        let empty = Field::of_line(line.slice(..4), 3, 4).expect("a field");
        assert_eq!((empty.name_str(), empty.value_bytes()), ("X-A", Bytes::new()));
        for (name_end, value_start, why) in
            [(0, 6, InvalidField::Name), (4, 6, InvalidField::Name), (99, 6, InvalidField::Name), (3, 5, InvalidField::Value)]
        {
            assert_eq!(Field::of_line(line.clone(), name_end, value_start), Err(why), "{name_end}, {value_start}");
        }
    }

    #[test]
    fn list_spans_fields_and_drops_empty_elements() {
        let headers = headers(&[("te", "a, ,b"), ("TE", "c")]);
        assert_eq!(headers.list("te").collect::<Vec<_>>(), [&b"a"[..], b"b", b"c"]);
    }

    #[test]
    fn line_breaks_and_blanks_are_no_value() {
        for value in ["a\r\nb", "a\nb", "a\0b", " a", "a\t", "a\x7fb"] {
            assert_eq!(Field::new("a", value), Err(InvalidField::Value), "{value:?}");
        }
        assert!(Field::new("a", &b"\xc3\xa4"[..]).is_ok());
        assert!(Field::new("a", "").is_ok());
        for name in ["", "a b", "a:", "\u{e4}", "a\r"] {
            assert_eq!(Field::new(name, "v"), Err(InvalidField::Name), "{name:?}");
        }
    }
}
