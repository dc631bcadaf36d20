//! A call that runs to its end, whether somebody waits for it or not.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use rustix::time::{ClockId, clock_gettime};
use tokio::task::{JoinError, JoinHandle, yield_now};

use super::aside::Lanes;

/// What a call and those around it know of its course.
#[derive(Debug, Clone, Default)]
pub(super) struct Course(Arc<Flags>);

/// Where a call begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Start {
    /// On the thread that serves.
    #[default]
    Here,
    /// On a thread for what takes long.
    Aside,
    /// There, too, and once its instance is made behind everything else on the machine.
    Last,
}

#[derive(Debug)]
struct Flags {
    start: Start,
    is_abandoned: AtomicBool,
    is_aside: AtomicBool,
    is_long: AtomicBool,
    is_late: AtomicBool,
    is_measured: AtomicBool,
    // The thread's time on the processor when the call was let on, in nanoseconds.
    since: AtomicU64,
}

// The clock was not looked at.
const UNKNOWN: u64 = u64::MAX;

/// Runs a future where it is awaited, and elsewhere if that is better: in the lanes aside once it is known to be long, or when it
/// is dropped before its end.
///
/// A panic inside becomes what `on_panic` makes of it. A future that was never polled is just dropped: nothing had begun.
pub(super) struct Unstoppable<T: Send + 'static> {
    work: Option<Work<T>>,
    is_begun: bool,
    course: Course,
    lanes: Lanes,
    on_panic: fn(String) -> T,
}

enum Work<T> {
    Here(Measured<T>),
    Aside(JoinHandle<Result<T, JoinError>>),
}

/// Work whose course knows since when it runs.
pub(super) struct Measured<T> {
    work: BoxFuture<'static, T>,
    course: Course,
}

impl<T> Measured<T> {
    /// This work.
    pub(super) fn new(work: BoxFuture<'static, T>, course: Course) -> Self {
        Self { work, course }
    }

    pub(super) const fn course(&self) -> &Course {
        &self.course
    }
}

impl<T> Future for Measured<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.course.goes_on();
        self.work.as_mut().poll(context)
    }
}

impl Default for Flags {
    fn default() -> Self {
        Self {
            start: Start::Here,
            is_abandoned: AtomicBool::new(false),
            is_aside: AtomicBool::new(false),
            is_long: AtomicBool::new(false),
            is_late: AtomicBool::new(false),
            is_measured: AtomicBool::new(false),
            since: AtomicU64::new(UNKNOWN),
        }
    }
}

impl Course {
    /// Of a call that begins there.
    pub(super) fn new(start: Start) -> Self {
        let is_aside = AtomicBool::new(start != Start::Here);
        Self(Arc::new(Flags { start, is_aside, ..Flags::default() }))
    }

    /// Whether it runs aside, or will when it begins.
    pub(super) fn is_aside(&self) -> bool {
        self.0.is_aside.load(Relaxed)
    }

    /// Whether nobody waits any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.0.is_abandoned.load(Relaxed)
    }

    /// Says that the call takes so much of the processor that it should not hold up a thread that serves.
    pub(super) fn is_long(&self) {
        self.0.is_long.store(true, Relaxed);
    }

    /// Whether that was said.
    pub(super) fn was_long(&self) -> bool {
        self.0.is_long.load(Relaxed)
    }

    /// Says that the call has used so much of its time on the processor that it should get no more than what is left over.
    pub(super) fn late(&self) {
        self.0.is_late.store(true, Relaxed);
    }

    /// Whether that was said.
    pub(super) fn is_late(&self) -> bool {
        self.0.is_late.load(Relaxed)
    }

    /// Whether it had better be behind everything else: because it is late, or because calls like it use to be.
    pub(super) fn is_last(&self) -> bool {
        self.0.start == Start::Last || self.is_late()
    }

    /// Says that the instance is made, which takes locks that others wait for. Calls that use to be late go behind everything
    /// else here, before the first instruction of the guest.
    pub(super) async fn is_made(&self) {
        if self.0.start == Start::Last {
            yield_now().await;
        }
    }

    /// Time on the processor since the call was let on. None the first time: only then it is measured, so that a short call,
    /// which nobody asks about, pays for no look at the clock.
    pub(super) fn ran(&self) -> Option<Duration> {
        let since = self.0.since.swap(UNKNOWN, Relaxed);
        let is_known = self.0.is_measured.swap(true, Relaxed) && since != UNKNOWN;
        is_known.then(|| Duration::from_nanos(thread_time().saturating_sub(since)))
    }

    fn goes_on(&self) {
        if self.0.is_measured.load(Relaxed) {
            self.0.since.store(thread_time(), Relaxed);
        }
    }
}

impl<T: Send + 'static> Unstoppable<T> {
    /// This work.
    pub(super) fn new(work: BoxFuture<'static, T>, course: Course, lanes: Lanes, on_panic: fn(String) -> T) -> Self {
        let work = Some(Work::Here(Measured::new(work, course.clone())));
        Self { work, is_begun: false, course, lanes, on_panic }
    }

    fn go_aside(&mut self) {
        self.course.0.is_aside.store(true, Relaxed);
        self.work = match self.work.take() {
            Some(Work::Here(work)) => Some(Work::Aside(self.lanes.spawn(work))),
            work => work,
        };
    }
}

