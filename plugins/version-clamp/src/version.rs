//! Versions of the Matrix specification.

use std::str::FromStr;

/// A version like `v1.11`, `r0.6.1` or `1.5`: two or three numbers, which order it. The prefix says nothing: `r` was only
/// used below 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u64,
    minor: u64,
    patch: u64,
}

/// What is no version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let numbers = text.strip_prefix(['v', 'r']).unwrap_or(text);
        let mut parts = numbers.split('.');
        let mut next = || parts.next().map(number).transpose();
        let version = match (next()?, next()?, next()?) {
            (Some(major), Some(minor), patch) => Self { major, minor, patch: patch.unwrap_or(0) },
            _ => return Err(NoVersion),
        };
        if parts.next().is_some() { Err(NoVersion) } else { Ok(version) }
    }
}

/// Digits alone; more than fit are a number above all others.
fn number(digits: &str) -> Result<u64, NoVersion> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoVersion);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|_| panic!("{text:?} is a version"))
    }

    #[test]
    fn numbers_order_versions_not_letters() {
        let order = ["r0.0.1", "r0.6.1", "v0.99", "v1.2", "1.5", "v1.9", "v1.10", "v1.11", "v1.11.1", "v1.12", "r2.0.0", "v2.0"];
        assert!(order.map(version).is_sorted());
        assert!(version("v1.11") < version("v1.99999999999999999999999"));
    }

    #[test]
    fn missing_patch_is_zero() {
        assert_eq!(version("v1.11"), version("v1.11.0"));
        assert_eq!(version("v1.11"), version("v1.011"));
    }

    #[test]
    fn anything_else_is_no_version() {
        for text in [
            "",
            "v",
            "v1",
            "v1.",
            "v.1",
            "v1.11-beta",
            "v1.9-rc1",
            "v1.9.0-rc1",
            "v1.11.x",
            "V1.3",
            "unstable",
            "org.matrix.x",
            "v1.1.1.1",
            " v1.1",
            "v1.1 ",
            "vr1.1",
            "v+1.1",
            "v-1.1",
            "v1.\u{661}",
        ] {
            assert_eq!(text.parse::<Version>(), Err(NoVersion), "{text:?}");
        }
    }
}
