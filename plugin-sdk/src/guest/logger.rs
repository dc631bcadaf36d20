//! The `log` crate's sink in a component.

use std::sync::atomic::{AtomicUsize, Ordering};

use log::{LevelFilter, Log, Metadata, Record};

use super::bindings::tollgate::addon::log as host;
use crate::logging::fields_of;

static LOGGER: HostLogger = HostLogger;

/// The host's threshold as a `LevelFilter`, or [`UNKNOWN`]. Asked for once a hook, and only if something is logged.
static THRESHOLD: AtomicUsize = AtomicUsize::new(UNKNOWN);

const UNKNOWN: usize = usize::MAX;

struct HostLogger;

/// Makes it the sink. A sink that the addon installed before stays.
pub(super) fn install() {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
}

/// What was asked for while the addon was configured must not be what its copies believe.
pub(super) fn forget_threshold() {
    THRESHOLD.store(UNKNOWN, Ordering::Relaxed);
}

fn threshold() -> usize {
    let known = THRESHOLD.load(Ordering::Relaxed);
    if known != UNKNOWN {
        return known;
    }
    let asked = match host::threshold() {
        host::Level::Trace => LevelFilter::Trace,
        host::Level::Debug => LevelFilter::Debug,
        host::Level::Info => LevelFilter::Info,
        host::Level::Warn => LevelFilter::Warn,
        host::Level::Error => LevelFilter::Error,
    } as usize;
    THRESHOLD.store(asked, Ordering::Relaxed);
    asked
}

impl Log for HostLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() as usize <= threshold()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            log::Level::Error => host::Level::Error,
            log::Level::Warn => host::Level::Warn,
            log::Level::Info => host::Level::Info,
            log::Level::Debug => host::Level::Debug,
            log::Level::Trace => host::Level::Trace,
        };
        match record.args().as_str() {
            Some(text) => host::write(level, text, &fields_of(record)),
            None => host::write(level, &record.args().to_string(), &fields_of(record)),
        }
    }

    fn flush(&self) {}
}
