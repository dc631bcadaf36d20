//! Budgets of an addon, with the range of each.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    check::Check,
    key::Key,
    limits::{HEADER_BYTES, HEADER_COUNT, INSTANCES, usize_of},
    raw::RawAddon,
    units::{Count, Size, Span},
};
use crate::{
    addons::{InstanceUse, Limits},
    kv::Quota,
    outbound::Room,
};

const CPU: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_mins(1));
const CPU_PER_MIB: RangeInclusive<Span> = Span(Duration::ZERO)..=Span(Duration::from_secs(10));
const WALL: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_hours(1));
const CONFIGURE: RangeInclusive<Span> = Span(SHORTEST)..=Span(Duration::from_mins(5));
const MEMORY: RangeInclusive<Size> = Size(1 << 20)..=Size(Limits::MAX_MEMORY as u64);
const TABLE: RangeInclusive<Count> = Count(0)..=Count(Limits::MAX_TABLE as u64);
// A hook is lent up to two messages.
const HANDLES: RangeInclusive<Count> = Count(2)..=Count(10_000);
const MAX_BODY: RangeInclusive<Size> = Size(0)..=Size(1 << 30);
const RANDOM: RangeInclusive<Size> = Size(0)..=Size(16 << 20);
const HOSTCALL_BYTES: RangeInclusive<Size> = Size(4 << 10)..=Size(1 << 30);
const LOG_LINES: RangeInclusive<Count> = Count(0)..=Count(100_000);
const CALLS: RangeInclusive<Count> = Count(1)..=Count(10_000);
const LOG_BYTES: RangeInclusive<Size> = Size(0)..=Size(1 << 30);
const KV_BYTES: RangeInclusive<Size> = Size(64 << 10)..=Size(16 << 30);
const KV_KEYS: RangeInclusive<Count> = Count(1)..=Count(100_000_000);
const OUTBOX_MESSAGES: RangeInclusive<Count> = Count(1)..=Count(100_000);
const OUTBOX_BYTES: RangeInclusive<Size> = Size(64 << 10)..=Size(1 << 30);

const SHORTEST: Duration = Duration::from_millis(1);

/// The budgets at `key`; what is not set there is as by default.
pub(super) fn budgets(check: &mut Check, key: &Key, raw: &RawAddon) -> Limits {
    let otherwise = Limits::default();
    let mut span =
        |name, raw: &Option<_>, range, otherwise| check.number(&key.join(name), raw.as_ref(), range, Span(otherwise)).0;
    let cpu = span("cpu", &raw.cpu, &CPU, otherwise.cpu);
    let cpu_per_mib = span("cpu_per_mib", &raw.cpu_per_mib, &CPU_PER_MIB, otherwise.cpu_per_mib);
    let wall = span("wall", &raw.wall, &WALL, otherwise.wall);
    let configure = span("configure", &raw.configure, &CONFIGURE, otherwise.configure);
    let mut size =
        |name, raw: &Option<_>, range, otherwise: u64| check.number(&key.join(name), raw.as_ref(), range, Size(otherwise)).0;
    let memory = size("memory", &raw.memory, &MEMORY, otherwise.memory as u64);
    let max_body = size("max_body", &raw.max_body, &MAX_BODY, otherwise.max_body as u64);
    let header_bytes = size("header_bytes", &raw.header_bytes, &HEADER_BYTES, otherwise.header_bytes as u64);
    let random = size("random", &raw.random, &RANDOM, otherwise.random);
    let hostcall_bytes = size("hostcall_bytes", &raw.hostcall_bytes, &HOSTCALL_BYTES, 0);
    let log_bytes = size("log_bytes", &raw.log_bytes, &LOG_BYTES, otherwise.log_bytes.into());
    let kv_bytes = size("kv_bytes", &raw.kv_bytes, &KV_BYTES, otherwise.kv.bytes as u64);
    let outbox_bytes = size("outbox_bytes", &raw.outbox_bytes, &OUTBOX_BYTES, otherwise.outbox.bytes as u64);
    let mut count =
        |name, raw: &Option<_>, range, otherwise: u64| check.number(&key.join(name), raw.as_ref(), range, Count(otherwise)).0;
    let table = count("table", &raw.table, &TABLE, otherwise.table as u64);
    let handles = count("handles", &raw.handles, &HANDLES, otherwise.handles as u64);
    let header_count = count("header_count", &raw.header_count, &HEADER_COUNT, otherwise.header_count as u64);
    let log_lines = count("log_lines", &raw.log_lines, &LOG_LINES, otherwise.log_lines.into());
    let calls = count("calls", &raw.calls, &CALLS, otherwise.calls.into());
    let kv_keys = count("kv_keys", &raw.kv_keys, &KV_KEYS, otherwise.kv.keys as u64);
    let outbox_messages = count("outbox_messages", &raw.outbox_messages, &OUTBOX_MESSAGES, otherwise.outbox.messages as u64);
    let instances = count("instances", &raw.instances, &INSTANCES, 0);
    let instance = raw.instance.as_ref().and_then(|text| check.text(&key.join("instance"), text, instance_use));
    Limits {
        cpu,
        cpu_per_mib,
        wall,
        configure,
        memory: usize_of(memory),
        table: usize_of(table),
        handles: usize_of(handles),
        max_body: usize_of(max_body),
        header_count: usize_of(header_count),
        header_bytes: usize_of(header_bytes),
        random,
        hostcall_bytes: raw.hostcall_bytes.as_ref().map(|_| usize_of(hostcall_bytes)),
        log_lines: u32_of(log_lines),
        log_bytes: u32_of(log_bytes),
        calls: u32_of(calls),
        kv: Quota { bytes: usize_of(kv_bytes), keys: usize_of(kv_keys) },
        outbox: Room { messages: usize_of(outbox_messages), bytes: usize_of(outbox_bytes) },
        instances: raw.instances.as_ref().map(|_| u32_of(instances)),
        instance: instance.unwrap_or_default(),
    }
}

fn instance_use(text: &str) -> Result<InstanceUse, String> {
    InstanceUse::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| "must be \"flow\" or \"shared\"".to_owned())
}

/// Ranges keep it exact.
fn u32_of(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
