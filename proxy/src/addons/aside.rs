//! Threads for guests that take long: beside those that serve, and behind them in the queue for the processor.

use std::{
    mem,
    num::NonZero,
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::{JoinError, JoinHandle},
    time::Instant,
};

use super::call::{Course, Measured};
use crate::heavy::NICENESS;

/// Runtimes of their own. Dropping it stops what runs there.
pub(super) struct Aside {
    // None only while they are dropped.
    aside: Option<Runtime>,
    last: Option<Runtime>,
}

/// Where work that takes long runs. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    /// Behind threads that serve.
    pub(super) aside: Handle,
    /// Behind everything else on the machine: what is left of the processor.
    pub(super) last: Handle,
}

/// Work that leaves the processor to others each time before it goes on, and behind everything else once it is late.
pub(super) struct Polite<T: Send + 'static> {
    place: Place<T>,
    course: Course,
    last: Handle,
    was_last: bool,
}

enum Place<T: Send + 'static> {
    Aside(Measured<T>),
    Last(JoinHandle<Left<T>>),
    Ended,
}

/// Work in the last lane, from then on.
struct Last<T> {
    work: Option<Measured<T>>,
    since: Instant,
}

/// How work leaves the last lane.
enum Left<T> {
    Done(T),
    // The machine has no time to spare: to end it takes a place aside again.
    Back(Measured<T>),
}

// How long work stays in the last lane, where it gets nothing on a machine that is busy all the time.
const PATIENCE: Duration = Duration::from_secs(1);

impl Aside {
    /// Starts one thread a core aside, and half as many behind everything.
    pub(super) fn start() -> std::io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        // A core that runs one of the last is never idle, and so takes over no work that waits at another core before the system
        // next looks for it, some milliseconds later. Half of them always do.
        let last = cores.div_ceil(2);
        // On Linux both are about the calling thread alone. Where they are refused the threads are like any other.
        let aside = runtime("addon-aside", cores, || {
            let _ = rustix::process::setpriority_process(None, NICENESS);
        })?;
        let last = runtime("addon-last", last, || {
            let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
            let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy);
        })?;
        Ok(Self { aside: Some(aside), last: Some(last) })
    }

    /// What spawns there.
    pub(super) fn lanes(&self) -> Lanes {
        let handle = |runtime: &Option<Runtime>| runtime.as_ref().map_or_else(Handle::current, |some| some.handle().clone());
        Lanes { aside: handle(&self.aside), last: handle(&self.last) }
    }
}

fn runtime(name: &str, threads: usize, on_start: impl Fn() + Send + Sync + 'static) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).thread_name(name).on_thread_start(on_start).enable_all().build()
}

impl Drop for Aside {
    fn drop(&mut self) {
        for runtime in [self.aside.take(), self.last.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

impl Lanes {
    /// Runs this aside, whether somebody waits for it or not. What comes back tells of a panic.
    pub(super) fn spawn<T: Send + 'static>(&self, work: Measured<T>) -> JoinHandle<Result<T, JoinError>> {
        let course = work.course().clone();
        self.aside.spawn(Polite { place: Place::Aside(work), course, last: self.last.clone(), was_last: false })
    }
}

impl<T: Send + 'static> Future for Polite<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.place {
                Place::Aside(work) => {
                    // Else the system may leave it there for several milliseconds, however low its priority is, while one that
                    // serves waits.
                    thread::yield_now();
                    if let Poll::Ready(value) = Pin::new(work).poll(context) {
                        return Poll::Ready(Ok(value));
                    }
                    // At the first stop at the earliest: what is done before, such as to make the instance, takes locks that
                    // others wait for.
                    if this.was_last || !this.course.is_last() {
                        return Poll::Pending;
                    }
                    this.was_last = true;
                    if let Place::Aside(work) = mem::replace(&mut this.place, Place::Ended) {
                        this.place = Place::Last(this.last.spawn(Last { work: Some(work), since: Instant::now() }));
                    }
                }
                Place::Last(task) => match ready!(Pin::new(task).poll(context)) {
                    Ok(Left::Done(value)) => return Poll::Ready(Ok(value)),
                    Ok(Left::Back(work)) => this.place = Place::Aside(work),
                    Err(error) => return Poll::Ready(Err(error)),
                },
                Place::Ended => return Poll::Pending,
            }
        }
    }
}

