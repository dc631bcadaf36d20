//! The `log` interface.

use tracing::{Level, enabled};
use wasmtime::Result;

use super::{
    bindings::log::{self, Level as Wanted},
    lines::{TARGET, cut},
    state::HostState,
};

const MAX_MESSAGE: usize = 8 << 10;
const MAX_FIELD: usize = 1 << 10;
const MAX_FIELDS: usize = 32;
const MAX_PLACE: usize = 256;

impl log::Host for HostState {
    fn write(&mut self, level: Wanted, message: String, fields: Vec<(String, String)>) -> Result<()> {
        let level = match level {
            Wanted::Trace => Level::TRACE,
            Wanted::Debug => Level::DEBUG,
            Wanted::Info => Level::INFO,
            Wanted::Warn => Level::WARN,
            Wanted::Error => Level::ERROR,
        };
        let flow = self.facts.as_ref().map(|facts| facts.id);
        self.lines.write(level, flow, cut(&message, MAX_MESSAGE), || {
            let shown = fields.iter().take(MAX_FIELDS);
            shown.map(|(key, value)| (cut(key, MAX_FIELD), cut(value, MAX_FIELD))).collect()
        });
        Ok(())
    }

    fn threshold(&mut self) -> Result<Wanted> {
        Ok(if enabled!(target: TARGET, Level::TRACE) {
            Wanted::Trace
        } else if enabled!(target: TARGET, Level::DEBUG) {
            Wanted::Debug
        } else if enabled!(target: TARGET, Level::INFO) {
            Wanted::Info
        } else if enabled!(target: TARGET, Level::WARN) {
            Wanted::Warn
        } else {
            Wanted::Error
        })
    }

    fn panicked(&mut self, message: String, place: String) -> Result<()> {
        self.panicked = Some((cut(&message, MAX_FIELD).to_owned(), cut(&place, MAX_PLACE).to_owned()));
        Ok(())
    }
}
