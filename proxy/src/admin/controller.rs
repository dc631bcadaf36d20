//! The pages of the admin listener under a name of their own, for clients of forward listeners.

use std::sync::Arc;

use http::{Request, StatusCode, Uri};
use tokio::sync::Semaphore;

use super::{
    CONNECTIONS, Entrance, State,
    guard::Guard,
    routes::{self, Answer},
};
use crate::{
    http::{Authority, BearerToken, Body, RequestHead, ResponseHead, Version},
    http2,
};

/// Answers requests for the controller's name.
///
/// Who may come is what `clients` of a forward listener says, and the token, if there is one; pages of other origins are refused as
/// on the admin listener. The name is never looked up. It is only taken without a port, or with 80: a page that a stranger serves
/// under that name and leads here has the listener's port in its Host.
pub struct Controller {
    host: Box<str>,
    guard: Guard,
    state: Arc<State>,
    /// As many requests at once as the admin listener has connections: a document is held while it comes.
    permits: Semaphore,
}

impl Controller {
    /// Under this name, in lower case, with this token.
    #[must_use]
    pub fn new(host: &str, token: Option<BearerToken>, state: Arc<State>) -> Self {
        Self { host: host.into(), guard: Guard::named(token, host), state, permits: Semaphore::new(CONNECTIONS) }
    }

    /// The name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether this is the controller's name, at whatever port.
    #[must_use]
    pub fn is_named(&self, authority: &Authority) -> bool {
        let host = authority.host();
        host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(&self.host)
    }

    /// Answers a request.
    ///
    /// Cancel safe: what was not yet changed is not.
    pub async fn answer(&self, mut head: RequestHead, body: Body) -> (ResponseHead, Body) {
        head.headers.strip_hop_by_hop();
        let method = head.method.clone();
        let answer = self.page(&head, body).await.unwrap_or_else(|(status, why)| routes::refuse(status, why));
        let (parts, body) = answer.into_parts();
        let headers = http2::from_map(&parts.headers);
        let head = ResponseHead { status: parts.status, reason: None, version: Version::Http11, headers };
        head.with_content(&method, body.into_inner().unwrap_or_default())
    }

    async fn page(&self, head: &RequestHead, body: Body) -> Result<Answer, (StatusCode, &'static str)> {
        let bad = |why| (StatusCode::BAD_REQUEST, why);
        let Ok(_permit) = self.permits.acquire().await else { return Err((StatusCode::SERVICE_UNAVAILABLE, "no room")) };
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.target_str().parse::<Uri>().map_err(|_| bad("not a path"))?;
        *request.headers_mut() = http2::into_map(&head.headers).ok_or(bad("too many fields"))?;
        Ok(super::answer(&self.guard, &self.state, Entrance::Controller, request).await)
    }
}
