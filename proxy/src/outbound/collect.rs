//! Bodies of responses, whole and without content codings.

use std::{future::poll_fn, pin::Pin};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;

use super::Error;
use crate::{
    http::{
        Body, Headers,
        coding::{self, Bounds, Uncoded},
    },
    http2,
};

/// Reads a body to its end and takes off the codings that `headers` name; these then say so. Neither form is over `limit` bytes.
pub(super) async fn collect(mut body: Body, headers: &mut Headers, limit: usize) -> Result<(Bytes, Headers), Error> {
    let too_large = || Error::TooLarge(limit as u64);
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let (mut raw, mut trailers) = (BytesMut::new(), Headers::new());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.map_err(|error| Error::of_body(&error))?.into_data() {
            Ok(data) if raw.len() + data.len() > limit => return Err(too_large()),
            Ok(data) => raw.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().map(|map| http2::from_map(&map)).unwrap_or_default(),
        }
    }
    let raw = raw.freeze();
    let codings = coding::codings(headers).ok().filter(|codings| !codings.is_empty() && !raw.is_empty());
    let Some(codings) = codings else { return Ok((raw, trailers)) };
    // What it may become is limited already, however small it came.
    let bounds = Bounds { cap: limit, ratio: usize::MAX };
    let plain = match coding::decoded(codings, raw, bounds).await {
        Uncoded::Whole(plain) => plain,
        Uncoded::OverCap(_) => return Err(too_large()),
        Uncoded::Broken(_) => return Err(Error::Protocol("the body is not coded as Content-Encoding says".to_owned())),
    };
    headers.remove("content-encoding");
    headers.remove("content-length");
    Ok((plain.into(), trailers))
}
