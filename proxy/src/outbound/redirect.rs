//! What a redirect makes of a request (RFC 9110, 15.4).

use bytes::Bytes;
use http::{Method, StatusCode};

use super::{Error, Request, url::Target};
use crate::http::{Headers, ResponseHead};

/// Fields that are for one origin.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];
/// Fields about a body (Fetch standard, request-body-header names).
const ABOUT_BODY: [&str; 4] = ["content-type", "content-encoding", "content-language", "content-location"];

/// Where the response sends the client; none if it is no redirect.
pub(super) fn location(head: &ResponseHead, from: &Target) -> Result<Option<Target>, Error> {
    let is_redirect = matches!(
        head.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    match head.headers.get("location").filter(|_| is_redirect) {
        None => Ok(None),
        Some(location) => from.join(location).map(Some).map_err(|error| match error {
            Error::Invalid(text) => Error::Protocol(format!("{}: a redirect that cannot be followed: {text}", from.origin)),
            other => other,
        }),
    }
}

/// Makes of the request the one that goes from one target to the next.
pub(super) fn follow(request: &mut Request, status: StatusCode, from: &Target, to: &Target) {
    let is_post = request.method == Method::POST;
    let becomes_get = match status {
        StatusCode::SEE_OTHER => request.method != Method::HEAD && request.method != Method::GET,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => is_post,
        _ => false,
    };
    if becomes_get {
        request.method = Method::GET;
        request.body = Bytes::new();
        remove(&mut request.headers, &ABOUT_BODY);
    }
    if !to.is_at(&from.origin) {
        remove(&mut request.headers, &CREDENTIALS);
    }
}

fn remove(headers: &mut Headers, names: &[&str]) {
    headers.retain(|field| !names.iter().any(|name| field.is(name)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Field;

    fn followed(method: Method, status: u16, to: &str) -> (String, usize, Vec<String>) {
        let names = ["Authorization", "Cookie", "Content-Type", "X-Kept"];
        let headers = names.iter().map(|name| Field::from_static(name, "1")).collect();
        let mut request = Request { method, url: String::new(), headers, body: Bytes::from_static(b"body") };
        let from = Target::parse("http://a.org/").expect("a target");
        follow(&mut request, StatusCode::from_u16(status).expect("a status"), &from, &Target::parse(to).expect(to));
        let names = request.headers.iter().map(|field| field.name_str().to_owned()).collect();
        (request.method.to_string(), request.body.len(), names)
    }

    #[test]
    fn methods_change_as_the_standard_says() {
        for (method, status, becomes, body) in [
            (Method::POST, 301, "GET", 0),
            (Method::POST, 302, "GET", 0),
            (Method::POST, 303, "GET", 0),
            (Method::POST, 307, "POST", 4),
            (Method::POST, 308, "POST", 4),
            (Method::PUT, 301, "PUT", 4),
            (Method::PUT, 303, "GET", 0),
            (Method::HEAD, 303, "HEAD", 4),
            (Method::GET, 302, "GET", 4),
        ] {
            let (seen, length, names) = followed(method.clone(), status, "http://a.org/next");
            assert_eq!((seen.as_str(), length), (becomes, body), "{method} {status}");
            assert_eq!(names.contains(&"Content-Type".to_owned()), body > 0, "{method} {status}");
            assert!(names.contains(&"Authorization".to_owned()) && names.contains(&"Cookie".to_owned()));
        }
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        for to in ["http://b.org/", "https://a.org/", "http://a.org:8080/", "http://b.a.org/"] {
            assert_eq!(followed(Method::GET, 302, to).2, ["Content-Type", "X-Kept"], "{to}");
        }
    }
}
