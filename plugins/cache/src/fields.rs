//! Header fields of messages.

use std::time::{Duration, SystemTime};

use tollgate_sdk::Header;

/// What an addon is shown in the place of a value that it may not see.
const WITHHELD: &[u8] = b"[withheld]";

/// Fields of a response that are not kept: those of one connection or of one user, and those that the cache writes itself.
const NOT_KEPT: [&str; 16] = [
    "age",
    "authentication-info",
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Values of all fields of this name, in order.
pub(crate) fn values<'h>(headers: &'h [Header], name: &str) -> impl Iterator<Item = &'h [u8]> {
    headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

/// The value of the first field of this name.
pub(crate) fn first<'h>(headers: &'h [Header], name: &str) -> Option<&'h [u8]> {
    values(headers, name).next()
}

/// The same as text; none also where it is no UTF-8.
pub(crate) fn text<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    first(headers, name).and_then(|value| std::str::from_utf8(value).ok())
}

/// Whether there is a field of this name.
pub(crate) fn has(headers: &[Header], name: &str) -> bool {
    first(headers, name).is_some()
}

/// A date in any of the three formats (RFC 9110, 5.6.7).
pub(crate) fn date(headers: &[Header], name: &str) -> Option<SystemTime> {
    text(headers, name).and_then(|text| httpdate::parse_http_date(text.trim()).ok())
}

/// Whether a value holds what stands for one that is not shown: nobody knows what it is.
pub(crate) fn is_withheld(value: &[u8]) -> bool {
    value.windows(WITHHELD.len()).any(|window| window == WITHHELD)
}

/// The items of a list, without white space around them and without empty ones (RFC 9110, 5.6.1). Commas within quotes
/// separate nothing.
pub(crate) fn items(list: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            '"' if !was_escaped => is_quoted = !is_quoted,
            ',' => return !is_quoted,
            _ => {}
        }
        false
    })
    .map(str::trim)
    .filter(|item| !item.is_empty())
}

/// The fields of a response that may be kept (RFC 9111, 3.1).
pub(crate) fn kept(headers: Vec<Header>) -> Vec<Header> {
    let is_kept = |(name, _): &Header| !NOT_KEPT.iter().any(|other| name.eq_ignore_ascii_case(other));
    headers.into_iter().filter(is_kept).collect()
}

/// Milliseconds since the epoch.
pub(crate) fn milliseconds(time: SystemTime) -> u64 {
    in_milliseconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// A span in milliseconds.
pub(crate) fn in_milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_outside_quotes() {
        let items: Vec<_> = items(r#" a, ,"b,c\",d" ,e="f,g","#).collect();
        assert_eq!(items, ["a", r#""b,c\",d""#, r#"e="f,g""#]);
    }

    #[test]
    fn withheld_values_are_known() {
        assert!(is_withheld(b"[withheld]") && is_withheld(b"a [withheld]") && !is_withheld(b"withheld"));
    }
}
