//! Random numbers: the system's for flows, reproducible ones for `configure`.

use sha2::{Digest, Sha256};
use wasmtime::Result;
use wasmtime_wasi::{
    p2::bindings::random::{insecure, insecure_seed, random},
    random::WasiRandomCtx,
};

use super::{super::over::OverRandom, HostState};

/// Where the random numbers of an instance come from, and how many bytes are left of its budget.
pub(in crate::addons) struct Random {
    source: Source,
    left: u64,
    limit: u64,
}

enum Source {
    // A seed and how many blocks were derived from it.
    Seed([u8; 32], u64),
    // Made when the first number is asked for.
    System(Option<Box<WasiRandomCtx>>),
}

impl Random {
    /// Reproducible numbers: for `configure`, so that a snapshot is the same at every start.
    pub(in crate::addons) const fn seeded(seed: [u8; 32], bytes: u64) -> Self {
        Self { source: Source::Seed(seed, 0), left: bytes, limit: bytes }
    }

    /// The system's.
    pub(in crate::addons) const fn system(bytes: u64) -> Self {
        Self { source: Source::System(None), left: bytes, limit: bytes }
    }

    /// Starts a new budget.
    pub(in crate::addons) const fn refill(&mut self, bytes: u64) {
        self.left = bytes;
        self.limit = bytes;
    }

    fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.left = self.left.checked_sub(count).ok_or(OverRandom { limit: self.limit })?;
        match &mut self.source {
            Source::Seed(seed, blocks) => {
                let count = usize::try_from(count)?;
                let mut bytes = Vec::with_capacity(count.next_multiple_of(32));
                while bytes.len() < count {
                    bytes.extend_from_slice(&Sha256::new().chain_update(&seed[..]).chain_update(blocks.to_le_bytes()).finalize());
                    *blocks += 1;
                }
                bytes.truncate(count);
                Ok(bytes)
            }
            Source::System(system) => random::Host::get_random_bytes(system.get_or_insert_default().as_mut(), count),
        }
    }

    fn number(&mut self) -> Result<u64> {
        let bytes = self.bytes(8)?;
        Ok(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }
}

impl random::Host for HostState {
    fn get_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.random.bytes(count)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        self.random.number()
    }
}

impl insecure::Host for HostState {
    fn get_insecure_random_bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        self.random.bytes(count)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        self.random.number()
    }
}

impl insecure_seed::Host for HostState {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        Ok((self.random.number()?, self.random.number()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_numbers() -> Result<()> {
        let [mut one, mut two, mut other] = [[1; 32], [1; 32], [2; 32]].map(|seed| Random::seeded(seed, 1_000));
        let first = one.bytes(100)?;
        assert_eq!(first, two.bytes(100)?);
        assert_ne!(first, other.bytes(100)?);
        assert_ne!(first, one.bytes(100)?);
        Ok(())
    }

    #[test]
    fn the_budget_of_bytes_is_kept() -> Result<()> {
        let mut random = Random::system(16);
        assert_eq!(random.bytes(12)?.len(), 12);
        assert!(random.bytes(u64::MAX).is_err());
        assert!(random.bytes(5).is_err());
        assert_eq!(random.bytes(4)?.len(), 4);
        Ok(())
    }
}
