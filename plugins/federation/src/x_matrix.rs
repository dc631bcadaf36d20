//! What servers say of themselves: `Authorization: X-Matrix …` (Matrix specification, Server-Server API, Request Authentication;
//! RFC 9110, 11.4).

use std::iter::Peekable;

/// The parameters of one field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) origin: Option<String>,
    pub(crate) destination: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) sig: Option<String>,
}

/// Why there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No field of this scheme.
    Missing,
    /// The text says what is wrong.
    Malformed(&'static str),
}

/// A server sends one for each of its keys.
const MAX_FIELDS: usize = 8;

/// The credentials in fields of a request. There may be several, all of them of this scheme.
pub(crate) fn parse(fields: &[Vec<u8>]) -> Result<Vec<Credentials>, Trouble> {
    if fields.len() > MAX_FIELDS {
        return Err(Trouble::Malformed("there are more than eight Authorization fields"));
    }
    let parsed: Vec<_> = fields.iter().map(|field| Credentials::parse(field)).collect::<Result<_, _>>().map_err(|trouble| {
        if trouble == Trouble::Missing && fields.len() > 1 {
            Trouble::Malformed("there are Authorization fields of several schemes")
        } else {
            trouble
        }
    })?;
    if parsed.is_empty() { Err(Trouble::Missing) } else { Ok(parsed) }
}

impl Credentials {
    fn parse(field: &[u8]) -> Result<Self, Trouble> {
        let text = std::str::from_utf8(field).map_err(|_| Trouble::Malformed("it is no UTF-8"))?;
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("X-Matrix") {
            return Err(Trouble::Missing);
        }
        let mut credentials = Self::default();
        let mut seen: Vec<String> = Vec::new();
        let mut rest = rest.chars().peekable();
        loop {
            // A list may have empty elements (RFC 9110, 5.6.1).
            skip(&mut rest, |next| is_space(next) || next == ',');
            if rest.peek().is_none() {
                return Ok(credentials);
            }
            let name = take(&mut rest, is_token).to_ascii_lowercase();
            skip(&mut rest, is_space);
            if name.is_empty() || rest.next() != Some('=') {
                return Err(Trouble::Malformed("a parameter is not of the form name=value"));
            }
            skip(&mut rest, is_space);
            let value = value(&mut rest)?;
            skip(&mut rest, is_space);
            if !matches!(rest.peek(), None | Some(',')) {
                return Err(Trouble::Malformed("there is no comma between two parameters"));
            }
            if seen.contains(&name) {
                return Err(Trouble::Malformed("a parameter is there twice"));
            }
            match name.as_str() {
                "origin" => credentials.origin = Some(value),
                "destination" => credentials.destination = Some(value),
                "key" => credentials.key = Some(value),
                "sig" => credentials.sig = Some(value),
                _ => {}
            }
            seen.push(name);
        }
    }
}

/// A quoted string, or what old servers send, which is the same without quotes.
///
/// A quoted string holds no comma, no backslash and no space either: homeservers split the field at each comma, whether it is quoted
/// or not, and of two parameters that come of that take the last one. Names, keys and signatures need none of them.
fn value(rest: &mut Peekable<std::str::Chars<'_>>) -> Result<String, Trouble> {
    let is_quoted = rest.next_if_eq(&'"').is_some();
    let value = take(rest, |next| is_token(next) || matches!(next, ':' | '[' | ']' | '/' | '='));
    if !is_quoted {
        return if value.is_empty() { Err(Trouble::Malformed("a parameter has no value")) } else { Ok(value) };
    }
    match rest.next() {
        Some('"') => Ok(value),
        Some(_) => Err(Trouble::Malformed("a quoted value holds what no server needs")),
        None => Err(Trouble::Malformed("a quoted value has no end")),
    }
}

/// RFC 9110, 5.6.2.
fn is_token(next: char) -> bool {
    next.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(next)
}

const fn is_space(next: char) -> bool {
    matches!(next, ' ' | '\t')
}

