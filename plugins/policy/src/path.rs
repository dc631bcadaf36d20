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
