//! Budgets of one addon.

use std::{fmt, time::Duration};

use serde_json::{Map, Value, json};

use crate::{
    kv::{MAX_VALUE, Quota},
    outbound::Room,
};

/// Budgets of one addon. Each counts for one instance, but those that say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time on the CPU per hook, host functions that it calls included, counted in ticks of 1 ms. Default 50 ms.
    pub cpu: Duration,
    /// Time on the CPU beyond that for each MiB of the bodies that the hook is shown, in proportion. Default 50 ms.
    pub cpu_per_mib: Duration,
    /// Time per hook, waits included. Default 60 s.
    pub wall: Duration,
    /// Time for `configure`, on the CPU and in all. Default 10 s.
    pub configure: Duration,
    /// Bytes of linear memory, at most [`Limits::MAX_MEMORY`]. Default 64 MiB.
    pub memory: usize,
    /// Elements of all tables, at most [`Limits::MAX_TABLE`]. Default 10,000.
    pub table: usize,
    /// Handles of resources held at one time, those of the messages that a hook is lent included. Default 256.
    pub handles: usize,
    /// Bytes of a body that the guest is shown or sets. Default 10 MiB.
    pub max_body: usize,
    /// Fields of a head that the guest edited or made. Default 256.
    pub header_count: usize,
    /// Bytes of the fields of a head that the guest edited or made, four for `: ` and CRLF of each included. Default 64 KiB.
    pub header_bytes: usize,
    /// Random bytes per hook. Default 64 KiB.
    pub random: u64,
    /// Bytes that one call may carry from the guest to the host, as an argument or as an answer: those of strings, and for each
    /// element of a list what it takes on the host (1 of a list of bytes, 24 of a list of lists, 48 of a list of header
    /// fields, their content apart). Beyond it the guest traps before the host has allocated anything. Default: twice
    /// `max_body` or, if that is more, twice the largest value of `kv`; `header_bytes`, 64 for each of `header_count`, and
    /// 256 KiB.
    pub hostcall_bytes: Option<usize>,
    /// Log lines per second, over all instances; twice as many in a burst. Default 1,000.
    pub log_lines: u32,
    /// Bytes of log lines per second, over all instances: message and fields as they are written. Twice as many in a burst, so
    /// that a longer line is never written. Default 256 KiB.
    pub log_bytes: u32,
    /// Requests of its own that are under way at one time, over all instances. Default 1,000.
    pub calls: u32,
    /// What it may keep between flows, over all instances, by the keys `kv_bytes` and `kv_keys`. Default [`Quota::default`].
    pub kv: Quota,
    /// Requests that wait to be sent later, over all instances, by the keys `outbox_messages` and `outbox_bytes`. Default
    /// [`Room::default`].
    pub outbox: Room,
    /// Most instances that live at one time, over all generations of the addon. Default
    /// [`Settings::max_instances`](super::Settings::max_instances), which says what of these others leave to it.
    pub instances: Option<u32>,
    /// Whether an instance serves one flow, or one after the other. Default one.
    pub instance: InstanceUse,
}

/// How many flows an instance sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InstanceUse {
    /// One: what a hook leaves in memory is for later hooks of its flow alone.
    #[default]
    Flow,
    /// One after the other, never two at a time: what a hook leaves in memory, the next flows find there. For addons that keep
    /// nothing of a flow, or are to be trusted with it, and for which making an instance takes too long. An instance whose hook has
    /// failed sees no other flow.
    Shared,
}

impl InstanceUse {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Flow, Self::Shared];

    /// As the configuration has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Shared => "shared",
        }
    }
}

/// A number of bytes as the configuration would have it: `64KiB`, `1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) usize);

impl Limits {
    /// Largest memory that any addon can be given, in bytes: the slots of the engine have this size.
    pub const MAX_MEMORY: usize = 256 << 20;
    /// Most table elements that any addon can be given.
    pub const MAX_TABLE: usize = 20_000;

    /// Bytes that one call may carry from the guest to the host. By default twice a body or two values of `kv`, so that a guest
    /// that sets too large a one is told.
    pub(super) fn hostcall_bytes(&self) -> usize {
        self.hostcall_bytes.unwrap_or_else(|| {
            // Each field counts with the size of its pair of vectors on the host, too.
            let headers = self.header_bytes.saturating_add(self.header_count.saturating_mul(64));
            self.max_body.max(MAX_VALUE).saturating_mul(2).saturating_add(headers).saturating_add(256 << 10)
        })
    }

