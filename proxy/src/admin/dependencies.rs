//! What the proxy depends on: asked when somebody wants to know, and remembered for a while.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, join_all},
};
use http::Method;
use parking_lot::Mutex;

use crate::{
    config,
    http::Headers,
    outbound::{self, Caller, Error, Options, Request, Service},
    upstream::OwnAddresses,
};

/// All of them. They are never asked at addresses at which this process listens.
pub struct Dependencies {
    service: Arc<Service>,
    all: Mutex<Vec<Arc<Dependency>>>,
}

struct Dependency {
    settings: config::Dependency,
    /// The question that is open, for all who want to know.
    open: Mutex<Option<Shared<BoxFuture<'static, bool>>>>,
    /// The last answer, and when it came.
    last: Mutex<Option<(Instant, bool)>>,
    was_good: AtomicBool,
}

/// Of an answer: nobody looks at the rest.
const MAX_RESPONSE: usize = 1 << 20;

/// A question that is open until this is dropped, however it ends.
struct Asked(Arc<Dependency>);

impl Drop for Asked {
    fn drop(&mut self) {
        *self.0.open.lock() = None;
    }
}

impl Dependencies {
    /// These.
    #[must_use]
    pub fn new(own: OwnAddresses, settings: &[config::Dependency]) -> Arc<Self> {
        let dependencies = Arc::new(Self { service: Arc::new(Service::new(own)), all: Mutex::default() });
        dependencies.replace(settings);
        dependencies
    }

    /// These from now on. What is known of those that stay as they are stays known.
    pub(crate) fn replace(&self, settings: &[config::Dependency]) {
        let mut all = self.all.lock();
        let same = |settings: &config::Dependency| all.iter().find(|known| known.settings == *settings).cloned();
        *all = settings.iter().map(|settings| same(settings).unwrap_or_else(|| Dependency::new(settings))).collect();
    }

    /// Whether each is as it has to be, by name. All are asked at one time, each at most once at a time, and not again while the
    /// last answer counts.
    pub(super) async fn look(&self) -> BTreeMap<String, bool> {
        let all = self.all.lock().clone();
        let looks = all.iter().map(|dependency| async {
            let is_good = dependency.ask(&self.service).await;
            (dependency.settings.name.to_string(), is_good)
        });
        join_all(looks).await.into_iter().collect()
    }
}

impl Dependency {
    fn new(settings: &config::Dependency) -> Arc<Self> {
        let (open, last) = (Mutex::default(), Mutex::default());
        Arc::new(Self { settings: settings.clone(), open, last, was_good: AtomicBool::new(true) })
    }

    async fn ask(self: &Arc<Self>, service: &Arc<Service>) -> bool {
        let open = {
            let mut open = self.open.lock();
            if let Some((at, is_good)) = *self.last.lock()
                && at.elapsed() < self.settings.cache
            {
                return is_good;
            }
            let ask = || {
                let (this, service) = (Arc::clone(self), Arc::clone(service));
                // In a task, so that it comes to its end though nobody waits any more.
                let asking = tokio::spawn(async move {
                    let asked = Asked(this);
                    let is_good = asked.0.is_good(&service).await;
                    *asked.0.last.lock() = Some((Instant::now(), is_good));
                    is_good
                });
                asking.map(|answer| answer.unwrap_or(false)).boxed().shared()
            };
            open.get_or_insert_with(ask).clone()
        };
        open.await
    }

    async fn is_good(&self, service: &Service) -> bool {
        let failed = self.answer(service).await;
        let is_good = failed.is_none();
        if is_good != self.was_good.swap(is_good, Relaxed) {
            let name = &*self.settings.name;
            match failed {
                None => tracing::info!(dependency.name = name, "a dependency is there again"),
                Some(why) => tracing::warn!(dependency.name = name, why, "a dependency is not as it has to be"),
            }
        }
        is_good
    }

    /// Why it is not as it has to be.
    async fn answer(&self, service: &Service) -> Option<String> {
        let settings = &self.settings;
        let caller = match Caller::for_url(&settings.url) {
            Ok(caller) => caller,
            Err(error) => return Some(error.to_string()),
        };
        let mut headers = Headers::new();
        let agent = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
        headers.extend(outbound::header("user-agent".to_owned(), agent.into()).ok());
        let request = Request { method: Method::GET, url: settings.url.clone(), headers, body: Bytes::new() };
        let options = Options { timeout: settings.timeout, redirects: 0, max_response: MAX_RESPONSE };
        let status = match service.call(request, options, &caller).await.result {
            Ok(response) => response.status,
            Err(Error::Timeout) => return Some(format!("no answer within {:?}", settings.timeout)),
            Err(error) => return Some(error.to_string()),
        };
        let is_good = settings.status.map_or_else(|| status.is_success(), |expected| status == expected);
        (!is_good).then(|| format!("status {}", status.as_u16()))
    }
}
