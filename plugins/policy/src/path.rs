//! Paths as rules see them.

/// The path of a target, percent-decoded once but for the slash: what `~p` of the core's filters looks at, too.
///
/// `%2F` stays as it is, since it separates nothing: a rule about `[^/]+` can't be got round with it.
pub(crate) fn decoded(path_and_query: &str) -> Vec<u8> {
    let path = path_and_query.split_once('?').map_or(path_and_query, |(path, _)| path);
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, behind @ ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, behind)),
            _ => None,
        };
        match escaped {
            Some((byte, behind)) if byte != b'/' => {
                out.push(byte);
                rest = behind;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// The target without empty segments and dot segments (RFC 3986, 6.2.2.3), however they are encoded; none if it has none. An
/// empty segment at the end stays.
pub(crate) fn tidied(path_and_query: &str) -> Option<String> {
    let (path, query) = path_and_query.split_once('?').map_or((path_and_query, None), |(path, query)| (path, Some(query)));
    let pieces = path.strip_prefix('/')?.split('/');
    let mut kept = Vec::new();
    let mut ends_in_slash = false;
    for piece in pieces {
        let decoded = decoded(piece);
        ends_in_slash = matches!(decoded.as_slice(), b"" | b"." | b"..");
        match decoded.as_slice() {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            _ => kept.push(piece),
        }
    }
    let slash = if ends_in_slash && !kept.is_empty() { "/" } else { "" };
    // A browser reads a backslash as a slash, and two at the start as another host.
    let tidy = format!("/{}{slash}", kept.join("/")).replace('\\', "%5C");
    (tidy != path.replace('\\', "%5C")).then(|| query.map_or_else(|| tidy.clone(), |query| format!("{tidy}?{query}")))
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untidy_paths_are_tidied() {
        for (target, tidy) in [
            ("//a", "/a"),
            ("/a//b/", "/a/b/"),
            ("/a/./b", "/a/b"),
            ("/a/../b?x=//", "/b?x=//"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/../..", "/"),
            ("//\\evil.test/..//x", "/x"),
            ("//\\evil.test", "/%5Cevil.test"),
        ] {
            assert_eq!(tidied(target).as_deref(), Some(tidy), "{target}");
            assert_eq!(tidied(tidy), None, "{tidy}");
        }
        for target in ["/", "/a", "/a/", "/a?//", "/...", "/a%2F..%2Fb", "/\\a", "*", "/.a", "/a.."] {
            assert_eq!(tidied(target), None, "{target}");
        }
    }

    #[test]
    fn paths_are_decoded_once_without_query() {
        for (target, path) in [
            ("/rooms/!a%3Ab/invite?c=%3A", "/rooms/!a:b/invite"),
            ("/a%252Fb", "/a%2Fb"),
            ("/a%2Fb%2f", "/a%2Fb%2f"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz%41", "/%zzA"),
            ("*", "*"),
        ] {
            assert_eq!(decoded(target), path.as_bytes(), "{target}");
        }
    }
}
