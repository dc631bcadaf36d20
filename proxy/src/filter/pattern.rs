//! Regular expressions, and the plain comparisons that many of them are.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// A regular expression ready to be searched for.
pub(super) struct Pattern {
    source: String,
    way: Way,
    case: Case,
}

/// How a regular expression reads its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Whether `a` and `A` are different.
    pub(super) case: Case,
    /// Whether `^` and `$` match at each line, `.` at no line break. Lines end with CRLF or LF.
    pub(super) is_by_line: bool,
    /// Whether `.` matches a line break.
    pub(super) is_dot_all: bool,
}

/// Whether upper and lower case differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Case {
    /// They do.
    #[default]
    Exact,
    /// They don't, for ASCII.
    Ignored,
}

/// How a pattern is searched for. All but `Regex` and part of `Contains` stay out of the engine: away from the thread that
/// used it first, an engine's scratch space is behind a lock.
enum Way {
    Always,
    Equals(Box<[u8]>),
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    Contains(Box<str>, Regex),
    Regex(Regex),
}

/// A pattern that is a text, perhaps anchored.
#[derive(Debug, PartialEq, Eq)]
struct Literal {
    text: String,
    is_at_start: bool,
    is_at_end: bool,
}

/// Bytes that one regular expression may compile to.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// Bytes that all regular expressions of a filter may compile to.
const MAX_BYTES_TOGETHER: usize = 32 * 1024 * 1024;
/// Bytes up to which the standard library finds a text faster than the engine does: beyond, it prepares each search anew.
const MAX_SHORT_NEEDLE: usize = 32;
/// Bytes up to which checking for UTF-8, which the standard library needs, is cheaper than calling the engine.
const MAX_SHORT_TEXT: usize = 1024;

impl Pattern {
    /// Compiles the pattern of a filter that has `count` of them. Errors are the reason, on one line, without the pattern.
    pub(super) fn compile(pattern: &str, reading: Reading, count: usize) -> Result<Self, String> {
        let source = translate(pattern);
        let limit = MAX_BYTES.min(MAX_BYTES_TOGETHER / count.max(1));
        // Unicode is off so that `.` and `[^/]` match any byte: a path or a body need not be UTF-8.
        let regex = RegexBuilder::new(&source)
            .unicode(false)
            .case_insensitive(reading.case == Case::Ignored)
            .multi_line(reading.is_by_line)
            .crlf(reading.is_by_line)
            .dot_matches_new_line(reading.is_dot_all)
            .size_limit(limit)
            .build()
            .map_err(|error| explain(&error, &source))?;
        let way = match find_literal(&source, reading) {
            Some(Literal { text, is_at_start, is_at_end }) => match (is_at_start, is_at_end) {
                (true, true) => Way::Equals(text.into_bytes().into()),
                _ if text.is_empty() => Way::Always,
                (true, false) => Way::StartsWith(text.into_bytes().into()),
                (false, true) => Way::EndsWith(text.into_bytes().into()),
                (false, false) => Way::Contains(text.into(), regex),
            },
            None => Way::Regex(regex),
        };
        Ok(Self { source, way, case: reading.case })
    }

