//! Rules: a method and a path.

use std::fmt;

use super::path;

/// A rule as it is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(super) template: Vec<Part>,
    pub(super) access: Access,
}

/// What a rule says about the paths that it matches. Texts of tables are part of the addon, those of options live as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) method: Method,
    pub(super) effect: Effect,
}

/// What becomes of a request that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The table lets it through with these query parameters, separated by commas.
    Pass(&'static str),
    /// The table refuses it with this status and error code.
    Refuse { status: u16, errcode: &'static str },
    /// The option `allow` lets it through.
    Allow,
    /// The option `deny` takes it out.
    Deny,
}

/// The methods of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Any,
    Named(&'static str),
}

/// A segment of a rule's path. A trie has them in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Exactly this, decoded; empty behind a trailing slash.
    Literal(Box<[u8]>),
    /// `{name}`: any segment that is not empty.
    Parameter,
    /// `{name?}`: any last segment, or none.
    Optional,
    /// `{...}`: any segments, at least one, which may be empty.
    Rest,
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleError {
    /// Not two words.
    Shape,
    /// Not a method.
    Method(String),
    /// Not an absolute path.
    Path(String),
    /// Not a segment.
    Segment(String),
    /// May only be the last segment.
    NotLast(String),
}

impl Rule {
    /// Reads `METHOD /path/{name}`. The method is kept for good.
    pub(crate) fn parse(text: &str, effect: Effect) -> Result<Self, RuleError> {
        let mut words = text.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(method), Some(path), None) => Self::new(method.to_owned().leak(), path, effect),
            _ => Err(RuleError::Shape),
        }
    }

    pub(super) fn new(method: &'static str, path: &str, effect: Effect) -> Result<Self, RuleError> {
        Ok(Self { template: template(path)?, access: Access { method: Method::parse(method)?, effect } })
    }
}

impl Method {
    fn parse(text: &'static str) -> Result<Self, RuleError> {
        // Any token is a method, but one in small letters is most likely a mistake: methods compare with case.
        let is_legal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte));
        match text {
            "ANY" => Ok(Self::Any),
            _ if is_legal => Ok(Self::Named(text)),
            _ => Err(RuleError::Method(text.to_owned())),
        }
    }

    /// Whether the rule is about this method. HEAD follows GET.
    pub(super) fn covers(self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Named(name) => name == method || (method == "HEAD" && name == "GET"),
        }
    }

    /// None for `ANY`.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Named(name) => Some(name),
        }
    }
}

fn template(path: &str) -> Result<Vec<Part>, RuleError> {
    let segments = path.strip_prefix('/').ok_or_else(|| RuleError::Path(path.to_owned()))?;
    let mut parts = Vec::new();
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let part = part(segment)?;
        let may_be_inside = match &part {
            Part::Literal(text) => !text.is_empty(),
            Part::Parameter => true,
            Part::Optional | Part::Rest => false,
        };
        if !is_last && !may_be_inside {
            return Err(RuleError::NotLast(segment.to_owned()));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn part(segment: &str) -> Result<Part, RuleError> {
    let wrong = || RuleError::Segment(segment.to_owned());
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if let Some(inside) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return match inside.strip_suffix('?') {
            _ if inside == "..." => Ok(Part::Rest),
            Some(name) if is_name(name) => Ok(Part::Optional),
            None if is_name(inside) => Ok(Part::Parameter),
            _ => Err(wrong()),
        };
    }
    if segment.contains(['{', '}', '?', '#']) || segment.contains(char::is_control) {
        return Err(wrong());
    }
    path::decode(segment).map(|text| Part::Literal(text.into())).ok_or_else(wrong)
}

impl fmt::Display for RuleError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape => out.write_str("must be a method and a path, like \"GET /a/{id}\""),
            Self::Method(text) => write!(out, "{text:?} is no method; must be ANY or a name in capitals"),
            Self::Path(text) => write!(out, "the path {text:?} must start with /"),
            Self::Segment(text) => {
                write!(
                    out,
                    "the segment {text:?} must be {{name}}, {{name?}}, {{...}}, or plain text without query, fragment and dot segments"
                )
            }
            Self::NotLast(text) => write!(out, "the segment {text:?} may only be the last one"),
        }
    }
}

impl std::error::Error for RuleError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Rule, RuleError> {
        Rule::parse(text, Effect::Allow)
    }

    #[test]
    fn rules_are_methods_and_paths() {
        let rule = parse("GET /a/{b}/%63/{d?}").expect("a rule");
        let literal = |text: &str| Part::Literal(text.as_bytes().into());
        assert_eq!(rule.template, [literal("a"), Part::Parameter, literal("c"), Part::Optional]);
        assert_eq!(rule.access.method, Method::Named("GET"));
        assert_eq!(parse("ANY /a/{...}").map(|rule| rule.template), Ok(vec![literal("a"), Part::Rest]));
        assert_eq!(parse("M-SEARCH /").map(|rule| rule.template), Ok(vec![literal("")]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| parse(text).expect_err(text);
        for text in ["", "GET", "/a", "GET /a /b"] {
            assert_eq!(wrong(text), RuleError::Shape, "{text}");
        }
        assert_eq!(wrong("get /a"), RuleError::Method("get".into()));
        assert_eq!(wrong("GET: /a"), RuleError::Method("GET:".into()));
        for path in ["a", "*", "{a}", "http://a/b"] {
            assert_eq!(wrong(&format!("GET {path}")), RuleError::Path(path.into()));
        }
        for segment in ["{", "{}", "{a", "a}", "a?b=c", "a#b", "a{b}", "{a b}", "{?}", "{..}x", ".", "%2e.", "%", "%zz", "{a/b}"]
        {
            let error = wrong(&format!("GET /x/{segment}"));
            assert!(matches!(error, RuleError::Segment(_) | RuleError::Shape), "{segment}: {error:?}");
        }
        for path in ["/{...}/a", "/{a?}/b", "//a", "/a//b"] {
            assert!(matches!(wrong(&format!("GET {path}")), RuleError::NotLast(_)), "{path}");
        }
    }
}
