//! Rounds, and what they are held against.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::statistics::Spread;

/// What a round measures, in the order of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// User and system of the proxy's processes by requests.
    Cpu,
    /// By handshakes and the request after each.
    CpuOfHandshake,
    /// Requests a second.
    Rate,
    /// Handshakes that a second of the proxy's processor is enough for.
    Handshakes,
    /// Latencies.
    P50,
    P99,
    P999,
    /// Bytes of bodies a second.
    Throughput,
    /// Seconds of the proxy's processor for a GiB.
    CpuOfGib,
    /// Most memory in the round.
    Peak,
    /// The same with a quarter of the bytes.
    PeakOfQuarter,
    /// Memory for one more connection.
    Each,
    /// From the cause to the effect.
    Took,
    /// The same without the time for which files have to be still.
    Settled,
    /// Bytes that a hook is shown at a time.
    Piece,
}

impl Measure {
    /// Name in files.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_us_per_request",
            Self::CpuOfHandshake => "cpu_us_per_handshake",
            Self::Rate => "requests_per_second",
            Self::Handshakes => "handshakes_per_cpu_second",
            Self::P50 => "p50_us",
            Self::P99 => "p99_us",
            Self::P999 => "p999_us",
            Self::Throughput => "mib_per_second",
            Self::CpuOfGib => "cpu_seconds_per_gib",
            Self::Peak => "peak_mib",
            Self::PeakOfQuarter => "peak_of_quarter_mib",
            Self::Each => "kib_each",
            Self::Took => "took_ms",
            Self::Settled => "after_settling_ms",
            Self::Piece => "piece_kib",
        }
    }

    /// Head of a column, unit included.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU µs/req",
            Self::CpuOfHandshake => "CPU µs/handshake",
            Self::Rate => "req/s",
            Self::Handshakes => "handshakes/CPU s",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
            Self::Throughput => "MiB/s",
            Self::CpuOfGib => "CPU s/GiB",
            Self::Peak => "peak MiB",
            Self::PeakOfQuarter => "peak MiB, 1/4",
            Self::Each => "KiB each",
            Self::Took => "ms",
            Self::Settled => "ms after settling",
            Self::Piece => "KiB a piece",
        }
    }

    const fn digits(self) -> usize {
        match self {
            Self::Rate | Self::Handshakes | Self::P50 | Self::P99 | Self::P999 | Self::Throughput => 0,
            Self::CpuOfGib => 3,
            _ => 1,
        }
    }

    /// As tables have it.
    pub(crate) fn shown(self, value: f64) -> String {
        format!("{value:.*}", self.digits())
    }
}

/// What one round measured.
pub(crate) type Values = BTreeMap<Measure, f64>;

/// A round of one peer.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    pub(crate) peer: String,
    /// From 1.
    pub(crate) number: usize,
    pub(crate) values: Values,
}

/// On which side of the target a value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    AtMost,
    AtLeast,
}

/// A value and its target.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) bound: Bound,
    pub(crate) target: f64,
    /// Empty for ratios.
    pub(crate) unit: &'static str,
}

impl Verdict {
    pub(crate) fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost => self.value <= self.target,
            Bound::AtLeast => self.value >= self.target,
        }
    }
}

/// Rounds of a case, and what came of them.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) rounds: Vec<Round>,
    pub(crate) verdicts: Vec<Verdict>,
    /// What a reader has to know to make sense of the numbers.
    pub(crate) notes: Vec<String>,
}

impl Outcome {
    pub(crate) fn of(rounds: Vec<Round>) -> Self {
        Self { rounds, ..Self::default() }
    }

    /// Peers in the order of their first round.
    pub(crate) fn peers(&self) -> Vec<&str> {
        let mut peers: Vec<&str> = Vec::new();
        for round in &self.rounds {
            if !peers.contains(&round.peer.as_str()) {
                peers.push(&round.peer);
            }
        }
        peers
    }

    /// What any of the rounds measured, in the order of columns.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        let mut measures: Vec<Measure> = self.rounds.iter().flat_map(|round| round.values.keys().copied()).collect();
        measures.sort_unstable();
        measures.dedup();
        measures
    }

    pub(crate) fn spread(&self, peer: &str, measure: Measure) -> Option<Spread> {
        let of_peer = self.rounds.iter().filter(|round| round.peer == peer);
        Spread::of(of_peer.filter_map(|round| round.values.get(&measure).copied()))
    }

    pub(crate) fn median(&self, peer: &str, measure: Measure) -> Result<f64> {
        let spread = self.spread(peer, measure).with_context(|| format!("no {} of {peer}", measure.key()))?;
        Ok(spread.median)
    }

    /// Median by median.
    pub(crate) fn ratio(&self, peer: &str, other: &str, measure: Measure) -> Result<f64> {
        Ok(self.median(peer, measure)? / self.median(other, measure)?)
    }

    /// Holds a value against its target.
    pub(crate) fn judge(&mut self, what: impl Into<String>, value: f64, bound: Bound, target: f64, unit: &'static str) {
        self.verdicts.push(Verdict { what: what.into(), value, bound, target, unit });
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(peer: &str, number: usize, cpu: f64) -> Round {
        Round { peer: peer.to_owned(), number, values: Values::from([(Measure::Cpu, cpu)]) }
    }

    #[test]
    fn ratios_are_of_medians() {
        let rounds = [("a", 3.0), ("b", 10.0), ("a", 5.0), ("b", 8.0), ("a", 40.0), ("b", 30.0)];
        let outcome = Outcome::of(rounds.iter().enumerate().map(|(place, (peer, cpu))| round(peer, place, *cpu)).collect());
        assert_eq!(outcome.peers(), ["a", "b"]);
        assert!((outcome.ratio("a", "b", Measure::Cpu).expect("a ratio") - 0.5).abs() < 1e-9);
        assert_eq!(outcome.median("a", Measure::P99).expect_err("not measured").to_string(), "no p99_us of a");
    }

    #[test]
    fn targets_are_met_at_their_bound() {
        let mut outcome = Outcome::default();
        for (value, bound) in [(1.0, Bound::AtMost), (1.01, Bound::AtMost), (1.0, Bound::AtLeast), (0.99, Bound::AtLeast)] {
            outcome.judge("a / b", value, bound, 1.0, "");
        }
        assert_eq!(outcome.verdicts.iter().map(Verdict::is_met).collect::<Vec<_>>(), [true, false, true, false]);
    }
}
