//! A call that runs to its end, whether somebody waits for it or not.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// Says to a call whether somebody still waits for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Abandoned(Arc<AtomicBool>);

/// Runs a future where it is awaited; dropped before its end, the rest of it runs on the runtime by itself.
///
/// A panic inside becomes what `on_panic` makes of it. A future that was never polled is just dropped: nothing had begun.
/// Without a runtime there is nothing to run on: then the future is dropped in the middle.
pub(super) struct Unstoppable<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    is_begun: bool,
    abandoned: Abandoned,
    runtime: Option<Handle>,
    on_panic: fn(String) -> T,
}

impl Abandoned {
    /// Whether nobody waits any more.
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl<T: Send + 'static> Unstoppable<T> {
    /// This work, to be done on `runtime` if it is abandoned.
    pub(super) fn new(
        work: BoxFuture<'static, T>,
        abandoned: Abandoned,
        runtime: Option<Handle>,
        on_panic: fn(String) -> T,
    ) -> Self {
        Self { work: Some(work), is_begun: false, abandoned, runtime, on_panic }
    }
}

impl<T: Send + 'static> Future for Unstoppable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.is_begun = true;
        let Some(work) = &mut self.work else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => {
                self.work = None;
                Poll::Ready(value)
            }
            Err(panic) => {
                // What is left of it is in an unknown state, and so may panic once more while it goes.
                let work = self.work.take();
                drop(catch_unwind(AssertUnwindSafe(|| drop(work))));
                Poll::Ready((self.on_panic)(message(panic.as_ref())))
            }
        }
    }
}

impl<T: Send + 'static> Drop for Unstoppable<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.is_begun) else { return };
        self.abandoned.0.store(true, Relaxed);
        if let Some(runtime) = self.runtime.take().or_else(|| Handle::try_current().ok()) {
            runtime.spawn(work);
        }
    }
}

/// What a panic says.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::sync::oneshot;

    fn unstoppable(work: impl Future<Output = String> + Send + 'static, abandoned: Abandoned) -> Unstoppable<String> {
        Unstoppable::new(work.boxed(), abandoned, Handle::try_current().ok(), |panic| format!("panic: {panic}"))
    }

    #[tokio::test]
    async fn dropped_work_runs_to_its_end() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let abandoned = Abandoned::default();
        let seen = abandoned.clone();
        let mut call = unstoppable(
            async move {
                let _ = wait.await;
                let _ = done.send(seen.is_so());
                String::new()
            },
            abandoned,
        );
        assert!((&mut call).now_or_never().is_none());
        drop(call);
        assert!(go.send(()).is_ok());
        assert_eq!(ended.await, Ok(true));
    }

    #[tokio::test]
    async fn work_that_never_began_is_dropped() {
        let (done, ended) = oneshot::channel::<()>();
        drop(unstoppable(
            async move {
                let _ = done.send(());
                String::new()
            },
            Abandoned::default(),
        ));
        assert!(ended.await.is_err());
    }

    #[tokio::test]
    async fn panics_become_a_result() {
        let work = async {
            tokio::task::yield_now().await;
            panic!("oh {}", "no")
        };
        assert_eq!(unstoppable(work, Abandoned::default()).await, "panic: oh no");
    }
}