impl<T> Future for Last<T> {
    type Output = Left<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Left<T>> {
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        if self.since.elapsed() >= PATIENCE {
            return Poll::Ready(Left::Back(work));
        }
        match Pin::new(&mut work).poll(context) {
            Poll::Ready(value) => Poll::Ready(Left::Done(value)),
            Poll::Pending => {
                self.work = Some(work);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::task::yield_now;

    use super::*;
    use crate::addons::call::Start;

    /// Names of the threads that a work saw which began there and was late from its second look on, each once.
    async fn threads(start: Start, looks: usize, pause: Duration) -> Vec<String> {
        let (aside, course) = (Aside::start().expect("threads"), Course::new(start));
        let told = course.clone();
        let work = async move {
            let mut names = Vec::new();
            for look in 0..looks {
                names.push(thread::current().name().unwrap_or_default().to_owned());
                if look == 1 {
                    told.late();
                }
                // Blocks, as guests do.
                thread::sleep(pause);
                yield_now().await;
            }
            names.dedup();
            names
        };
        let names = aside.lanes().spawn(Measured::new(work.boxed(), course)).await;
        names.expect("a task").expect("no panic")
    }

    #[tokio::test]
    async fn late_work_goes_behind_everything() {
        assert_eq!(threads(Start::Aside, 2, Duration::ZERO).await, ["addon-aside"]);
        assert_eq!(threads(Start::Aside, 4, Duration::ZERO).await, ["addon-aside", "addon-last"]);
    }

    #[tokio::test]
    async fn work_that_uses_to_be_late_goes_there_at_once() {
        assert_eq!(threads(Start::Last, 1, Duration::ZERO).await, ["addon-aside"]);
        assert_eq!(threads(Start::Last, 2, Duration::ZERO).await, ["addon-aside", "addon-last"]);
        assert_eq!(threads(Start::Last, 10, PATIENCE / 4).await, ["addon-aside", "addon-last", "addon-aside"]);
    }

    #[tokio::test]
    async fn nothing_runs_before_that_but_the_making_of_an_instance() {
        for (start, name) in [(Start::Aside, "addon-aside"), (Start::Last, "addon-last")] {
            let (aside, course) = (Aside::start().expect("threads"), Course::new(start));
            let told = course.clone();
            let work = async move {
                told.is_made().await;
                thread::current().name().map(str::to_owned)
            };
            let seen = aside.lanes().spawn(Measured::new(work.boxed(), course)).await;
            assert_eq!(seen.expect("a task").expect("no panic").as_deref(), Some(name));
        }
    }

    #[test]
    fn half_of_the_cores_are_kept_from_the_last() {
        let lanes = Aside::start().expect("threads");
        let [aside, last] = [lanes.lanes().aside, lanes.lanes().last].map(|handle| handle.metrics().num_workers());
        assert!(last >= 1 && last <= aside.div_ceil(2), "{aside} {last}");
    }

    #[tokio::test]
    async fn work_that_gets_nothing_there_comes_back() {
        assert_eq!(threads(Start::Aside, 10, PATIENCE / 4).await, ["addon-aside", "addon-last", "addon-aside"]);
    }

    #[tokio::test]
    async fn panics_in_any_lane_are_told() {
        for is_late in [false, true] {
            let (aside, course) = (Aside::start().expect("threads"), Course::default());
            if is_late {
                course.late();
            }
            let work = async {
                yield_now().await;
                panic!("on purpose")
            };
            let ended = aside.lanes().spawn::<()>(Measured::new(work.boxed(), course)).await;
            assert!(ended.and_then(|inner| inner).is_err_and(|error| error.is_panic()), "{is_late}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn lanes_are_as_far_behind_as_they_say() {
        let lanes = Aside::start().expect("threads");
        let policy = || {
            let status = std::fs::read_to_string("/proc/thread-self/stat").expect("a file");
            // Niceness and policy are the 19th and 41st field (proc_pid_stat(5)), counted after the name.
            let fields: Vec<String> = status.rsplit(") ").next().unwrap_or_default().split(' ').map(str::to_owned).collect();
            (fields.get(16).cloned().unwrap_or_default(), fields.get(38).cloned().unwrap_or_default())
        };
        let (aside, last) =
            (lanes.lanes().aside.spawn(async move { policy() }), lanes.lanes().last.spawn(async move { policy() }));
        assert_eq!(aside.await.expect("a task"), (NICENESS.to_string(), "0".to_owned()));
        // SCHED_IDLE.
        assert_eq!(last.await.expect("a task").1, "5");
    }
}
