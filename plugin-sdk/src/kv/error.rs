//! Why an operation was not done.

use std::fmt;

/// Why an operation was not done. Texts are for people; they hold no key and no value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The configuration does not grant `kv`; or not within a hook.
    Denied,
    /// Not a legal bucket, key or time to live, or not a number where one is incremented.
    Invalid(String),
    /// A value over 1 MiB, or more than the addon's `kv_bytes` or `kv_keys`.
    TooLarge(String),
    /// The store cannot be reached; a write may have been done or not.
    Unavailable(String),
    /// What is there is not of the kind that was asked for, or what was to be set has no JSON. The store is as it was.
    Value(String),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => out.write_str("denied: kv is not granted, or this is no hook"),
            Self::Invalid(text) => write!(out, "invalid: {text}"),
            Self::TooLarge(text) => write!(out, "too large: {text}"),
            Self::Unavailable(text) => write!(out, "no store: {text}"),
            Self::Value(text) => write!(out, "no such value: {text}"),
        }
    }
}

impl std::error::Error for Error {}
