//! `[record]`.

use std::ops::RangeInclusive;

use super::{Recording, check::Check, key::Key, limits::usize_of, raw::RawRecord, units::Size};

pub(super) const BODIES: RangeInclusive<Size> = Size(0)..=Size(64 << 20);
pub(super) const MAX_BYTES: RangeInclusive<Size> = Size(4 << 10)..=Size(1 << 40);
pub(super) const MEMORY: RangeInclusive<Size> = Size(64 << 10)..=Size(16 << 30);

pub(super) fn recording(check: &mut Check, key: &Key, raw: &RawRecord) -> Option<Recording> {
    let at = key.join("file");
    let file = match raw.file.as_deref() {
        Some("") => {
            check.fail(&at, "must be the path of a file");
            None
        }
        Some(text) => Some(check.path(&at, text)),
        None => {
            check.fail_missing(&at, "is missing: the file to record to, as --record FILE.har");
            None
        }
    };
    let mut size =
        |name, raw: &Option<_>, range, otherwise| check.number(&key.join(name), raw.as_ref(), range, Size(otherwise)).0;
    let bodies = size("bodies", &raw.bodies, &BODIES, 256 << 10);
    let max_bytes = size("max_bytes", &raw.max_bytes, &MAX_BYTES, 1 << 30);
    let memory = size("memory", &raw.memory, &MEMORY, 64 << 20);
    Some(Recording { file: file?, bodies: usize_of(bodies), secrets: raw.secrets, max_bytes, memory: usize_of(memory) })
}
