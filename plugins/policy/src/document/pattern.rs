//! Regular expressions of rules: as the original's documents write them, and as the core's filters and this addon read them.

use std::fmt::Write as _;

use regex::bytes::{Regex, RegexBuilder};

/// A regular expression that is searched for, in bytes.
///
/// The syntax is that of Go's `regexp` as far as it is about ASCII; a character beyond stands for itself, and in no class. `.`
/// matches a line break, so that an encoded one takes no path out of a rule's sight.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    source: String,
    /// What a text begins with that matches.
    start: Box<[u8]>,
    regex: Regex,
}

/// Characters of one regular expression.
pub(crate) const MAX_LENGTH: usize = 4096;
/// Bytes that one may compile to; the core's filters take twice that.
const MAX_COMPILED: usize = 256 * 1024;

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    ///
    /// Why it can't be, on one line.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        if text.chars().count() > MAX_LENGTH {
            return Err(format!("is longer than {MAX_LENGTH} characters"));
        }
        let source = translate(text)?;
        let regex = RegexBuilder::new(&source)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| explain(&error))?;
        Ok(Self { start: start(&source).into_bytes().into(), source, regex })
    }

    /// Whether it is found.
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        // Each engine that runs takes memory of its own, and most rules are about other paths.
        text.starts_with(&self.start) && self.regex.is_match(text)
    }

    /// What the core's filters are given: they read it as this addon does.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }
}

/// Go's syntax in that of the engine, written so that the core's filters, which expect Python's, find nothing to translate.
fn translate(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    // In a class: how many of its members were seen, and the last character of them as it was written.
    let mut class: Option<(usize, char)> = None;
    while let Some(character) = rest.next() {
        let members = class.map(|(members, _)| members);
        let is_after_hyphen = class.is_some_and(|(members, last)| members > 0 && last == '-');
        class = class.map(|(members, _)| (members.saturating_add(1), character));
        match (character, members) {
            ('\\', _) => {
                escape(&mut rest, &mut out)?;
                class = class.map(|(members, _)| (members, '\\'));
            }
            ('[', None) => {
                class = Some((0, '['));
                out.push('[');
                if let Some(negated) = rest.as_str().strip_prefix('^') {
                    out.push('^');
                    rest = negated.chars();
                }
            }
            (']', Some(members)) if members > 0 => {
                class = None;
                out.push(']');
            }
            ('[', Some(_)) if rest.as_str().starts_with(':') && rest.as_str().contains(":]") => {
                let end = rest.as_str().find(":]").map_or(0, |end| end.saturating_add(2));
                out.push('[');
                out.push_str(rest.as_str().get(..end).unwrap_or_default());
                rest = rest.as_str().get(end..).unwrap_or_default().chars();
            }
            ('[' | ']' | '&' | '~', Some(_)) => out.extend(['\\', character]),
            ('-', Some(_)) if is_after_hyphen => out.push_str("\\-"),
            (character, Some(_)) if !character.is_ascii() => {
                return Err("has a class with characters beyond ASCII, which is not supported".to_owned());
            }
            ('{', None) if !is_repetition(rest.as_str()) => out.push_str("\\{"),
            ('(', None) => {
                check_group(rest.as_str())?;
                out.push('(');
            }
            _ => out.push(character),
        }
    }
    Ok(out)
}

/// What every text begins with that matches; empty where that is not plain to see.
fn start(source: &str) -> String {
    let mut start = String::new();
    let Some(rest) = source.strip_prefix('^').filter(|_| !source.contains('|') && !source.contains("(?")) else { return start };
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            // What is before may be missing.
            '*' | '?' | '{' => {
                start.pop();
                break;
            }
            '\\' => match characters.next().filter(char::is_ascii_punctuation) {
                Some(escaped) => start.push(escaped),
                None => break,
            },
            '.' | '^' | '$' | '+' | '(' | ')' | '[' | ']' | '}' => break,
            other => start.push(other),
        }
    }
    start
}

/// What follows a backslash.
fn escape(rest: &mut std::str::Chars<'_>, out: &mut String) -> Result<(), String> {
    match rest.next() {
        None => return Err("ends with a backslash".to_owned()),
        Some('Q') => {
            let (quoted, behind) = rest.as_str().split_once("\\E").unwrap_or((rest.as_str(), ""));
            out.push_str(&regex::escape(quoted));
            *rest = behind.chars();
        }
        Some(angle @ ('<' | '>')) => out.push(angle),
        Some('x') => {
            let text = rest.as_str();
            let (digits, behind) = match text.strip_prefix('{') {
                Some(braced) => braced.split_once('}').unwrap_or(("", text)),
                None => text.split_at_checked(2).unwrap_or(("", text)),
            };
            let code = u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii);
            let Some(code) = code else {
                return Err("has an escape \\x that is not of ASCII, which is not supported".to_owned());
            };
            // Writing to memory does not fail.
            let _ = write!(out, "\\x{code:02x}");
            *rest = behind.chars();
        }
        Some('p' | 'P') => return Err("has a class of Unicode, which is not supported".to_owned()),
        Some(other @ ('u' | 'U')) => return Err(format!("has an escape \\{other}, which there is not")),
        Some(other) => out.extend(['\\', other]),
    }
    Ok(())
}

