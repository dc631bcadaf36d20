//! Reading JSON (RFC 8259), forgiving where the meaning is clear.

use std::fmt;

use super::Json;

/// A document, and what was forgiven in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lenient {
    /// The document.
    pub json: Json,
    /// At most a hundred.
    pub warnings: Vec<Remark>,
}

/// Something about one place of a document. Its text holds nothing of the document's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Where, as `rules[2].method`; empty for the whole document.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is the matter there.
    pub problem: String,
}

/// Why a text is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It cannot be read beyond this place.
    #[error("not JSON: {0}")]
    Syntax(Remark),
    /// It can be read, but not in one way only: keys that their object has twice, at most a hundred.
    #[error("ambiguous: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Ambiguous(Vec<Remark>),
}

/// How deep lists and objects may be in each other: as deep as `serde_json` goes, which most addons read with.
const DEPTH: usize = 127;
/// Remarks of one kind that are kept.
const REMARKS: usize = 100;
/// Bytes of a key in a path.
const SHOWN_KEY: usize = 64;

/// Reads a document in UTF-8, with or without a byte order mark.
///
/// What is forgiven, each with a warning: a comma after the last item of a list or the last member of an object, and a backslash
/// before a character that JSON has no escape for, as in `"\."`: it counts as a backslash. All else has to be strict JSON, and
/// no object may have a key twice: the last one would win and an earlier one be lost without a word.
///
/// # Errors
/// The first thing that is wrong, or every key that is there twice.
pub fn read(bytes: &[u8]) -> Result<Lenient, Error> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or_default();
            return Err(Error::Syntax(Reader::new(valid).remark(valid.len(), "this is not UTF-8")));
        }
    };
    let mut reader = Reader::new(text);
    let json = reader.document().map_err(Error::Syntax)?;
    let Reader { warnings, mut twice, .. } = reader;
    if twice.is_empty() {
        return Ok(Lenient { json, warnings });
    }
    twice.sort_by_key(|remark| (remark.line, remark.column));
    Err(Error::Ambiguous(twice))
}

struct Reader<'a> {
    text: &'a str,
    place: usize,
    open: Vec<Open>,
    warnings: Vec<Remark>,
    twice: Vec<Remark>,
}

