//! What a guest does by itself.

use std::{hint::black_box, thread::sleep, time::Duration};

use tollgate_sdk::{Error, log};

use crate::{handles, script::Action};

/// Bytes that `{residue}` looks at.
const RESIDUE: usize = 4 << 20;

/// What has nothing to do with messages.
pub(crate) fn private(action: &Action, fill: impl Fn(&str) -> String) -> Result<(), Error> {
    match action {
        Action::Log(text) => log::info!("{}", fill(text)),
        Action::LogFlood(count) => (0..*count).for_each(|number| log::info!("line {number}")),
        #[allow(clippy::print_stdout, reason = "what a guest that has not read the documentation does")]
        Action::Print(text) => println!("{}", fill(text)),
        Action::Wait(milliseconds) => sleep(Duration::from_millis(*milliseconds)),
        Action::Fetch(fetch) => {
            if let Some(error) = fetch.send(fill).error() {
                return Err(error.into());
            }
        }
        Action::Post(fetch) => {
            for ended in fetch.post(fill) {
                ended?;
            }
        }
        Action::Kv(kv) => {
            if let Some(error) = kv.run(fill).error() {
                return Err(error.into());
            }
        }
        Action::Take(bytes) => {
            black_box(vec![1_u8; *bytes].leak());
        }
        Action::Random(bytes) => getrandom::fill(&mut vec![0; *bytes])?,
        Action::Spin => loop {
            black_box(());
        },
        #[cfg(target_arch = "wasm32")]
        Action::Trap => core::arch::wasm32::unreachable(),
        Action::Recurse => {
            black_box(deep(1));
        }
        Action::Descend(depth) => {
            black_box(descend(*depth));
        }
        Action::Hold(count) => handles::hold(*count),
        #[allow(clippy::panic, reason = "that is what it is for")]
        Action::Panic(text) => panic!("{text}"),
        Action::Fail(text) => return Err(Error::new(text)),
        _ => return Err(Error::new("not here")),
    }
    Ok(())
}

/// Frames are small, so that it is the host's stack that ends and not the guest's own in its memory.
fn deep(depth: u64) -> u64 {
    if depth == 0 { 0 } else { deep(black_box(depth) + 1).wrapping_mul(depth) }
}

pub(crate) fn coin() -> Result<bool, Error> {
    let mut byte = [0];
    getrandom::fill(&mut byte)?;
    Ok(byte[0] & 1 == 1)
}

fn descend(depth: u64) -> u64 {
    if depth == 0 { 0 } else { descend(black_box(depth) - 1).wrapping_mul(depth) }
}

pub(crate) fn random() -> String {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => format!("{:032x}", u128::from_be_bytes(bytes)),
        Err(error) => error.to_string(),
    }
}

/// What is left of others in memory that should be new: the allocator takes it for zeroed.
pub(crate) fn residue() -> u64 {
    black_box(vec![0_u8; RESIDUE]).iter().map(|&byte| u64::from(byte)).sum()
}