    /// Whether the pattern is found in the text.
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        match &self.way {
            Way::Always => true,
            Way::Equals(wanted) => text.len() == wanted.len() && self.is_same(text, wanted),
            Way::StartsWith(start) => text.get(..start.len()).is_some_and(|piece| self.is_same(piece, start)),
            Way::EndsWith(end) => {
                text.len().checked_sub(end.len()).and_then(|at| text.get(at..)).is_some_and(|piece| self.is_same(piece, end))
            }
            Way::Contains(needle, _) if text.len() < needle.len() => false,
            Way::Contains(needle, regex) => match self.case {
                Case::Exact => contains(text, needle).unwrap_or_else(|| regex.is_match(text)),
                Case::Ignored => contains_in_any_case(text, needle.as_bytes()),
            },
            Way::Regex(regex) => regex.is_match(text),
        }
    }

    /// Whether every text matches.
    pub(super) const fn is_always(&self) -> bool {
        matches!(self.way, Way::Always)
    }

    /// Whether the text is read from end to end, by the engine or not.
    pub(super) const fn is_scan(&self) -> bool {
        matches!(self.way, Way::Contains(..) | Way::Regex(_))
    }

    /// Whether the engine is needed.
    pub(super) const fn is_regex(&self) -> bool {
        matches!(self.way, Way::Regex(_))
    }

    /// What the engine was given.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    fn is_same(&self, text: &[u8], wanted: &[u8]) -> bool {
        match self.case {
            Case::Exact => text == wanted,
            Case::Ignored => text.eq_ignore_ascii_case(wanted),
        }
    }
}

/// Compiles an expression in the same syntax that is searched for as such. Errors are the reason, as those of filters.
pub(crate) fn regex(pattern: &str, case: Case) -> Result<Regex, String> {
    let source = translate(pattern);
    let mut builder = RegexBuilder::new(&source);
    let builder = builder.unicode(false).case_insensitive(case == Case::Ignored).size_limit(MAX_BYTES);
    builder.build().map_err(|error| explain(&error, &source))
}

/// Combines patterns which read their text like this; `None` if they are too many for one automaton.
pub(super) fn combine(sources: &[String], reading: Reading) -> Option<RegexSet> {
    RegexSetBuilder::new(sources)
        .unicode(false)
        .case_insensitive(reading.case == Case::Ignored)
        .multi_line(reading.is_by_line)
        .crlf(reading.is_by_line)
        .dot_matches_new_line(reading.is_dot_all)
        .size_limit(MAX_BYTES_TOGETHER)
        .build()
        .ok()
}

/// Whether the text holds the needle; `None` where the standard library is not the fast way to know.
pub(super) fn contains(text: &[u8], needle: &str) -> Option<bool> {
    if needle.len() > MAX_SHORT_NEEDLE || text.len() > MAX_SHORT_TEXT {
        return None;
    }
    std::str::from_utf8(text).ok().map(|text| text.contains(needle))
}

fn contains_in_any_case(text: &[u8], needle: &[u8]) -> bool {
    // The window of no bytes does not exist; the empty needle is `Way::Always`.
    text.windows(needle.len().max(1)).any(|window| window.eq_ignore_ascii_case(needle))
}

/// The text that a pattern stands for, if it is nothing but one: `^` and `$` around it are anchors, `.*` around it is idle.
fn find_literal(source: &str, reading: Reading) -> Option<Literal> {
    let is_at_start = source.starts_with('^');
    let rest = source.strip_prefix(if is_at_start { "^" } else { ".*" }).unwrap_or(source);
    let mut literal = Literal { text: String::with_capacity(rest.len()), is_at_start, is_at_end: false };
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '$' if characters.as_str().is_empty() => literal.is_at_end = true,
            '.' if characters.as_str() == "*" => break,
            '\\' => literal.text.push(characters.next().filter(char::is_ascii_punctuation)?),
            '.' | '^' | '$' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => return None,
            other => literal.text.push(other),
        }
    }
    let is_anchored = literal.is_at_start || literal.is_at_end;
    let is_foldable = reading.case == Case::Exact || literal.text.is_ascii();
    (is_foldable && !(is_anchored && reading.is_by_line)).then_some(literal)
}

