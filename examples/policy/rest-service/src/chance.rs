//! Randomness that can be had the same way again.

use std::io;

/// `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): for chances, not for secrets.
#[derive(Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    pub(crate) const fn starting_at(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn of_the_system() -> io::Result<Self> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(Self::starting_at(u64::from_le_bytes(seed)))
    }

    /// True in so many of a hundred calls, in the long run.
    pub(crate) const fn comes(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_paper() {
        let mut chance = Chance::starting_at(1_234_567);
        let numbers = [chance.next(), chance.next(), chance.next()];
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_third_is_about_a_third() {
        let mut chance = Chance::starting_at(7);
        let times = (0..10_000).filter(|_| chance.comes(33)).count();
        assert!((3_000..3_600).contains(&times), "{times}");
        assert!(!(0..1_000).any(|_| chance.comes(0)) && (0..1_000).all(|_| chance.comes(100)));
    }
}
