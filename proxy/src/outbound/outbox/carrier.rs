//! What takes requests to where they go.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{Error, Options, Service, call, url::Target},
    Letter,
    pause::Waits,
};

/// Sends what outboxes keep. Cheap to share.
#[derive(Clone)]
pub struct Carrier {
    check: Check,
    send: Send,
    waits: Waits,
    runtime: Handle,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// What an answer says to those who sent later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// As Retry-After has it in seconds (RFC 9110, 10.2.3); a date is not read.
    pub(super) retry_after: Option<Duration>,
}

pub(super) type Check = Arc<dyn Fn(&Letter) -> Result<Box<str>, Error> + std::marker::Send + Sync>;
pub(super) type Send = Arc<dyn Fn(Letter) -> BoxFuture<'static, Result<Answer, Error>> + std::marker::Send + Sync>;

/// Nobody reads answers: one over this is an error.
const MAX_RESPONSE: usize = 1 << 20;

impl Carrier {
    /// Sends with `service`, in tasks of this runtime.
    #[must_use]
    pub fn new(service: &Arc<Service>, runtime: Handle) -> Self {
        let checking = Arc::clone(service);
        let check = move |letter: &Letter| {
            let target = Target::parse(&letter.request.url)?;
            call::guard(&checking.own, &letter.caller, &target)?;
            Ok(target.origin.to_string().into())
        };
        let service = Arc::clone(service);
        let send = move |letter: Letter| -> BoxFuture<'static, _> {
            let service = Arc::clone(&service);
            Box::pin(async move {
                let options = Options { timeout: letter.timeout, redirects: 0, max_response: MAX_RESPONSE };
                let response = service.call(letter.request, options, &letter.caller).await.result?;
                let retry_after = response.headers.get_str("retry-after").and_then(|text| text.trim().parse().ok());
                Ok(Answer { status: response.status.as_u16(), retry_after: retry_after.map(Duration::from_secs) })
            })
        };
        Self::with(Arc::new(check), Arc::new(send), Waits::default(), runtime)
    }

    pub(super) fn with(check: Check, send: Send, waits: Waits, runtime: Handle) -> Self {
        Self { check, send, waits, runtime, tasks: TaskTracker::new(), closing: CancellationToken::new() }
    }

    /// The process ends: each request that waits is tried once more, at once. Waits for that, but not longer than this.
    pub async fn close(&self, within: Duration) {
        self.closing.cancel();
        self.tasks.close();
        if timeout(within, self.tasks.wait()).await.is_err() {
            tracing::warn!("requests that addons wanted sent later are lost: there was no time left for them");
        }
    }

    /// Where a letter goes, if it may.
    pub(super) fn check(&self, letter: &Letter) -> Result<Box<str>, Error> {
        (self.check)(letter)
    }

    pub(super) fn send(&self, letter: Letter) -> BoxFuture<'static, Result<Answer, Error>> {
        (self.send)(letter)
    }

    pub(super) const fn waits(&self) -> &Waits {
        &self.waits
    }

    pub(super) const fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + std::marker::Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }
}
