//! What the callback server may answer.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{Phase, failure::Failure, fields::Fields, options::STATUS};

/// What is to be done, and after how long.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) delay: Duration,
    pub(crate) action: Action<'a>,
}

#[derive(Debug)]
pub(crate) enum Action<'a> {
    /// The flow goes on unchanged.
    Nothing,
    /// The client's connection is dropped.
    Abort,
    /// The client is answered so.
    Respond(Respond<'a>),
    /// The request goes on so. Never the answer of a response callback.
    Amend(Amend<'a>),
}

/// A response, or what one becomes; what is not said stays.
#[derive(Debug)]
pub(crate) struct Respond<'a> {
    /// 200 to 599.
    pub(crate) status: Option<u16>,
    pub(crate) body: Option<&'a RawValue>,
    pub(crate) headers: Fields,
}

/// What a request becomes; what is not said stays.
#[derive(Debug)]
pub(crate) struct Amend<'a> {
    pub(crate) body: Option<&'a RawValue>,
    pub(crate) headers: Fields,
}

/// The keys that are known. All else is nobody's affair: servers send back what they were sent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keys<'a> {
    #[serde(borrow, deserialize_with = "present")]
    respond_status_code: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    respond_body: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    respond_headers: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    request_body: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    request_headers: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    delay_ms: Option<&'a RawValue>,
    #[serde(borrow, deserialize_with = "present")]
    abort: Option<&'a RawValue>,
}

impl<'a> Answer<'a> {
    /// Reads the body of an answer.
    ///
    /// # Errors
    ///
    /// What is impossible about it.
    pub(crate) fn parse(body: &'a [u8], phase: Phase, longest_delay: Duration) -> Result<Self, Failure> {
        // Serde would read a struct from an array too, by position.
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let keys: Option<Keys<'a>> = is_object.then(|| serde_json::from_slice(body).ok()).flatten();
        let keys = keys.ok_or_else(|| Failure::new("the answer is no JSON object"))?;
        let delay = keys.delay_ms.map(|json| delay(json, longest_delay)).transpose()?;
        let abort = keys.abort.map(|json| read(json, || Failure::new("abort must be true or false"))).transpose()?;
        let action = match (abort.unwrap_or(false), keys.respond()?) {
            (true, Some(_)) => return Err(Failure::new("abort and respond_… exclude each other")),
            (true, None) => Action::Abort,
            (false, Some(respond)) if phase == Phase::Request && respond.status.is_none() && respond.body.is_none() => {
                return Err(Failure::new("respond_headers answers no request: respond_status_code or respond_body is missing"));
            }
            (false, Some(respond)) => Action::Respond(respond),
            (false, None) => match phase {
                Phase::Request => keys.amend()?.map_or(Action::Nothing, Action::Amend),
                // It is sent already.
                Phase::Response => Action::Nothing,
            },
        };
        Ok(Self { delay: delay.unwrap_or_default(), action })
    }
}

impl<'a> Keys<'a> {
    fn respond(&self) -> Result<Option<Respond<'a>>, Failure> {
        let status = self.respond_status_code.map(status).transpose()?;
        let headers = self.respond_headers.map(|json| Fields::parse("respond_headers", json.get())).transpose()?;
        if status.is_none() && headers.is_none() && self.respond_body.is_none() {
            return Ok(None);
        }
        Ok(Some(Respond { status, body: self.respond_body, headers: headers.unwrap_or_default() }))
    }

    fn amend(&self) -> Result<Option<Amend<'a>>, Failure> {
        // The callback server is told null of a body that is no JSON.
        let body = self.request_body.filter(|json| json.get() != "null");
        let headers = self.request_headers.map(|json| Fields::parse("request_headers", json.get())).transpose()?;
        if body.is_none() && headers.is_none() {
            return Ok(None);
        }
        Ok(Some(Amend { body, headers: headers.unwrap_or_default() }))
    }
}

fn status(json: &RawValue) -> Result<u16, Failure> {
    let (least, most) = (STATUS.start(), STATUS.end());
    let status = read(json, || Failure::new(format!("respond_status_code must be a number from {least} to {most}")))?;
    if STATUS.contains(&status) {
        Ok(status)
    } else {
        Err(Failure::new(format!("respond_status_code is {status}, must be {least} to {most}")))
    }
}

fn delay(json: &RawValue, longest: Duration) -> Result<Duration, Failure> {
    let delay = Duration::from_millis(read(json, || Failure::new("delay_ms must be a whole number of milliseconds"))?);
    if delay <= longest {
        Ok(delay)
    } else {
        Err(Failure::new(format!("delay_ms is {}, with this timeout at most {}", delay.as_millis(), longest.as_millis())))
    }
}

/// Quotes nothing of what was answered: errors of serde do.
fn read<'a, T: Deserialize<'a>>(json: &'a RawValue, otherwise: impl FnOnce() -> Failure) -> Result<T, Failure> {
    serde_json::from_str(json.get()).map_err(|_| otherwise())
}

/// A key that is there, be it null.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(json: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Some)
}