fn skip(rest: &mut Peekable<std::str::Chars<'_>>, is_part: impl Fn(char) -> bool) {
    while rest.next_if(|next| is_part(*next)).is_some() {}
}

fn take(rest: &mut Peekable<std::str::Chars<'_>>, is_part: impl Fn(char) -> bool) -> String {
    std::iter::from_fn(|| rest.next_if(|next| is_part(*next))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(field: &str) -> Result<Credentials, Trouble> {
        Credentials::parse(field.as_bytes())
    }

    fn origin(field: &str) -> Option<String> {
        one(field).expect(field).origin
    }

    #[test]
    fn parameters_are_read_as_they_may_be_written() {
        let full = one(r#"X-Matrix origin="a.de",destination="b.de",key="ed25519:k1",sig="ABC""#).expect("legal");
        let some = |text: &str| Some(text.to_owned());
        let expected = Credentials { origin: some("a.de"), destination: some("b.de"), key: some("ed25519:k1"), sig: some("ABC") };
        assert_eq!(full, expected);
        for field in [
            r"X-Matrix origin=a.de,destination=b.de,key=ed25519:k1,sig=ABC",
            r#"x-MATRIX  ORIGIN = "a.de" , Destination	=	"b.de",, key="ed25519:k1" ,sig=ABC,"#,
            r#"X-Matrix new="1/+=",sig="ABC",key="ed25519:k1",destination="b.de",origin="a.de""#,
        ] {
            assert_eq!(one(field), Ok(expected.clone()), "{field}");
        }
        assert_eq!(origin("X-Matrix origin=[::1]:8448").as_deref(), Some("[::1]:8448"));
        assert_eq!(origin("X-Matrix"), None);
        assert_eq!(origin(r#"X-Matrix destination="a.de""#), None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for field in [
            r#"X-Matrix origin="a.de",origin="b.de""#,
            r#"X-Matrix origin="a.de",Origin="b.de""#,
            r#"X-Matrix origin="a.de" origin2="b.de""#,
            r#"X-Matrix origin="a.de"b"#,
            r#"X-Matrix origin="a.de"#,
            r#"X-Matrix origin="a.de\"#,
            r#"X-Matrix origin="good.de",x="a,origin=localhost:42415,destination=home.de,key=ed25519:k1,sig=ABC,y=""#,
            r#"X-Matrix origin="good.de",x="a\",origin=evil.de,z=""#,
            r#"X-Matrix origin="\a.de""#,
            r#"X-Matrix origin="a.de",x="a b""#,
            "X-Matrix origin=\"a.de\",x=\"a\tb\"",
            r#"X-Matrix origin="a.de",x="\u{e4}""#,
            r#"X-Matrix origin="a.de",x="1",X="2""#,
            "X-Matrix origin",
            "X-Matrix origin=",
            "X-Matrix =a.de",
            "X-Matrix origin==,",
            r#"X-Matrix origin="a.de", X-Matrix origin="b.de""#,
        ] {
            let read = one(field);
            // An unquoted value may begin with what is no token.
            assert!(matches!(read, Err(Trouble::Malformed(_))) || field.ends_with("==,"), "{field}: {read:?}");
        }
    }

    #[test]
    fn other_schemes_are_none() {
        for field in ["Bearer abc", "", "X-Matrixorigin=a.de", "X-Matrix\torigin=a.de"] {
            assert_eq!(one(field), Err(Trouble::Missing), "{field}");
        }
    }

    #[test]
    fn several_fields_are_all_of_the_scheme() {
        let field = |text: &str| text.as_bytes().to_vec();
        assert_eq!(parse(&[]), Err(Trouble::Missing));
        assert_eq!(parse(&[field("X-Matrix origin=a"), field("X-Matrix origin=b")]).map(|all| all.len()), Ok(2));
        assert!(matches!(parse(&[field("X-Matrix origin=a"), field("Bearer b")]), Err(Trouble::Malformed(_))));
        assert!(parse(&vec![field("X-Matrix origin=a"); 8]).is_ok());
        assert!(matches!(parse(&vec![field("X-Matrix origin=a"); 9]), Err(Trouble::Malformed(_))));
    }
}
