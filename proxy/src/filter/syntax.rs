//! From text to expressions.

use super::FilterError;

/// A filter as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    /// All must hold; blank text is all of nothing.
    All(Vec<Expression>),
    /// One must hold.
    Any(Vec<Expression>),
    /// It must not hold.
    Not(Box<Expression>),
    /// A word of the language, with its argument.
    Atom(Atom),
}

/// An atom with what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    /// `~q` and others that stand alone, without the tilde.
    Plain(&'static str),
    /// `~u` and others with a regular expression, without the tilde.
    Regex(&'static str, Argument),
    /// `~c`.
    Status(u16),
    /// `~l`.
    Listener(String),
}

/// A word after an atom, quotes undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    /// Of its first character, in characters from 0.
    pub(super) position: usize,
    /// The word.
    pub(super) text: String,
}

/// Characters of a filter.
const MAX_LENGTH: usize = 65_536;
/// Atoms of a filter, bare words included.
const MAX_ATOMS: usize = 1_024;
/// Parentheses in parentheses: bounds the stack.
const MAX_DEPTH: usize = 64;
/// Characters of an unknown atom that an error shows.
const MAX_SHOWN: usize = 16;

const PLAIN: [&str; 14] =
    ["a", "all", "dns", "e", "http", "marked", "q", "replay", "replayq", "replays", "s", "tcp", "udp", "websocket"];
const REGEX: [&str; 18] =
    ["b", "bq", "bs", "comment", "d", "dst", "h", "hq", "hs", "m", "marker", "meta", "p", "src", "t", "tq", "ts", "u"];

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<Expression, FilterError> {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() > MAX_LENGTH {
        return Err(FilterError::new(MAX_LENGTH, format!("a filter has at most {MAX_LENGTH} characters")));
    }
    Parser { characters, position: 0, depth: 0, atoms: 0 }.parse_filter()
}

struct Parser {
    characters: Vec<char>,
    position: usize,
    depth: usize,
    atoms: usize,
}