/// Whether `{` with this behind it repeats something: `{2}`, `{2,}` or `{2,3}`.
fn is_repetition(behind: &str) -> bool {
    let Some((inside, _)) = behind.split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

/// Flags that Go knows: `x` would change what all that follows means.
fn check_group(behind: &str) -> Result<(), String> {
    let Some(inside) = behind.strip_prefix('?') else { return Ok(()) };
    let flags = inside.split([':', ')']).next().unwrap_or_default();
    let is_flags = !flags.is_empty() && flags.chars().all(|flag| flag.is_ascii_alphabetic() || flag == '-');
    match flags.chars().find(|flag| is_flags && !"imsU-".contains(*flag)) {
        Some(flag) => Err(format!("has the flag {flag:?}, which there is not")),
        None => Ok(()),
    }
}

fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!("compiles to more than {limit} bytes"),
        regex::Error::Syntax(text) => {
            let reason = text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("its syntax");
            format!("does not compile: {reason}")
        }
        _ => "does not compile".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn translated(text: &str, source: &str) {
        assert_eq!(Pattern::compile(text).map(|pattern| pattern.source).as_deref(), Ok(source), "{text}");
    }

    #[test]
    fn what_is_go_becomes_what_the_engine_reads() {
        for same in
            ["^/_matrix/client/r0/rooms/([^/]+)/ban", "a{2}b{2,}c{2,3}", "(?i)a(?s:.)", "[[:alpha:]]", "[a-z-]", "\\d\\.\\-", ""]
        {
            translated(same, same);
        }
        translated("a{b{,3}{2", "a\\{b\\{,3}\\{2");
        translated("[[a]", "[\\[a]");
        translated("[]a]", "[\\]a]");
        translated("[^]&~]", "[^\\]\\&\\~]");
        translated("[+--]", "[+-\\-]");
        translated("\\<\\>", "<>");
        translated("\\Qa.b\\E.", "a\\.b.");
        translated("\\x41\\x{2f}", "\\x41\\x2f");
        translated("!sömé:[a]", "!sömé:[a]");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_reason() {
        for (text, reason) in [
            ("(", "does not compile: unclosed group"),
            ("a(?=b)", "look-around, including look-ahead and look-behind, is not supported"),
            ("(?x)a", "the flag 'x'"),
            ("(?i-u:a)", "the flag 'u'"),
            ("[ä]", "beyond ASCII"),
            ("\\pL", "class of Unicode"),
            ("\\x{e4}", "not of ASCII"),
            ("\\u0041", "escape \\u"),
            ("a\\", "ends with a backslash"),
            ("[a-z]{1000}{50}", "compiles to more than"),
        ] {
            let error = Pattern::compile(text).map(|pattern| pattern.source).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(Pattern::compile(&"a".repeat(MAX_LENGTH)).is_ok());
        assert!(Pattern::compile(&"a".repeat(MAX_LENGTH + 1)).is_err());
    }

    #[test]
    fn starts_are_what_every_match_has() {
        for (source, wanted) in [
            ("^/a/b", "/a/b"),
            ("^/a\\.b\\-c[d]", "/a.b-c"),
            ("^abc*", "ab"),
            ("^abc?d", "ab"),
            ("^ab{0,1}", "a"),
            ("^a+b", "a"),
            ("^aé*", "a"),
            ("^ab\\d", "ab"),
            ("^a$", "a"),
            ("^a|b", ""),
            ("^a(b|c)", ""),
            ("(?m)^a", ""),
            ("^(?i)a", ""),
            ("a", ""),
            ("^*a", ""),
            ("", ""),
        ] {
            assert_eq!(start(source), wanted, "{source}");
        }
    }

    #[test]
    fn patterns_are_searched_for_in_bytes() {
        let is_match = |pattern: &str, text: &[u8]| Pattern::compile(pattern).unwrap().is_match(text);
        assert!(is_match("b", b"abc") && !is_match("^b", b"abc") && !is_match("B", b"b"));
        assert!(is_match("^a.b$", b"a\nb") && is_match("^a[^/]b$", b"a\xffb") && is_match("", b"\xff"));
    }
}