/// Python's syntax in the engine's: a brace that repeats nothing is a brace, `{,3}` starts at none, `[`, `&` and `~` in a
/// class are themselves, `\Z` is the end, `\<` is `<`. What the engine lacks stays, for the engine to refuse.
fn translate(pattern: &str) -> String {
    let mut source = String::with_capacity(pattern.len());
    let mut rest = pattern;
    // In a class: how many of its characters were seen, `^` in front not counted.
    let mut class: Option<usize> = None;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or_default();
        rest = after;
        class = class.map(|seen| seen.saturating_add(1));
        match (character, class) {
            ('\\', _) => {
                let escaped = after.chars().next();
                rest = after.get(escaped.map_or(0, char::len_utf8)..).unwrap_or_default();
                match (escaped, class) {
                    (Some(angle @ ('<' | '>')), _) => source.push(angle),
                    (Some('Z'), None) => source.push_str("\\z"),
                    (escaped, _) => {
                        source.push('\\');
                        source.extend(escaped);
                    }
                }
            }
            ('[', None) => {
                class = Some(0);
                source.push('[');
                if let Some(negated) = after.strip_prefix('^') {
                    source.push('^');
                    rest = negated;
                }
            }
            (']', Some(1)) => source.push_str("\\]"),
            (']', Some(_)) => {
                class = None;
                source.push(']');
            }
            ('[', Some(_)) if after.starts_with(':') => source.push('['),
            ('[' | '&' | '~', Some(_)) => {
                source.push('\\');
                source.push(character);
            }
            ('{', None) => match read_repetition(after) {
                Some(repetition) => {
                    source.push_str(if repetition.starts_with(',') { "{0" } else { "{" });
                    source.push_str(repetition);
                    rest = after.get(repetition.len()..).unwrap_or_default();
                }
                None => source.push_str("\\{"),
            },
            _ => source.push(character),
        }
    }
    source
}

/// `3}`, `3,}`, `,5}` or `3,5}` at the start of this, what Python takes for a repetition.
fn read_repetition(text: &str) -> Option<&str> {
    let end = text.find('}')?;
    let inside = text.get(..end)?;
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_repetition = match inside.split_once(',') {
        Some((least, most)) => is_number(least) && is_number(most),
        None => !inside.is_empty() && is_number(inside),
    };
    if is_repetition { text.get(..=end) } else { None }
}