impl<T: Send + 'static> Future for Unstoppable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if !mem::replace(&mut this.is_begun, true) && this.course.is_aside() {
            this.go_aside();
        }
        loop {
            match &mut this.work {
                None => return Poll::Pending,
                Some(Work::Aside(task)) => {
                    let ended = ready!(Pin::new(task).poll(context));
                    this.work = None;
                    let ended = ended.and_then(|ended| ended);
                    return Poll::Ready(ended.unwrap_or_else(|error| (this.on_panic)(why_lost(error))));
                }
                Some(Work::Here(work)) => match catch_unwind(AssertUnwindSafe(|| Pin::new(work).poll(context))) {
                    Ok(Poll::Pending) if this.course.was_long() => this.go_aside(),
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(value)) => {
                        this.work = None;
                        return Poll::Ready(value);
                    }
                    Err(panic) => {
                        // What is left of it is in an unknown state, and so may panic once more while it goes.
                        let work = this.work.take();
                        drop(catch_unwind(AssertUnwindSafe(|| drop(work))));
                        return Poll::Ready((this.on_panic)(message(panic.as_ref())));
                    }
                },
            }
        }
    }
}

impl<T: Send + 'static> Drop for Unstoppable<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take().filter(|_| self.is_begun) else { return };
        self.course.0.is_abandoned.store(true, Relaxed);
        // One that is aside goes on there.
        if let Work::Here(work) = work {
            self.lanes.spawn(work);
        }
    }
}

/// What the system counts for this thread, in nanoseconds: not for how long others kept it off the processor.
fn thread_time() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    part(now.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(now.tv_nsec))
}

fn why_lost(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => message(panic.as_ref()),
        Err(error) => error.to_string(),
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
    use tokio::{runtime::Handle, sync::oneshot};

    fn unstoppable(work: impl Future<Output = String> + Send + 'static, course: Course) -> Unstoppable<String> {
        let lanes = Lanes { aside: Handle::current(), last: Handle::current() };
        Unstoppable::new(work.boxed(), course, lanes, |panic| format!("panic: {panic}"))
    }

    #[tokio::test]
    async fn dropped_work_runs_to_its_end() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let course = Course::default();
        let seen = course.clone();
        let mut call = unstoppable(
            async move {
                let _ = wait.await;
                let _ = done.send(seen.is_abandoned());
                String::new()
            },
            course,
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
            Course::default(),
        ));
        assert!(ended.await.is_err());
    }

    /// Where work is after it has said that it is long, and what it makes of that.
    fn long(course: &Course, then: fn(tokio::task::Id) -> String) -> Unstoppable<String> {
        let told = course.clone();
        unstoppable(
            async move {
                told.is_long();
                yield_now().await;
                then(tokio::task::id())
            },
            course.clone(),
        )
    }

    #[tokio::test]
    async fn long_work_goes_aside_and_its_value_comes_back() {
        let here = tokio::spawn(async {
            let there = long(&Course::default(), |id| id.to_string()).await;
            (tokio::task::id().to_string(), there)
        });
        let (here, there) = here.await.expect("a task");
        assert_ne!(here, there);
    }

    #[tokio::test]
    async fn work_that_is_known_to_be_long_begins_aside() {
        let here = tokio::spawn(async {
            let work = || async { tokio::task::id().to_string() };
            let short = unstoppable(work(), Course::default()).await;
            let long = unstoppable(work(), Course::new(Start::Aside)).await;
            (tokio::task::id().to_string(), short, long)
        });
        let (here, short, long) = here.await.expect("a task");
        assert_eq!(here, short);
        assert_ne!(here, long);
    }

    #[tokio::test]
    async fn long_work_that_is_dropped_runs_to_its_end() {
        let (done, ended) = oneshot::channel();
        let course = Course::default();
        let told = course.clone();
        let mut call = unstoppable(
            async move {
                told.is_long();
                yield_now().await;
                while !told.is_abandoned() {
                    yield_now().await;
                }
                let _ = done.send(());
                String::new()
            },
            course,
        );
        assert!((&mut call).now_or_never().is_none());
        drop(call);
        assert_eq!(ended.await, Ok(()));
    }

    #[tokio::test]
    async fn time_on_the_processor_is_measured_once_it_was_asked_for() {
        const SPENT: u64 = 3_000_000;
        let spend = || {
            let end = thread_time() + SPENT;
            while thread_time() < end {}
        };
        let course = Course::default();
        let told = course.clone();
        let work = async move {
            spend();
            let first = told.ran();
            yield_now().await;
            spend();
            let [second, third] = [told.ran(), told.ran()];
            assert!(second >= Some(Duration::from_nanos(SPENT)), "{second:?}");
            assert_eq!((first, third), (None, None));
            "measured".to_owned()
        };
        assert_eq!(unstoppable(work, course).await, "measured");
    }

    #[tokio::test]
    async fn panics_become_a_result() {
        let work = async {
            yield_now().await;
            panic!("oh {}", "no")
        };
        assert_eq!(unstoppable(work, Course::default()).await, "panic: oh no");
        assert_eq!(long(&Course::default(), |_| panic!("aside")).await, "panic: aside");
    }
}
