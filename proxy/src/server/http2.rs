//! HTTP/2 with a client (RFC 9113), upon hyper.

mod activity;
mod declared;
mod paced;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::{body::Incoming, server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use activity::{Active, Activity};
use paced::Paced;

use super::{
    Peer, Shared, door, page,
    route::{HeadSize, Way, way},
};
use crate::{
    flow::{Arrival, Departure, Site, refuse},
    http::{Field, RequestHead, ResponseHead, Scheme, Version, body},
    http1::{Framing, HeadLimits, parse::TargetForm},
    http2,
};

/// Why a stream is reset.
#[derive(Debug, thiserror::Error)]
#[error("the flow was dropped")]
struct Dropped;

/// Serves a connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, peer: Peer, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let site = shared.sites.now();
    let activity = Activity::new();
    let address = peer.address;
    let service = {
        let (shared, activity) = (Arc::clone(&shared), Arc::clone(&activity));
        service_fn(move |request| exchange(Arc::clone(&shared), peer.clone(), activity.begin(), request))
    };
    let idle = shared.patience().timeouts.idle;
    let header_bytes = u32::try_from(shared.head_limits(&site).bytes).unwrap_or(u32::MAX);
    let mut connection = std::pin::pin!(
        Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(site.limits.h2_streams)
            .max_header_list_size(header_bytes)
            .initial_stream_window_size(256 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .max_send_buf_size(256 * 1024)
            .keep_alive_interval(idle)
            .keep_alive_timeout(Duration::from_secs(20))
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.draining.cancelled() => {
            // GOAWAY; streams that are open go on to their end.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = activity.idle(idle) => {
            // GOAWAY; what the client has not taken of flows that have ended can still go out.
            connection.as_mut().graceful_shutdown();
            timeout(idle, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(client.address = %address, error = http2::describe(&error), "an HTTP/2 connection ended");
    }
}

async fn exchange(
    shared: Arc<Shared>,
    peer: Peer,
    active: Active,
    request: Request<Incoming>,
) -> Result<Response<Paced>, Dropped> {
    let site = shared.sites.now();
    let (parts, incoming) = request.into_parts();
    let length = incoming.size_hint().exact();
    let body = http2::body(incoming, body::Peer::Client);
    let admitted = admit(&shared, &site, &peer, &parts).await;
    let patience = match &admitted {
        Ok((way, ..)) => shared.body_idle(way, &site),
        Err(_) => site.timeouts.body_idle,
    };
    let (head, body) = match (admitted, &shared.controller) {
        (Err((status, why)), _) => {
            site.metrics.refused(status);
            refuse(&parts.method, status, &why)
        }
        (Ok((Way::Controller, head, _)), Some(controller)) => {
            let (head, body) = controller.answer(head, body).await;
            site.metrics.refused(head.status);
            (head, body)
        }
        (Ok((Way::Page(intercept), head, _)), _) => {
            let (head, body) = page::answer(&head, intercept.mint.authority());
            site.metrics.refused(head.status);
            (head, body)
        }
        (Ok((Way::Connect(..) | Way::Controller, ..)), _) => return Err(Dropped),
        (Ok((Way::Flow(destination), head, user)), _) => {
            let body = if length == Some(0) { declared::none(body, patience).await.ok_or(Dropped)? } else { body };
            let arrival = Arrival {
                destination,
                head,
                body,
                framing: length.map_or(Framing::Chunked, Framing::Length),
                peer: peer.address,
                is_tls: peer.is_tls,
                connect: peer.connect(),
                user,
                expects_continue: false,
                upgrade: None,
                interim: None,
            };
            match shared.flows.run(&site, arrival).await {
                Departure::Response(head, body) => (head, body),
                Departure::Upgrade(..) | Departure::Socket(..) | Departure::Intercept(..) | Departure::Drop => {
                    return Err(Dropped);
                }
            }
        }
    };
    into_response(&parts.method, &head, Paced::new(body, active, patience))
}

/// What becomes of a request, and who sent it.
async fn admit(
    shared: &Shared,
    site: &Site,
    peer: &Peer,
    parts: &http::request::Parts,
) -> Result<(Way, RequestHead, Option<Arc<str>>), Refusal> {
    let (mut head, size) = read_head(parts, shared.head_limits(site), peer)?;
    let user = door::enter(site, peer, &mut head).await?;
    let form = TargetForm::Absolute(scheme(parts, site)?);
    Ok((way(shared, site, peer, &mut head, form, size)?, head, user))
}

type Refusal = (StatusCode, String);

fn read_head(parts: &http::request::Parts, limits: HeadLimits, peer: &Peer) -> Result<(RequestHead, HeadSize), Refusal> {
    let bad = |why: &str| (StatusCode::BAD_REQUEST, why.to_owned());
    if parts.method == Method::CONNECT {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "the method is not served here".to_owned()));
    }
    let mut headers = http2::from_map(&parts.headers);
    let size = HeadSize { fields: headers.len(), bytes: headers.wire_len() };
    size.within(limits).map_err(|error| (error.status(), error.to_string()))?;
    if headers.get_all("host").nth(1).is_some() {
        return Err(bad("more than one Host"));
    }
    let host = headers.get_str("host").map(str::to_owned);
    let authority = match (parts.uri.authority(), host) {
        (Some(authority), Some(host)) if !authority.as_str().eq_ignore_ascii_case(&host) => {
            return Err(bad(":authority and Host differ"));
        }
        (Some(authority), _) => authority.as_str().parse(),
        (None, Some(host)) => host.parse(),
        (None, None) => return Err(bad("no :authority")),
    };
    let authority: crate::http::Authority = authority.map_err(|_| bad("not a host"))?;
    // HTTP/1 upstreams and hooks see the Host that HTTP/2 says in another place.
    if !headers.contains("host")
        && let Ok(field) = Field::new("host", authority.as_str().to_owned())
    {
        headers = std::iter::once(field).chain(headers.iter().cloned()).collect();
    }
    join_cookies(&mut headers);
    let target = match parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str) {
        Some("*") if parts.method == Method::OPTIONS => Bytes::from_static(b"*"),
        Some(target) if target.starts_with('/') && target.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) => {
            Bytes::copy_from_slice(target.as_bytes())
        }
        _ => return Err(bad("not a request target")),
    };
    let scheme = if peer.is_tls { Scheme::Https } else { Scheme::Http };
    Ok((RequestHead { method: parts.method.clone(), scheme, authority, target, version: Version::Http2, headers }, size))
}