fn explain(error: &regex::Error, source: &str) -> String {
    let reason = match error {
        regex::Error::CompiledTooBig(limit) => return format!("the regular expression compiles to more than {limit} bytes"),
        regex::Error::Syntax(text) => text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("no syntax"),
        _ => "not supported",
    };
    let reason = match reason {
        "unrecognized flag" if source.contains("(?P=") => "backreferences are not supported",
        "unrecognized flag" if source.contains("(?>") => "atomic groups are not supported",
        "unrecognized flag" if source.contains("(?(") => "conditions are not supported",
        "unrecognized flag" if source.contains("(?#") => "comments are not supported",
        "Unicode not allowed here" => "characters beyond ASCII in a class, and classes of them, need (?u:…) around them",
        reason => reason,
    };
    format!("the regular expression does not compile: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(pairs: &[(&str, &str)]) {
        for (pattern, source) in pairs {
            assert_eq!(translate(pattern), *source, "{pattern}");
        }
    }

    fn literal(pattern: &str, reading: Reading) -> Option<(String, bool, bool)> {
        find_literal(pattern, reading).map(|literal| (literal.text, literal.is_at_start, literal.is_at_end))
    }

    #[test]
    fn braces_that_repeat_nothing_are_braces() {
        translated(&[
            (r#"{"a":{"#, r#"\{"a":\{"#),
            ("a{2}b{2,}c{2,3}", "a{2}b{2,}c{2,3}"),
            ("a{,3}", "a{0,3}"),
            ("a{}b{x}c{1,x}", "a\\{}b\\{x}c\\{1,x}"),
            ("a{,}", "a{0,}"),
            ("\\{2}", "\\{2}"),
            ("[{]", "[{]"),
        ]);
    }

    #[test]
    fn classes_hold_what_python_says() {
        translated(&[
            ("[[a]", "[\\[a]"),
            ("[]a]", "[\\]a]"),
            ("[^]a][", "[^\\]a]["),
            ("[a&&b~~c]", "[a\\&\\&b\\~\\~c]"),
            ("[\\]{]{", "[\\]{]\\{"),
            ("[^/]+&~", "[^/]+&~"),
        ]);
    }

    #[test]
    fn escapes_of_python_are_understood() {
        translated(&[("a\\Z", "a\\z"), ("\\<\\>", "<>"), ("\\\\Z", "\\\\Z"), ("\\", "\\"), ("\\d\u{e4}\\w", "\\d\u{e4}\\w")]);
    }

    #[test]
    fn literals_are_seen_through_anchors() {
        let some = |text: &str, start, end| Some((text.to_owned(), start, end));
        let read = |pattern| literal(pattern, Reading::default());
        assert_eq!(read("^/_matrix/client/versions$"), some("/_matrix/client/versions", true, true));
        assert_eq!(read("^/_matrix/"), some("/_matrix/", true, false));
        assert_eq!(read("\\.png$"), some(".png", false, true));
        assert_eq!(read(".*/sync.*"), some("/sync", false, false));
        assert_eq!(read("^/sync.*"), some("/sync", true, false));
        assert_eq!(read("a&b"), some("a&b", false, false));
    }

    #[test]
    fn anything_more_is_no_literal() {
        for pattern in ["a.b", "a|b", "^.*a", "a+", "\\d", "a\\b", "(?i)a", "a$b", ".*?a", "a.*b", "[a]", "^^a", "a.+", "\\<"] {
            let found = literal(pattern, Reading::default());
            assert!(found.is_none() || pattern == "\\<", "{pattern}: {found:?}");
        }
    }

    #[test]
    fn anchors_of_lines_are_no_literals() {
        let by_line = Reading { is_by_line: true, ..Reading::default() };
        assert_eq!(literal("^X-A", by_line), None);
        assert_eq!(literal("X-A$", by_line), None);
        assert_eq!(literal("X-A", by_line), Some(("X-A".to_owned(), false, false)));
    }

    #[test]
    fn plain_comparison_agrees_with_the_engine() {
        let bodies = ["", "a", "ab", "a.b", "aa", "Ab", "/x", "\u{e4}b", "needle-of-more-than-thirty-two-bytes-in-all"];
        let mut texts: Vec<Vec<u8>> = bodies.iter().map(|text| text.as_bytes().to_vec()).collect();
        for (left, right) in bodies.iter().flat_map(|left| bodies.iter().map(move |right| (left, right))) {
            texts.push([left.as_bytes(), b"\xff\n", right.as_bytes()].concat());
            texts.push([left.as_bytes(), b"b", right.as_bytes()].concat());
            texts.push([left.as_bytes(), &[b'-'; 2 * MAX_SHORT_TEXT], right.as_bytes()].concat());
        }
        for body in bodies {
            for (before, after) in [("", ""), ("^", ""), ("", "$"), ("^", "$"), (".*", ".*"), ("^", ".*"), (".*", "$")] {
                for case in [Case::Exact, Case::Ignored] {
                    let pattern = format!("{before}{}{after}", regex::escape(body));
                    let reading = Reading { case, ..Reading::default() };
                    let compiled = Pattern::compile(&pattern, reading, 1).unwrap();
                    let is_plain = case == Case::Exact || body.is_ascii();
                    assert_eq!(compiled.is_regex(), !is_plain, "{pattern}");
                    let engine =
                        RegexBuilder::new(&pattern).unicode(false).case_insensitive(case == Case::Ignored).build().unwrap();
                    for text in &texts {
                        assert_eq!(compiled.is_match(text), engine.is_match(text), "{pattern} {case:?} {text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn many_patterns_share_the_memory_of_few() {
        let pattern = "[a-z]{20000}";
        assert!(Pattern::compile(pattern, Reading::default(), 1).is_ok());
        let error = Pattern::compile(pattern, Reading::default(), 1024).err().unwrap();
        assert_eq!(error, "the regular expression compiles to more than 32768 bytes");
    }
}
