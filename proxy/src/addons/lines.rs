//! Log lines of addons: with the addon's name, and never more of them than its budget.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::Level;

use super::{limits::Limits, over::BudgetKind, stats::Stats};

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
    rates: Mutex<Rates>,
}

/// What is left of lines and of their bytes.
#[derive(Debug)]
struct Rates {
    lines: Rate,
    bytes: Rate,
    at: Instant,
    warned: Option<Instant>,
}

#[derive(Debug)]
struct Rate {
    per_second: f64,
    left: f64,
}

// How often the log tells that lines are dropped.
const WARNING: Duration = Duration::from_mins(1);

impl Lines {
    /// Lines of this addon, as many and as long in a second as its limits say, twice that in a burst. What is over it is
    /// dropped and counted.
    pub(super) fn new(addon: Arc<str>, limits: &Limits, stats: Arc<Stats>) -> Self {
        let rates = Mutex::new(Rates::new(limits.log_lines, limits.log_bytes, Instant::now()));
        Self { shared: Arc::new(Shared { addon, stats, rates }) }
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
                if tracing::enabled!(target: TARGET, $level) {
                    let message = one_line(message);
                    let fields = Fields(fields()).to_string();
                    if self.may_write(message.len() + fields.len()) {
                        let fields = (!fields.is_empty()).then_some(fields);
                        tracing::event!(
                            target: TARGET, $level, addon.name = &*self.shared.addon, flow.id = flow,
                            fields = fields.as_ref().map(tracing::field::display), "{message}"
                        );
                    }
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

    fn may_write(&self, bytes: usize) -> bool {
        let now = Instant::now();
        let mut rates = self.shared.rates.lock();
        let Err(over) = rates.take(bytes, now) else { return true };
        self.shared.stats.dropped_line(over);
        if rates.warned.is_none_or(|at| now.duration_since(at) > WARNING) {
            rates.warned = Some(now);
            drop(rates);
            let (addon, budget) = (&*self.shared.addon, over.as_str());
            tracing::warn!(addon.name = addon, budget, "writes more log lines than it may; the rest is dropped");
        }
        false
    }
}

impl Rates {
    fn new(lines: u32, bytes: u32, at: Instant) -> Self {
        Self { lines: Rate::new(lines), bytes: Rate::new(bytes), at, warned: None }
    }

    /// Takes one line of so many bytes, or nothing: then tells which budget does not reach.
    fn take(&mut self, bytes: usize, now: Instant) -> Result<(), BudgetKind> {
        let gone = now.saturating_duration_since(self.at);
        self.lines.gain(gone);
        self.bytes.gain(gone);
        self.at = now;
        // What does not fit is over any burst.
        let bytes = u32::try_from(bytes).map_or(f64::INFINITY, f64::from);
        if self.lines.left < 1.0 {
            return Err(BudgetKind::LogLines);
        }
        if self.bytes.left < bytes {
            return Err(BudgetKind::LogBytes);
        }
        self.lines.left -= 1.0;
        self.bytes.left -= bytes;
        Ok(())
    }
}

impl Rate {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second * 2.0 }
    }

    fn gain(&mut self, time: Duration) {
        self.left = (self.left + time.as_secs_f64() * self.per_second).min(self.per_second * 2.0);
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
        let mut rates = Rates::new(10, 1_000, start);
        assert_eq!((0..100).filter(|_| rates.take(1, start).is_ok()).count(), 20);
        assert_eq!(rates.take(1, start + Duration::from_millis(50)), Err(BudgetKind::LogLines));
        assert_eq!(rates.take(1, start + Duration::from_millis(200)), Ok(()));
    }

    #[test]
    fn bytes_end_at_twice_the_rate() {
        let start = Instant::now();
        let mut rates = Rates::new(10, 100, start);
        assert_eq!(rates.take(201, start), Err(BudgetKind::LogBytes));
        assert_eq!(rates.take(150, start), Ok(()));
        assert_eq!(rates.take(51, start), Err(BudgetKind::LogBytes));
        // A line that is dropped takes nothing from those that fit.
        assert_eq!(rates.take(50, start), Ok(()));
        assert_eq!(rates.take(1, start), Err(BudgetKind::LogBytes));
        assert_eq!(rates.take(50, start + Duration::from_secs(1)), Ok(()));
        assert_eq!(rates.take(usize::MAX, start + Duration::from_mins(1)), Err(BudgetKind::LogBytes));
    }

    #[test]
    fn no_budget_writes_nothing() {
        let start = Instant::now();
        assert_eq!(Rates::new(0, 100, start).take(0, start + Duration::from_mins(1)), Err(BudgetKind::LogLines));
        assert_eq!(Rates::new(1, 0, start).take(1, start + Duration::from_mins(1)), Err(BudgetKind::LogBytes));
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
