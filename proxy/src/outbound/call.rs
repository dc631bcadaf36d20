//! One call: a request, the redirects after it, and the response.

use std::{future::poll_fn, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use http_body::Body as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Caller, Error, Options, Outcome, Request, Response, Service, collect::collect, redirect, url::Target};
use crate::{
    hooks::Way,
    http::{Body, RequestHead, ResponseHead, Version},
    upstream::{MayDial, Outgoing, OwnAddresses, Reply},
};

/// A call under way.
struct Call<'a> {
    service: &'a Service,
    options: Options,
    caller: &'a Caller,
    was_sent: bool,
}

pub(super) async fn run(service: &Service, request: Request, options: Options, caller: &Caller) -> Outcome {
    let now = Instant::now();
    let mut call = Call { service, options, caller, was_sent: false };
    let result = match now.checked_add(options.timeout) {
        Some(deadline) => timeout_at(deadline, call.run(request)).await.unwrap_or(Err(Error::Timeout)),
        // Beyond the clock: whatever ends the hook ends it.
        None => call.run(request).await,
    };
    Outcome { result, was_sent: call.was_sent }
}

/// Of a body that nobody wants so much is read, in bytes, to keep its connection; one that has more closes it.
const UNWANTED: usize = 64 << 10;

/// The head of the response to a call whose body nobody wants. Redirects are not followed. Once the head is there, nothing that
/// becomes of the body is an error.
pub(super) async fn deliver(
    service: &Service,
    request: &Request,
    within: Duration,
    caller: &Caller,
) -> Result<ResponseHead, Error> {
    let options = Options { timeout: within, redirects: 0, max_response: 0 };
    let mut call = Call { service, options, caller, was_sent: false };
    let mut answer = None;
    let work = async {
        let target = Target::parse(&request.url)?;
        let (head, body) = call.exchange(request, &target).await?;
        answer = Some(head);
        discard(body).await;
        Ok(())
    };
    let ended = timeout(within, work).await.unwrap_or(Err(Error::Timeout));
    match answer {
        Some(head) => Ok(head),
        None => Err(ended.err().unwrap_or(Error::Timeout)),
    }
}

async fn discard(mut body: Body) {
    let mut left = UNWANTED;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

impl Call<'_> {
    async fn run(&mut self, mut request: Request) -> Result<Response, Error> {
        let mut target = Target::parse(&request.url)?;
        let mut left = self.options.redirects;
        loop {
            let (head, body) = self.exchange(&request, &target).await?;
            if left > 0
                && let Some(next) = redirect::location(&head, &target)?
            {
                left -= 1;
                redirect::follow(&mut request, head.status, &target, &next);
                target = next;
                continue;
            }
            let mut headers = head.headers;
            let (body, trailers) = collect(body, &mut headers, self.options.max_response).await?;
            let (status, version) = (head.status, head.version);
            return Ok(Response { status, version, headers, body, trailers, url: target.into_url() });
        }
    }

    async fn exchange(&mut self, request: &Request, target: &Target) -> Result<(ResponseHead, Body), Error> {
        let may_dial = guard(&self.service.own, self.caller, target)?;
        let origin = Arc::clone(&target.origin);
        let outgoing = Outgoing {
            head: RequestHead {
                method: request.method.clone(),
                scheme: origin.scheme,
                authority: origin.authority.clone(),
                target: target.path_and_query(),
                version: Version::Http11,
                headers: request.headers.clone(),
            },
            host: origin.authority.as_str().to_owned(),
            origin,
            expects_continue: false,
            upgrade: None,
            takes_trailers: false,
            interim: None,
            may_dial: Some(may_dial),
            marks: None,
        };
        let own_way = self.caller.way.as_ref().filter(|_| self.caller.is_own_upstream(target));
        let client = match own_way {
            Some(Way(client)) => client,
            None => self.service.client().await?,
        };
        // While it is under way nobody knows; a timeout leaves it so.
        let was_sent = std::mem::replace(&mut self.was_sent, true);
        match client.send(&outgoing, Body::full(request.body.clone())).await {
            Ok(Reply::Response(mut head, body)) => {
                head.headers.strip_hop_by_hop();
                Ok((head, body))
            }
            Ok(Reply::Upgraded(..)) => Err(Error::Protocol(format!("{}: switched protocols without being asked", target.origin))),
            Err(failure) => {
                let error = Error::from(failure);
                self.was_sent = was_sent || !error.is_unsent();
                Err(error)
            }
        }
    }
}

/// What is asked about each address of the target; an error if none can be right.
pub(super) fn guard(own: &OwnAddresses, caller: &Caller, target: &Target) -> Result<MayDial, Error> {
    let is_own_upstream = caller.is_own_upstream(target);
    if !is_own_upstream && !caller.grants.may_cover(target) {
        return Err(Error::Denied(format!("{}: the configuration does not grant it", target.origin)));
    }
    let (own, grants, target) = (own.clone(), caller.grants.clone(), target.clone());
    Ok(Arc::new(move |address: SocketAddr| {
        let why = if own.contains(address) {
            "it is an address of this proxy"
        } else if is_own_upstream || grants.cover(&target, address) {
            return true;
        } else {
            "no grant covers this address"
        };
        tracing::debug!(upstream.origin = %target.origin, %address, why, "an addon may not dial this address");
        false
    }))
}