/// A list or an object that has not ended.
enum Open {
    List(Vec<Json>),
    Object {
        members: Vec<(String, Json)>,
        /// Where the keys are, that of the member which is being read included.
        places: Vec<usize>,
        key: String,
    },
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text, place: 0, open: Vec::new(), warnings: Vec::new(), twice: Vec::new() }
    }

    fn document(&mut self) -> Result<Json, Remark> {
        loop {
            self.skip_space();
            let Some(mut value) = self.begin()? else { continue };
            // A value has ended: it may be the last of what it is in, and that of what it is in, and so on.
            loop {
                self.skip_space();
                let Some(open) = self.open.pop() else {
                    return if self.place == self.text.len() {
                        Ok(value)
                    } else {
                        Err(self.wrong("the document has ended before"))
                    };
                };
                match self.ended(open, value)? {
                    Some(whole) => value = whole,
                    None => break,
                }
            }
        }
    }

    // A whole value, or none if a list or an object began and its first value comes next.
    fn begin(&mut self) -> Result<Option<Json>, Remark> {
        let plain = |value| Ok(Some(value));
        match self.peek() {
            Some(b'{') => {
                self.opens()?;
                if self.closes(b'}') {
                    return plain(Json::Object(Vec::new()));
                }
                self.open.push(Open::Object { members: Vec::new(), places: Vec::new(), key: String::new() });
                self.key()?;
                Ok(None)
            }
            Some(b'[') => {
                self.opens()?;
                if self.closes(b']') {
                    return plain(Json::List(Vec::new()));
                }
                self.open.push(Open::List(Vec::new()));
                Ok(None)
            }
            Some(b'"') => plain(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => plain(Json::Number(self.number()?.into())),
            _ if self.takes("true") => plain(Json::Bool(true)),
            _ if self.takes("false") => plain(Json::Bool(false)),
            _ if self.takes("null") => plain(Json::Null),
            _ => Err(self.wrong("a value is expected")),
        }
    }

    fn opens(&mut self) -> Result<(), Remark> {
        if self.open.len() == DEPTH {
            return Err(self.wrong(&format!("lists and objects are more than {DEPTH} deep in each other")));
        }
        self.place += 1;
        self.skip_space();
        Ok(())
    }

    fn closes(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        self.place += usize::from(closes);
        closes
    }

    // Puts a value where it belongs. The whole list or object if it ended with it, none if another value comes next.
    fn ended(&mut self, mut open: Open, value: Json) -> Result<Option<Json>, Remark> {
        let bracket = match &mut open {
            Open::List(items) => {
                items.push(value);
                b']'
            }
            Open::Object { members, key, .. } => {
                members.push((std::mem::take(key), value));
                b'}'
            }
        };
        let comma = self.place;
        let has_comma = self.closes(b',');
        if has_comma {
            self.skip_space();
        }
        let is_end = self.closes(bracket);
        if is_end && has_comma {
            self.warn(comma, "a comma after the last one is left out");
        }
        let is_object = bracket == b'}';
        if !is_end {
            self.open.push(open);
            if !has_comma {
                return Err(self.wrong(if is_object { "`,` or `}` is expected" } else { "`,` or `]` is expected" }));
            }
            if is_object {
                self.key()?;
            }
            return Ok(None);
        }
        Ok(Some(match open {
            Open::List(items) => Json::List(items),
            Open::Object { members, places, .. } => {
                self.find_twice(&members, &places);
                Json::Object(members)
            }
        }))
    }

    fn key(&mut self) -> Result<(), Remark> {
        let place = self.place;
        if self.peek() != Some(b'"') {
            return Err(self.wrong("a key in quotes is expected"));
        }
        let text = self.string()?;
        if let Some(Open::Object { places, key, .. }) = self.open.last_mut() {
            places.push(place);
            *key = text;
        }
        self.skip_space();
        if self.closes(b':') { Ok(()) } else { Err(self.wrong("`:` is expected")) }
    }

    fn find_twice(&mut self, members: &[(String, Json)], places: &[usize]) {
        let mut keys: Vec<(&str, usize)> = members.iter().map(|(key, _)| key.as_str()).zip(places.iter().copied()).collect();
        keys.sort_unstable();
        let mut first = ("", usize::MAX);
        for (key, place) in keys {
            if first.1 == usize::MAX || first.0 != key {
                first = (key, place);
            } else if self.twice.len() < REMARKS {
                let (line, _) = self.position(first.1);
                let mut remark = self.remark(place, &format!("this key is there already, in line {line}"));
                add_key(&mut remark.path, key);
                self.twice.push(remark);
            }
        }
    }

    fn string(&mut self) -> Result<String, Remark> {
        let start = self.place;
        self.place += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let special = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
            let Some(end) = rest.bytes().position(special) else {
                self.place = start;
                return Err(self.wrong("this string does not end"));
            };
            text.push_str(rest.get(..end).unwrap_or_default());
            self.place += end;
            match self.peek() {
                Some(b'"') => {
                    self.place += 1;
                    return Ok(text);
                }
                Some(b'\\') => self.escape(&mut text)?,
                _ => return Err(self.wrong("control characters, line breaks too, must be escaped in strings")),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), Remark> {
        let start = self.place;
        self.place += 1;
        let escaped = match self.rest().chars().next() {
            Some(plain @ ('"' | '\\' | '/')) => plain,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let character = self.unicode();
                text.push(character.ok_or_else(|| {
                    self.remark(start, "`\\u` needs four hexadecimal digits, and half of a surrogate pair the other half")
                })?);
                return Ok(());
            }
            // The character after it is read as any other: a control character or the end of the text is an error there.
            _ => {
                text.push('\\');
                self.warn(start, "JSON has no such escape: read as a backslash, which is written `\\\\`");
                return Ok(());
            }
        };
        self.place += 1;
        text.push(escaped);
        Ok(())
    }

    // After `\`, at `u`.
    fn unicode(&mut self) -> Option<char> {
        let first = self.unit()?;
        let code = match first {
            0xd800..=0xdbff => {
                self.rest().strip_prefix('\\')?;
                self.place += 1;
                let second = self.unit().filter(|second| (0xdc00..=0xdfff).contains(second))?;
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            _ => first,
        };
        char::from_u32(code)
    }

    // `uXXXX`.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest().strip_prefix('u')?.get(..4)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        self.place += 5;
        u32::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Result<&'a str, Remark> {
        let (start, text) = (self.place, self.text);
        self.place += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.place += 1;
        } else {
            self.digits()?;
        }
        if self.closes(b'.') {
            self.digits()?;
        }
        if self.closes(b'e') || self.closes(b'E') {
            let _sign = self.closes(b'+') || self.closes(b'-');
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.wrong("a number does not begin with 0"));
        }
        Ok(text.get(start..self.place).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<(), Remark> {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return Err(self.wrong("a digit is expected"));
        }
        self.place += count;
        Ok(())
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_there = self.rest().starts_with(word);
        self.place += if is_there { word.len() } else { 0 };
        is_there
    }

    fn skip_space(&mut self) {
        self.place += self.rest().bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.place..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    // Where a remark is costs a look at all that is before it, so what will not be kept is not made.
    fn warn(&mut self, place: usize, problem: &str) {
        if self.warnings.len() < REMARKS {
            self.warnings.push(self.remark(place, problem));
        }
    }

    // What is wrong here.
    fn wrong(&self, problem: &str) -> Remark {
        match self.peek() {
            None => self.remark(self.place, &format!("the document ends here; {problem}")),
            Some(b'/' | b'#') => self.remark(self.place, &format!("{problem}; JSON has no comments")),
            Some(_) => self.remark(self.place, problem),
        }
    }

    fn remark(&self, place: usize, problem: &str) -> Remark {
        let (line, column) = self.position(place);
        let mut path = String::new();
        for open in &self.open {
            match open {
                Open::List(items) => {
                    path.push('[');
                    path.push_str(&items.len().to_string());
                    path.push(']');
                }
                Open::Object { key, .. } => add_key(&mut path, key),
            }
        }
        Remark { path, line, column, problem: problem.to_owned() }
    }

    fn position(&self, place: usize) -> (usize, usize) {
        let before = self.text.get(..place).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        (line, before.get(start..).unwrap_or_default().chars().count() + 1)
    }
}

fn add_key(path: &mut String, key: &str) {
    if key.is_empty() {
        return;
    }
    path.push_str(if path.is_empty() { "" } else { "." });
    let shown = key.get(..key.floor_char_boundary(SHOWN_KEY)).unwrap_or(key);
    for character in shown.chars() {
        if character.is_control() {
            path.extend(character.escape_default());
        } else {
            path.push(character);
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(out, ", at {}", self.path)?;
        }
        write!(out, ": {}", self.problem)
    }
}