impl Parser {
    fn parse_filter(&mut self) -> Result<Expression, FilterError> {
        let mut parts = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return Ok(join(parts, Expression::All)),
                Some(')') => return self.fail("\")\" closes nothing"),
                Some(_) => parts.push(self.parse_any(None)?),
            }
        }
    }

    /// `after` is what an operand must follow, for errors.
    fn parse_any(&mut self, after: Option<char>) -> Result<Expression, FilterError> {
        let mut parts = vec![self.parse_all(after)?];
        while self.take_operator('|') {
            parts.push(self.parse_all(Some('|'))?);
        }
        Ok(join(parts, Expression::Any))
    }

    fn parse_all(&mut self, after: Option<char>) -> Result<Expression, FilterError> {
        let mut parts = vec![self.parse_operand(after)?];
        while self.take_operator('&') {
            parts.push(self.parse_operand(Some('&'))?);
        }
        Ok(join(parts, Expression::All))
    }

    fn parse_operand(&mut self, mut after: Option<char>) -> Result<Expression, FilterError> {
        let mut is_negated = false;
        while self.take_operator('!') {
            is_negated = !is_negated;
            after = Some('!');
        }
        let operand = match (self.peek(), after) {
            (Some('('), _) => self.parse_group()?,
            (Some('~'), _) => self.parse_atom()?,
            // A word may not start with an operator: `a || b` would look for `|`, which matches everything.
            (Some(')' | '&' | '|') | None, Some(after)) => return self.fail(format!("a filter is missing after \"{after}\"")),
            (Some(operator @ ('&' | '|')), None) => return self.fail(format!("a filter is missing before \"{operator}\"")),
            (_, _) => {
                self.count_atom(self.position)?;
                Expression::Atom(Atom::Regex("u", self.parse_word()?))
            }
        };
        Ok(if is_negated { Expression::Not(Box::new(operand)) } else { operand })
    }

    fn parse_group(&mut self) -> Result<Expression, FilterError> {
        let start = self.position;
        self.position += 1;
        if self.depth == MAX_DEPTH {
            return Err(FilterError::new(start, format!("parentheses are at most {MAX_DEPTH} deep")));
        }
        self.depth += 1;
        let group = self.parse_any(Some('('))?;
        self.depth -= 1;
        self.skip_blanks();
        match self.peek() {
            Some(')') => {
                self.position += 1;
                Ok(group)
            }
            None => Err(FilterError::new(start, "\"(\" is not closed")),
            Some(_) => self.fail("filters in parentheses are joined by \"&\" or \"|\""),
        }
    }

    fn parse_atom(&mut self) -> Result<Expression, FilterError> {
        let start = self.position;
        self.count_atom(start)?;
        self.position += 1;
        let name = self.take_while(|character| !ends_word(character) && !matches!(character, '&' | '|' | '!'));
        let atom = if let Some(&name) = PLAIN.iter().find(|&&plain| plain == name) {
            if self.peek().is_some_and(|next| !is_blank(next) && !matches!(next, ')' | '&' | '|')) {
                return self.fail(format!("a space is missing after ~{name}"));
            }
            Atom::Plain(name)
        } else if let Some(&name) = REGEX.iter().find(|&&regex| regex == name) {
            Atom::Regex(name, self.parse_argument(name, "a regular expression")?)
        } else if name == "c" {
            Atom::Status(self.parse_status()?)
        } else if name == "l" {
            Atom::Listener(self.parse_argument("l", "the name of a listener")?.text)
        } else if name.is_empty() {
            return Err(FilterError::new(start, "\"~\" has no letter after it"));
        } else {
            let shown: String = name.chars().take(MAX_SHOWN).collect();
            return Err(FilterError::new(start, format!("there is no ~{shown}")));
        };
        Ok(Expression::Atom(atom))
    }

    fn parse_status(&mut self) -> Result<u16, FilterError> {
        const WANTED: &str = "a status from 100 to 999";
        self.skip_to_argument("c", WANTED)?;
        let start = self.position;
        let digits = self.take_while(|character| !ends_word(character) && !matches!(character, '&' | '|'));
        match digits.parse() {
            Ok(status @ 100..=999) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(status),
            _ => Err(FilterError::new(start, format!("~c needs {WANTED}"))),
        }
    }

    fn parse_argument(&mut self, name: &str, wanted: &str) -> Result<Argument, FilterError> {
        self.skip_to_argument(name, wanted)?;
        self.parse_word()
    }

    fn skip_to_argument(&mut self, name: &str, wanted: &str) -> Result<(), FilterError> {
        if self.peek().is_some_and(|next| !is_blank(next) && next != ')') {
            return self.fail(format!("a space is missing after ~{name}"));
        }
        self.skip_blanks();
        match self.peek() {
            Some('(') => self.fail(format!("~{name} needs {wanted}, in quotes if it starts with \"(\"")),
            None | Some(')' | '~') => self.fail(format!("~{name} needs {wanted}")),
            Some(_) => Ok(()),
        }
    }

    fn parse_word(&mut self) -> Result<Argument, FilterError> {
        match self.peek() {
            Some(quote @ ('\'' | '"')) => self.parse_quoted(quote),
            _ => Ok(Argument { position: self.position, text: self.take_while(|character| !ends_word(character)) }),
        }
    }

    fn parse_quoted(&mut self, quote: char) -> Result<Argument, FilterError> {
        let start = self.position;
        let mut text = String::new();
        loop {
            self.position += 1;
            let character = match self.peek() {
                Some('\\') => {
                    self.position += 1;
                    self.peek().map(unescape)
                }
                Some(end) if end == quote => {
                    self.position += 1;
                    return Ok(Argument { position: start + 1, text });
                }
                Some('\n' | '\r') => return self.fail("a line break in quotes is written \\n"),
                other => other,
            };
            match character {
                Some(character) => text.push(character),
                None => return Err(FilterError::new(start, "the quote is not closed")),
            }
        }
    }

    fn count_atom(&mut self, position: usize) -> Result<(), FilterError> {
        self.atoms += 1;
        if self.atoms > MAX_ATOMS {
            return Err(FilterError::new(position, format!("a filter has at most {MAX_ATOMS} atoms")));
        }
        Ok(())
    }

    fn take_operator(&mut self, operator: char) -> bool {
        self.skip_blanks();
        let is_there = self.peek() == Some(operator);
        self.position += usize::from(is_there);
        is_there
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let rest = self.characters.get(self.position..).unwrap_or_default();
        let text: String = rest.iter().copied().take_while(|&character| belongs(character)).collect();
        self.position += text.chars().count();
        text
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.position += 1;
        }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, FilterError> {
        Err(FilterError::new(self.position, message))
    }
}

fn join(mut parts: Vec<Expression>, wrap: impl FnOnce(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            wrap(parts)
        }
    }
}

const fn unescape(character: char) -> char {
    match character {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'f' => '\u{c}',
        other => other,
    }
}

const fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

const fn ends_word(character: char) -> bool {
    is_blank(character) || matches!(character, '(' | ')' | '~' | '\'' | '"')
}
