//! Cookies of a message, one by one.

use time::OffsetDateTime;

use super::{entry::iso8601, har::Cookie};
use crate::{http::Headers, secret::REDACTED};

/// Those of Cookie fields (RFC 6265, 4.2.1).
pub(super) fn sent(headers: &Headers, has_secrets: bool) -> Vec<Cookie> {
    let all: Vec<String> = headers.get_all("cookie").map(|value| String::from_utf8_lossy(value).into_owned()).collect();
    let pairs = all.iter().flat_map(|value| value.split(';')).map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(|pair| cookie(pair, has_secrets)).collect()
}

/// Those of Set-Cookie fields (RFC 6265, 4.1.1).
pub(super) fn set(headers: &Headers, has_secrets: bool) -> Vec<Cookie> {
    let all = headers.get_all("set-cookie").map(|value| String::from_utf8_lossy(value).into_owned());
    all.map(|value| {
        let mut parts = value.split(';').map(str::trim);
        let mut cookie = cookie(parts.next().unwrap_or_default(), has_secrets);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "path" => cookie.path = Some(value.trim().to_owned()),
                "domain" => cookie.domain = Some(value.trim().to_owned()),
                "expires" => {
                    cookie.expires = httpdate::parse_http_date(value.trim()).ok().map(|time| iso8601(OffsetDateTime::from(time)));
                }
                "httponly" => cookie.http_only = Some(true),
                "secure" => cookie.secure = Some(true),
                _ => {}
            }
        }
        cookie
    })
    .collect()
}

fn cookie(pair: &str, has_secrets: bool) -> Cookie {
    let (name, value) = pair.split_once('=').unwrap_or(("", pair));
    let value = if has_secrets { value.trim() } else { REDACTED };
    Cookie { name: name.trim().to_owned(), value: value.to_owned(), ..Cookie::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Field;

    #[test]
    fn cookies_are_told_apart() {
        let headers: Headers =
            [Field::from_static("Cookie", "a=1; b=x=y;; c"), Field::from_static("cookie", "d=")].into_iter().collect();
        let cookies = sent(&headers, true);
        let pairs: Vec<_> = cookies.iter().map(|cookie| (cookie.name.as_str(), cookie.value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x=y"), ("", "c"), ("d", "")]);
        assert!(sent(&headers, false).iter().all(|cookie| cookie.value == REDACTED));
    }

    #[test]
    fn attributes_are_read() {
        let value = "id=v; Path=/p; domain=h; Expires=Wed, 21 Oct 2015 07:28:00 GMT; HttpOnly; SECURE; Max-Age=1";
        let headers: Headers = [Field::from_static("Set-Cookie", value)].into_iter().collect();
        let text = |text: &str| Some(text.to_owned());
        let expected = Cookie {
            name: "id".to_owned(),
            value: REDACTED.to_owned(),
            path: text("/p"),
            domain: text("h"),
            expires: text("2015-10-21T07:28:00.000Z"),
            http_only: Some(true),
            secure: Some(true),
        };
        assert_eq!(set(&headers, false), [expected]);
    }
}
