//! What an answer makes of messages.

use serde_json::value::RawValue;
use tollgate_sdk::{Header, MadeResponse, Request, Response, ResponseVerdict};

use crate::{
    answer::{Amend, Respond},
    failure::Failure,
};

const JSON: &str = "application/json";

/// Fields that describe the body that was there.
const ABOUT_BODY: [&str; 8] =
    ["content-encoding", "content-length", "content-md5", "content-digest", "digest", "etag", "repr-digest", "transfer-encoding"];

impl Respond<'_> {
    /// The response that stands in for the upstream's.
    pub(crate) fn made(self) -> MadeResponse {
        let status = self.status.unwrap_or(200);
        let mut made = if has_body(status) {
            MadeResponse::new(status, JSON, self.body.map_or("null", RawValue::get))
        } else {
            MadeResponse::empty(status)
        };
        self.headers.put_into(&mut made.headers);
        made
    }
}

/// Changes a request on its way upstream: all of it or, where it can't be, nothing.
pub(crate) fn request(amend: &Amend, request: &mut Request) -> Result<(), Failure> {
    // What replaces a part is no longer that part (RFC 9110, 14.4): the proxy would refuse it after the fields were set.
    if amend.body.is_some() && (request.header("content-range").is_some() || amend.headers.names("content-range")) {
        return Err(Failure::new("request_body can't replace a part of a body (Content-Range)"));
    }
    let mut headers = amend.headers.clone();
    if amend.body.is_some() && request.header("content-type").is_none() {
        headers = headers.or("Content-Type", JSON);
    }
    headers.set_in(request)?;
    if let Some(body) = amend.body {
        request.set_body(body.get()).map_err(|error| Failure::from_edit("the request's body", &error))?;
    }
    Ok(())
}

/// Changes a response on its way to the client: all of it or, where it can't be, nothing.
pub(crate) fn response(respond: &Respond, request: &Request, response: &mut Response) -> Result<ResponseVerdict, Failure> {
    let status = respond.status.unwrap_or_else(|| response.status());
    let body = respond.body.filter(|_| has_body(status));
    // As above.
    if body.is_some() && status == 206 {
        return Err(Failure::new("respond_body can't replace a part of a body (206): another respond_status_code is needed"));
    }
    if let Some(body) = body
        && request.method() == "HEAD"
    {
        return Ok(ResponseVerdict::Replace(described(respond, status, body, response)));
    }
    let headers = respond.headers.clone();
    let headers = if body.is_some() { headers.or("Content-Type", JSON) } else { headers };
    headers.set_in(response)?;
    if respond.status.is_some() {
        response.set_status(status).map_err(|error| Failure::from_edit("the status", &error))?;
    }
    if let Some(body) = body {
        response.set_body(body.get()).map_err(|error| Failure::from_edit("the response's body", &error))?;
    }
    Ok(ResponseVerdict::Next)
}

/// The response to HEAD: a body can't be set, but the proxy tells the length of one that is made.
fn described(respond: &Respond, status: u16, body: &RawValue, response: &Response) -> MadeResponse {
    let is_kept = |(name, _): &Header| !ABOUT_BODY.iter().any(|about| name.eq_ignore_ascii_case(about));
    let mut headers: Vec<Header> = response.headers().into_iter().filter(is_kept).collect();
    respond.headers.clone().or("Content-Type", JSON).put_into(&mut headers);
    MadeResponse { status, headers, body: body.get().as_bytes().to_vec() }
}

/// RFC 9110, 6.4.1.
const fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 304)
}
