//! What takes requests to where they go.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{Error, HttpGrants, Service, call, url::Target},
    Letter,
    pause::Waits,
};

/// Sends what outboxes keep. Cheap to share.
#[derive(Clone)]
pub struct Carrier {
    check: Check,
    send: Send,
    waits: Waits,
    granted: watch::Sender<Granted>,
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

/// What each addon may have sent, by its name; others nothing.
pub(super) type Granted = Arc<HashMap<String, HttpGrants>>;

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
                let head = service.deliver(&letter.request, letter.timeout, &letter.caller).await?;
                let retry_after = head.headers.get_str("retry-after").and_then(|text| text.trim().parse().ok());
                Ok(Answer { status: head.status.as_u16(), retry_after: retry_after.map(Duration::from_secs) })
            })
        };
        Self::with(Arc::new(check), Arc::new(send), Waits::default(), runtime)
    }

    pub(super) fn with(check: Check, send: Send, waits: Waits, runtime: Handle) -> Self {
        let (granted, _) = watch::channel(Granted::default());
        Self { check, send, waits, granted, runtime, tasks: TaskTracker::new(), closing: CancellationToken::new() }
    }

    /// From now on addons may have sent what is said here, by their names: each try is held against it, and what waits and is not
    /// granted any more is dropped.
    pub fn grant(&self, granted: HashMap<String, HttpGrants>) {
        self.granted.send_replace(Arc::new(granted));
    }

    /// The process ends: each request that waits is tried once more, at once. Waits for that, but not longer than this.
    pub async fn close(&self, within: Duration) {
        self.closing.cancel();
        self.tasks.close();
        if timeout(within, self.tasks.wait()).await.is_err() {
            tracing::warn!("requests that addons wanted sent later are lost: there was no time left for them");
        }
    }

    /// What is granted now, and whether that changes.
    pub(super) fn granted(&self) -> watch::Receiver<Granted> {
        self.granted.subscribe()
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
