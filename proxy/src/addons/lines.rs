//! Log lines of addons: with the addon's name, and never more of them than its budget.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::Level;

use super::stats::Stats;

/// Target of all lines that addons write.
pub(super) const TARGET: &str = "tollgate::addon";

/// Where the lines of one addon go. Cheap to clone; all clones share one budget.
#[derive(Clone)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

struct Shared {
    addon: Arc<str>,
    stats: Arc<Stats>,
    rate: Mutex<Rate>,
}

#[derive(Debug)]
struct Rate {
    per_second: f64,
    burst: f64,
    left: f64,
    at: Instant,
    warned: Option<Instant>,
}

// How often the log tells that lines are dropped.
const WARNING: Duration = Duration::from_mins(1);

impl Lines {
    /// Lines of this addon, so many a second, twice as many in a burst. What is over it is dropped and counted.
    pub(super) fn new(addon: Arc<str>, per_second: u32, stats: Arc<Stats>) -> Self {
        let rate = Mutex::new(Rate::new(per_second, Instant::now()));
        Self { shared: Arc::new(Shared { addon, stats, rate }) }
    }

    /// Writes one line, if its level reaches anybody and the budget allows it.
    pub(super) fn write<'a>(
        &self,
        level: Level,
        flow: Option<u64>,
        message: &str,
        fields: impl FnOnce() -> Vec<(&'a str, &'a str)>,
    ) {
        macro_rules! line {
            ($level:expr) => {
                if tracing::enabled!(target: TARGET, $level) && self.may_write() {
                    let fields = fields();
                    let fields = (!fields.is_empty()).then(|| Fields(fields));
                    tracing::event!(
                        target: TARGET, $level, addon.name = &*self.shared.addon, flow.id = flow,
                        fields = fields.as_ref().map(tracing::field::display), "{}", one_line(message)
                    );
                }
            };
        }
        match level {
            Level::TRACE => line!(Level::TRACE),
            Level::DEBUG => line!(Level::DEBUG),
            Level::INFO => line!(Level::INFO),
            Level::WARN => line!(Level::WARN),
            Level::ERROR => line!(Level::ERROR),
        }
    }

    fn may_write(&self) -> bool {
        let now = Instant::now();
        let mut rate = self.shared.rate.lock();
        if rate.take(now) {
            return true;
        }
        self.shared.stats.dropped_line();
        if rate.warned.is_none_or(|at| now.duration_since(at) > WARNING) {
            rate.warned = Some(now);
            drop(rate);
            tracing::warn!(addon.name = &*self.shared.addon, "writes more log lines than it may; the rest is dropped");
        }
        false
    }
}

impl Rate {
    fn new(per_second: u32, at: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, burst: per_second * 2.0, left: per_second * 2.0, at, warned: None }
    }

    fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.left = (self.left + gained).min(self.burst);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl std::fmt::Display for Fields<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, (key, value)) in self.0.iter().enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(out, "{gap}{}={value:?}", key.escape_debug())?;
        }
        Ok(())
    }
}

/// Without line breaks and other control characters: nobody can write a line that looks like another's.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(|shown: char| shown.is_control() && shown != '\t') {
        return Cow::Borrowed(text);
    }
    let escape = |shown: char| if shown.is_control() { shown.escape_default().collect() } else { shown.to_string() };
    Cow::Owned(text.trim_end().chars().map(escape).collect())
}

/// The first `limit` bytes at most, without cutting a character.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_end_at_twice_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        assert_eq!((0..100).filter(|_| rate.take(start)).count(), 20);
        assert!(!rate.take(start + Duration::from_millis(50)));
        assert!(rate.take(start + Duration::from_millis(200)));
    }

    #[test]
    fn messages_stay_on_one_line() {
        assert_eq!(one_line("a\tb"), "a\tb");
        assert_eq!(one_line("a\nb\u{1b}[31m\n"), "a\\nb\\u{1b}[31m");
    }

    #[test]
    fn cutting_spares_characters() {
        assert_eq!(cut("h\u{e4}h", 2), "h");
        assert_eq!(cut("h\u{e4}h", 3), "h\u{e4}");
        assert_eq!(cut("abc", 10), "abc");
    }

    #[test]
    fn field_values_cannot_forge_lines() {
        assert_eq!(Fields(vec![("a\n", "b\nc"), ("d", "e")]).to_string(), "a\\n=\"b\\nc\" d=\"e\"");
    }
}
