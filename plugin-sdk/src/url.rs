//! Paths and queries, decoded.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// One segment of a path, percent-decoded.
///
/// It holds bytes, so that nothing is lost: `%FF` is a legal segment that is no UTF-8, and `%2F` is a slash that separates
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Segment {
    bytes: Vec<u8>,
}

/// The pairs of a query, decoded as `application/x-www-form-urlencoded` (URL Standard, 5.1): `+` is a space, a `%` that
/// starts no escape stays, bytes that are no UTF-8 become U+FFFD. Pairs without `=` have an empty value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Segment {
    /// The decoded bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The decoded text; none if it is no UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// The decoded text, with U+FFFD for what is no UTF-8. For people: two different segments may look the same.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

impl PartialEq<str> for Segment {
    fn eq(&self, other: &str) -> bool {
        self.bytes == other.as_bytes()
    }
}

impl PartialEq<&str> for Segment {
    fn eq(&self, other: &&str) -> bool {
        self.bytes == other.as_bytes()
    }
}

impl Query {
    /// Reads a query, without its `?`.
    #[must_use]
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|piece| !piece.is_empty()).map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            (decode_form(name), decode_form(value))
        });
        Self { pairs: pairs.collect() }
    }

    /// Value of the first pair of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Values of all pairs of this name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Whether there is a pair of this name, even with an empty value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is no pair.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

/// The part before `?`, as it is.
pub(crate) fn path_of(path_and_query: &str) -> &str {
    path_and_query.split_once('?').map_or(path_and_query, |(path, _)| path)
}

/// The part after the first `?`, as it is.
pub(crate) fn query_of(path_and_query: &str) -> Option<&str> {
    path_and_query.split_once('?').map(|(_, query)| query)
}

/// Splits on `/` first and decodes then. `/` has one empty segment; `*` has none.
pub(crate) fn segments_of(path: &str) -> Vec<Segment> {
    let Some(path) = path.strip_prefix('/') else { return Vec::new() };
    path.split('/').map(|raw| Segment { bytes: percent_decode(raw.as_bytes()).collect() }).collect()
}

fn decode_form(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_split_before_they_are_decoded() {
        let segments = segments_of("/rooms/%21a%2Fb:c/%ff/");
        assert_eq!(segments[0], "rooms");
        assert_eq!(segments[1], "!a/b:c");
        assert_eq!((segments[2].as_bytes(), segments[2].as_str()), (&b"\xff"[..], None));
        assert_eq!(segments[3], "");
        assert_eq!(segments.len(), 4);
    }

    #[test]
    fn plus_is_a_space_only_in_queries() {
        assert_eq!(segments_of("/a+b")[0], "a+b");
        assert_eq!(Query::parse("q=a+b%2Bc").get("q"), Some("a b+c"));
    }

    #[test]
    fn asterisk_has_no_segment() {
        assert!(segments_of("*").is_empty());
        assert_eq!(segments_of("/").len(), 1);
    }

    #[test]
    fn queries_keep_order_and_repeats() {
        let query = Query::parse("a=1&&b&a=2&c==&%61=3");
        let pairs: Vec<_> = query.iter().collect();
        assert_eq!(pairs, [("a", "1"), ("b", ""), ("a", "2"), ("c", "="), ("a", "3")]);
        assert_eq!(query.get_all("a").collect::<Vec<_>>(), ["1", "2", "3"]);
        assert!(query.contains("b") && !query.contains("d"));
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(
            Query::parse("a=%&b=%4&c=%zz&d=%FF").iter().map(|(_, value)| value).collect::<Vec<_>>(),
            ["%", "%4", "%zz", "\u{fffd}"]
        );
    }

    #[test]
    fn query_starts_at_the_first_mark() {
        assert_eq!((path_of("/a?b?c"), query_of("/a?b?c")), ("/a", Some("b?c")));
        assert_eq!((path_of("/a"), query_of("/a"), query_of("/a?")), ("/a", None, Some("")));
    }
}
