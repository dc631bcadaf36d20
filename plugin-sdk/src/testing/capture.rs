//! Catches what a hook logs, and where it panics.

use std::{
    any::Any,
    cell::RefCell,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::logging::fields_of;

/// A log line as it would reach the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its severity.
    pub level: Level,
    /// Its text.
    pub message: String,
    /// Its structured fields, in order.
    pub fields: Vec<(String, String)>,
}

/// A panic's message and place (`file:line:column`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) place: String,
}

static LOGGER: Capture = Capture;
static INSTALL: Once = Once::new();

thread_local! {
    /// Set while a hook runs on this thread.
    static CURRENT: RefCell<Option<Caught>> = const { RefCell::new(None) };
}

struct Capture;

#[derive(Default)]
struct Caught {
    lines: Vec<LogLine>,
    place: String,
}

/// Runs a piece of an addon; its log lines are added to `lines`, a panic becomes an error.
///
/// Lines are caught only if no other logger was installed in this process.
pub(crate) fn catch<R>(lines: &mut Vec<LogLine>, work: impl FnOnce() -> R) -> Result<R, Panic> {
    INSTALL.call_once(install);
    CURRENT.set(Some(Caught::default()));
    // The harness throws the addon away after a panic, and takes back what was staged.
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    let caught = CURRENT.take().unwrap_or_default();
    lines.extend(caught.lines);
    result.map_err(|payload| Panic { message: message_of(&*payload), place: caught.place })
}

fn install() {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
    let others = panic::take_hook();
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let is_ours = CURRENT.with_borrow_mut(|current| {
            let Some(caught) = current else { return false };
            caught.place = info.location().map(ToString::to_string).unwrap_or_default();
            true
        });
        if !is_ours {
            others(info);
        }
    }));
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without text").to_owned()
}

impl Log for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = LogLine { level: record.level(), message: record.args().to_string(), fields: fields_of(record) };
        CURRENT.with_borrow_mut(|current| {
            if let Some(caught) = current {
                caught.lines.push(line);
            }
        });
    }

    fn flush(&self) {}
}
