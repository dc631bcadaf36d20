//! Which budget it was that something went over.

use std::fmt;

use wasmtime::{Trap, component::ResourceTableError};

use super::{budget::Over, limits::Bytes};

/// A budget, as metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BudgetKind {
    Cpu,
    Wall,
    Configure,
    Memory,
    Table,
    Handles,
    Stack,
    Hostcall,
    Random,
    Instances,
    LogLines,
    LogBytes,
    Headers,
    Body,
    Calls,
    AllMemory,
}

/// The random bytes of a hook are used up: the error with which the guest is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OverRandom {
    /// In bytes, as configured.
    pub(super) limit: u64,
}

impl BudgetKind {
    /// All of them, in the order in which they are declared.
    pub(super) const ALL: [Self; 16] = [
        Self::Cpu,
        Self::Wall,
        Self::Configure,
        Self::Memory,
        Self::Table,
        Self::Handles,
        Self::Stack,
        Self::Hostcall,
        Self::Random,
        Self::Instances,
        Self::LogLines,
        Self::LogBytes,
        Self::Headers,
        Self::Body,
        Self::Calls,
        Self::AllMemory,
    ];

    /// As a label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::Configure => "configure",
            Self::Memory => "memory",
            Self::Table => "table",
            Self::Handles => "handles",
            Self::Stack => "stack",
            Self::Hostcall => "hostcall",
            Self::Random => "random",
            Self::Instances => "instances",
            Self::LogLines => "log_lines",
            Self::LogBytes => "log_bytes",
            Self::AllMemory => "all_memory",
            Self::Headers => "headers",
            Self::Body => "body",
            Self::Calls => "calls",
        }
    }

    /// The budget that this call ended for; none if it ended for another reason. Memory and tables are not among them: a guest
    /// is told that it gets no more, and what it dies of then is its own affair.
    pub(super) fn of(error: &wasmtime::Error) -> Option<Self> {
        if let Some(over) = error.downcast_ref::<Over>() {
            return Some(over.kind);
        }
        if error.downcast_ref::<OverRandom>().is_some() {
            return Some(Self::Random);
        }
        if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
            return Some(Self::Stack);
        }
        if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
            return Some(Self::Handles);
        }
        // These two errors of the engine have no type that others can name (wasmtime 48: `HostcallFuelExhausted` in
        // component/func/options.rs, and vm/component/handle_table.rs).
        let text = error.root_cause().to_string();
        if text.contains("fuel allocated for hostcalls has been exhausted") {
            return Some(Self::Hostcall);
        }
        text.contains("store handle limit exceeded").then_some(Self::Handles)
    }
}

impl fmt::Display for OverRandom {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = Bytes(usize::try_from(self.limit).unwrap_or(usize::MAX));
        write!(out, "over its budget of random bytes, {limit} a hook")
    }
}

impl std::error::Error for OverRandom {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_listed_in_their_order() {
        for (place, kind) in BudgetKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place, "{kind:?}");
        }
    }

    #[test]
    fn errors_tell_their_budget() {
        for (error, kind) in [
            (wasmtime::Error::new(OverRandom { limit: 1 }), Some(BudgetKind::Random)),
            (wasmtime::Error::new(Trap::StackOverflow).context("in a backtrace"), Some(BudgetKind::Stack)),
            (wasmtime::Error::new(ResourceTableError::Full), Some(BudgetKind::Handles)),
            (wasmtime::Error::new(Trap::UnreachableCodeReached), None),
            (wasmtime::Error::msg("something else"), None),
        ] {
            assert_eq!(BudgetKind::of(&error), kind, "{error:?}");
        }
    }
}