/// What the client means to be spoken with its target; of interest where it chooses that.
fn scheme(parts: &http::request::Parts, site: &Site) -> Result<Scheme, Refusal> {
    match parts.uri.scheme_str() {
        Some("https") => Ok(Scheme::Https),
        Some("http") | None => Ok(Scheme::Http),
        Some(_) if site.is_forward() => Err((StatusCode::BAD_REQUEST, "the scheme is not http or https".to_owned())),
        Some(_) => Ok(Scheme::Http),
    }
}

/// HTTP/2 clients may split Cookie; elsewhere there is one (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut crate::http::Headers) {
    if headers.get_all("cookie").nth(1).is_some() {
        let joined = headers.get_all("cookie").collect::<Vec<_>>().join(&b"; "[..]);
        if let Ok(field) = Field::new("cookie", joined) {
            headers.set(field);
        }
    }
}

fn into_response(method: &Method, head: &ResponseHead, body: Paced) -> Result<Response<Paced>, Dropped> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.version_mut() = http::Version::HTTP_2;
    let mut headers = http2::into_map(&head.headers).ok_or(Dropped)?;
    // The length that goes out is that of the body. Where there is none, the head tells what it would be; 204 never does.
    let told = head.headers.get_str("content-length").and_then(|length| length.parse().ok());
    let is_true =
        *method == Method::HEAD || head.status == StatusCode::NOT_MODIFIED || told == response.body().size_hint().exact();
    if !is_true || head.status == StatusCode::NO_CONTENT {
        headers.remove(http::header::CONTENT_LENGTH);
    }
    *response.headers_mut() = headers;
    Ok(response)
}