    /// Time on the CPU for a hook that is shown so many bytes of bodies.
    pub(super) fn cpu_for(&self, shown: usize) -> Duration {
        let kibibytes = u32::try_from(shown >> 10).unwrap_or(u32::MAX);
        self.cpu.saturating_add(self.cpu_per_mib.saturating_mul(kibibytes) / 1024)
    }

    /// Most instances that may live at one time, where all addons together may have `max_instances`.
    pub(super) fn instances(&self, max_instances: u32) -> u32 {
        self.instances.unwrap_or(max_instances).min(max_instances)
    }

    /// All of them by the keys of the configuration, with values that it would take.
    pub(super) fn shown(&self, max_instances: u32, guest_stack: usize) -> Map<String, Value> {
        let span = |span: Duration| json!(format!("{span:?}"));
        let size = |bytes: usize| json!(Bytes(bytes).to_string());
        Map::from_iter(
            [
                ("cpu", span(self.cpu)),
                ("cpu_per_mib", span(self.cpu_per_mib)),
                ("wall", span(self.wall)),
                ("configure", span(self.configure)),
                ("memory", size(self.memory)),
                ("table", json!(self.table)),
                ("handles", json!(self.handles)),
                ("guest_stack", size(guest_stack)),
                ("max_body", size(self.max_body)),
                ("header_count", json!(self.header_count)),
                ("header_bytes", size(self.header_bytes)),
                ("random", size(usize::try_from(self.random).unwrap_or(usize::MAX))),
                ("hostcall_bytes", size(self.hostcall_bytes())),
                ("log_lines", json!(self.log_lines)),
                ("log_bytes", size(usize::try_from(self.log_bytes).unwrap_or(usize::MAX))),
                ("calls", json!(self.calls)),
                ("kv_bytes", size(self.kv.bytes)),
                ("kv_keys", json!(self.kv.keys)),
                ("outbox_messages", json!(self.outbox.messages)),
                ("outbox_bytes", size(self.outbox.bytes)),
                ("instances", json!(self.instances(max_instances))),
                ("instance", json!(self.instance.as_str())),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        )
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(50),
            cpu_per_mib: Duration::from_millis(50),
            wall: Duration::from_mins(1),
            configure: Duration::from_secs(10),
            memory: 64 << 20,
            table: 10_000,
            handles: 256,
            max_body: 10 << 20,
            header_count: 256,
            header_bytes: 64 << 10,
            random: 64 << 10,
            hostcall_bytes: None,
            log_lines: 1_000,
            log_bytes: 256 << 10,
            calls: 1_000,
            kv: Quota::default(),
            outbox: Room::default(),
            instances: None,
            instance: InstanceUse::Flow,
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(out, "{}{unit}", self.0 / factor),
            None => self.0.fmt(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_show_in_the_largest_whole_unit() {
        for (bytes, shown) in
            [(0, "0"), (1000, "1000"), (1 << 10, "1KiB"), (1536, "1536"), (64 << 20, "64MiB"), (1 << 30, "1GiB")]
        {
            assert_eq!(Bytes(bytes).to_string(), shown);
        }
    }

    #[test]
    fn calls_carry_two_bodies_by_default() {
        let limits = Limits { max_body: 2_000_000, header_bytes: 100, header_count: 10, ..Limits::default() };
        assert_eq!(limits.hostcall_bytes(), 4_000_000 + 100 + 640 + (256 << 10));
        // Two values of `kv`, however small bodies are.
        assert_eq!(Limits { max_body: 1000, ..limits }.hostcall_bytes(), (2 << 20) + 100 + 640 + (256 << 10));
        assert_eq!(Limits { hostcall_bytes: Some(5), ..limits }.hostcall_bytes(), 5);
        assert_eq!(Limits { max_body: usize::MAX, ..limits }.hostcall_bytes(), usize::MAX);
    }

    #[test]
    fn no_addon_has_more_instances_than_all() {
        assert_eq!([1, 2_000].map(|all| Limits::default().instances(all)), [1, 2_000]);
        assert_eq!([3, 4, 5].map(|all| Limits { instances: Some(4), ..Limits::default() }.instances(all)), [3, 4, 4]);
    }
}
