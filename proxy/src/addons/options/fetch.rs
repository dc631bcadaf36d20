//! Documents on servers: one request, by the core's own client.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::super::{component::LoadError, engine::Engine, settings::OptionsUrl};
use crate::{
    http::Headers,
    outbound::{self, Caller, Error, Options, Request, Response},
};

/// What a server had.
pub(in crate::addons) enum Had {
    /// A document.
    New {
        /// As it came, content codings taken off.
        bytes: Bytes,
        /// To ask with the next time.
        etag: Option<String>,
    },
    /// What was there the last time.
    Unchanged,
}

/// For all of it: at the start, addons wait for it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A longer one is not remembered.
const MAX_ETAG: usize = 1 << 10;

/// Asks for a document of at most `limit` bytes that is another one than that of `etag`. Redirects are not followed, and the
/// addresses at which this process listens are never dialled.
///
/// Cancel safe: dropping it closes the connection that is in use.
pub(in crate::addons) async fn fetch(
    engine: &Engine,
    source: &OptionsUrl,
    etag: Option<&str>,
    limit: u64,
) -> Result<Had, LoadError> {
    let failed = |why: String| LoadError::Fetch { url: source.shown().to_owned(), why };
    let request = request(source, etag).map_err(|error| failed(error.to_string()))?;
    let caller = Caller::for_url(source.url()).map_err(|error| failed(error.to_string()))?;
    let max_response = usize::try_from(limit).unwrap_or(usize::MAX);
    let options = Options { timeout: TIMEOUT, redirects: 0, max_response };
    let outbound = engine.outbound().clone();
    let response = match outbound.service.call(request, options, &caller).await.result {
        Ok(response) => response,
        Err(Error::Timeout) => return Err(failed(format!("no document within {TIMEOUT:?}"))),
        Err(error) => return Err(failed(error.to_string())),
    };
    match response.status {
        StatusCode::OK => Ok(Had::New { etag: etag_of(&response), bytes: response.body }),
        StatusCode::NOT_MODIFIED if etag.is_some() => Ok(Had::Unchanged),
        status if status.is_redirection() => Err(failed(format!("status {}; redirects are not followed", status.as_u16()))),
        status => Err(failed(format!("status {}", status.as_u16()))),
    }
}

fn request(source: &OptionsUrl, etag: Option<&str>) -> Result<Request, Error> {
    let mut headers = Headers::new();
    headers.push(outbound::header("accept".to_owned(), b"application/json".to_vec())?);
    headers.push(outbound::header("user-agent".to_owned(), concat!("tollgate/", env!("CARGO_PKG_VERSION")).into())?);
    if let Some(token) = source.token() {
        headers.push(outbound::header("authorization".to_owned(), format!("Bearer {}", token.reveal()).into())?);
    }
    if let Some(etag) = etag {
        headers.push(outbound::header("if-none-match".to_owned(), etag.into())?);
    }
    Ok(Request { method: Method::GET, url: source.url().to_owned(), headers, body: Bytes::new() })
}

fn etag_of(response: &Response) -> Option<String> {
    response.headers.get_str("etag").filter(|etag| !etag.is_empty() && etag.len() <= MAX_ETAG).map(str::to_owned)
}
