//! The field Link (RFC 8288), as far as pages have it.

/// Where pages lead.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// Target of the first link with `rel="next"`.
    next: Option<String>,
    /// The link with `rel="prev"`, as it is.
    pub(super) previous: Option<String>,
}

impl Links {
    /// Reads all values of the field; what is no link is left out.
    pub(super) fn parse(values: &[Vec<u8>]) -> Self {
        let mut links = Self::default();
        for value in values.iter().filter_map(|value| std::str::from_utf8(value).ok()) {
            for link in split(value) {
                let Some((target, parameters)) = link.trim_start().strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
                    continue;
                };
                if has_relation(parameters, "next") && links.next.is_none() {
                    links.next = Some(target.to_owned());
                } else if has_relation(parameters, "prev") && links.previous.is_none() {
                    links.previous = Some(link.trim().to_owned());
                }
            }
        }
        links
    }

    /// Path and query of the next page, if it is of the same timeline. Its host says nothing: pages are had of one's own upstream.
    pub(super) fn next_of(&self, path: &str) -> Option<String> {
        let next = self.next.as_deref()?;
        let target = match next.split_once("://") {
            Some((_, rest)) => rest.get(rest.find('/')?..)?,
            None => next,
        };
        let target = target.split('#').next().unwrap_or_default();
        let is_same = target.split('?').next() == Some(path);
        let is_legal = target.bytes().all(|byte| byte.is_ascii_graphic());
        (is_same && is_legal).then(|| target.to_owned())
    }

    /// The field's value for this next page and that previous one.
    pub(super) fn with(&self, previous: Option<&str>) -> String {
        let next = self.next.as_deref().map(|target| format!("<{target}>; rel=\"next\""));
        let all: Vec<_> = next.into_iter().chain(previous.map(str::to_owned)).collect();
        all.join(", ")
    }
}

/// Links of a value: separated by commas, but not by those in targets or quotes.
fn split(value: &str) -> Vec<&str> {
    let (mut is_target, mut is_quoted) = (false, false);
    let separators = |letter: char| {
        match letter {
            '<' if !is_quoted => is_target = true,
            '>' if !is_quoted => is_target = false,
            '"' if !is_target => is_quoted = !is_quoted,
            ',' => return !is_target && !is_quoted,
            _ => {}
        }
        false
    };
    value.split(separators).collect()
}

fn has_relation(parameters: &str, relation: &str) -> bool {
    parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("rel") && value.split(' ').any(|known| known.eq_ignore_ascii_case(relation))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(value: &str) -> Option<String> {
        Links::parse(&[value.as_bytes().to_vec()]).next_of("/a")
    }

    #[test]
    fn next_is_found_among_others() {
        for value in [
            "<https://x.test/a?max_id=1>; rel=\"next\", <https://x.test/a?min_id=2>; rel=\"prev\"",
            "<https://x.test/a?min_id=2>; rel=prev , <https://x.test/a?max_id=1>; title=\"a, b\"; REL=Next",
            "</a?max_id=1>;rel=\"last next\"",
            "<https://y.test:1/a?max_id=1#x>; rel=\"next\"",
        ] {
            assert_eq!(next(value).as_deref(), Some("/a?max_id=1"), "{value}");
        }
    }

    #[test]
    fn other_timelines_are_not_followed() {
        for value in [
            "",
            "<https://x.test/b?max_id=1>; rel=\"next\"",
            "<https://x.test>; rel=\"next\"",
            "<https://x.test/a/../b>; rel=\"next\"",
            "<https://x.test/a?q= 1>; rel=\"next\"",
            "<https://x.test/a?max_id=1>; rel=\"nextone\"",
            "https://x.test/a; rel=\"next\"",
            "<https://x.test/a; rel=\"next\"",
            "<https://x.test/a?b>; title=\"rel=next\"",
        ] {
            assert_eq!(next(value), None, "{value}");
        }
    }

    #[test]
    fn cursors_are_put_together() {
        let first = Links::parse(&[b"<p?min_id=9>; rel=\"prev\"".to_vec(), b"<p?max_id=5>; rel=\"next\"".to_vec()]);
        assert_eq!(first.previous.as_deref(), Some("<p?min_id=9>; rel=\"prev\""));
        let last = Links::parse(&[b"<p?max_id=1, 2>; rel=\"next\"".to_vec()]);
        assert_eq!(last.with(first.previous.as_deref()), "<p?max_id=1, 2>; rel=\"next\", <p?min_id=9>; rel=\"prev\"");
        assert_eq!(Links::default().with(None), "");
    }
}
