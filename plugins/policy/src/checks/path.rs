//! A path in all the ways in which a server behind may read it.
//!
//! Synapse matches the path as it was sent and decodes what lies between its slashes; others decode first. A reverse proxy in
//! between may decode, merge slashes and resolve dots (nginx does all of it where `proxy_pass` has a path). A check must hold
//! for each of them, or one could be sent past it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// How often a path is decoded at most: by a proxy in between, by the server, and by a server that does it twice.
const MAX_DECODINGS: usize = 4;

/// The segments of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segments {
    segments: Vec<String>,
}

/// The readings of a path that was decoded once but for `%2F`; one or two.
pub(super) fn readings(path: &str) -> Vec<Segments> {
    let plain = Segments::plain(path);
    let tidied = Segments::tidied(path);
    if tidied == plain { vec![plain] } else { vec![plain, tidied] }
}

impl Segments {
    /// Slashes separate, encoded ones belong to their segment. Empty segments are left out.
    fn plain(path: &str) -> Self {
        let pieces = path.split('/').filter(|piece| !piece.is_empty());
        Self { segments: pieces.map(|piece| piece.replace("%2F", "/").replace("%2f", "/")).collect() }
    }

    /// All that looks like a slash separates, and dots go up.
    fn tidied(path: &str) -> Self {
        let mut path = path.to_owned();
        for _ in 0..MAX_DECODINGS {
            match percent_decode_str(&path).decode_utf8_lossy() {
                Cow::Owned(decoded) if decoded != path => path = decoded,
                _ => break,
            }
        }
        let mut segments = Vec::new();
        for piece in path.split(['/', '\\']) {
            match without_parameters(piece) {
                "" | "." => {}
                ".." => drop(segments.pop()),
                _ => segments.push(piece.to_owned()),
            }
        }
        Self { segments }
    }

    /// The segment, for identifiers.
    pub(super) fn get(&self, index: usize) -> &str {
        self.segments.get(index).map_or("", String::as_str)
    }

    /// The segments as words of a route: lower case, without what stands behind a semicolon (RFC 3986, 3.3).
    pub(super) fn words(&self) -> Vec<String> {
        self.segments.iter().map(|segment| without_parameters(segment).to_ascii_lowercase()).collect()
    }

    /// Without the first ones.
    pub(super) fn skip(mut self, count: usize) -> Self {
        self.segments.drain(..count.min(self.segments.len()));
        self
    }

    /// A segment as an event type.
    pub(super) fn event_type(&self, index: usize) -> &str {
        without_parameters(self.get(index))
    }
}

fn without_parameters(segment: &str) -> &str {
    segment.split_once(';').map_or(segment, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Vec<Vec<String>> {
        readings(path).into_iter().map(|reading| reading.segments).collect()
    }

    #[test]
    fn plain_paths_read_in_one_way() {
        assert_eq!(read("/rooms/!a:b/leave"), [["rooms", "!a:b", "leave"]]);
        assert_eq!(read("//rooms///!a:b/leave/"), [["rooms", "!a:b", "leave"]]);
        assert_eq!(read("/"), [[""; 0]]);
    }

    #[test]
    fn encoded_slashes_separate_or_not() {
        assert_eq!(read("/a%2Fb/%2f"), [vec!["a/b", "/"], vec!["a", "b"]]);
        assert_eq!(read("/a%252Fb"), [vec!["a%252Fb"], vec!["a", "b"]]);
    }

    #[test]
    fn dots_go_up_in_one_reading() {
        for path in ["/x/../a", "/x/..%2Fa", "/x\\..\\a", "/x/..;y/a", "/x/%2E%2E/a", "/./x/.././a", "/../../a"] {
            assert!(read(path).contains(&vec!["a".to_owned()]), "{path}: {:?}", read(path));
        }
    }

    #[test]
    fn what_is_encoded_again_and_again_comes_to_light() {
        assert_eq!(read("/%2563").last(), Some(&vec!["c".to_owned()]));
        assert_eq!(read("/%zz%").last(), Some(&vec!["%zz%".to_owned()]));
    }
}
