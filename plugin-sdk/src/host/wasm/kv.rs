//! The store, as the host has it.

use crate::{
    guest::bindings::tollgate::addon::kv::{self, Error as WitError},
    kv::Error,
};

pub(crate) fn get(bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
    kv::get(bucket, key).map_err(error)
}

pub(crate) fn set(bucket: &str, key: &str, value: &[u8], ttl: Option<u64>) -> Result<(), Error> {
    kv::set(bucket, key, value, ttl).map_err(error)
}

pub(crate) fn insert(bucket: &str, key: &str, value: &[u8], ttl: Option<u64>) -> Result<bool, Error> {
    kv::insert(bucket, key, value, ttl).map_err(error)
}

pub(crate) fn swap(
    bucket: &str,
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
    ttl: Option<u64>,
) -> Result<bool, Error> {
    kv::swap(bucket, key, expected, value, ttl).map_err(error)
}

pub(crate) fn delete(bucket: &str, key: &str) -> Result<bool, Error> {
    kv::delete(bucket, key).map_err(error)
}

pub(crate) fn increment(bucket: &str, key: &str, by: i64, ttl: Option<u64>) -> Result<i64, Error> {
    kv::increment(bucket, key, by, ttl).map_err(error)
}

fn error(error: WitError) -> Error {
    match error {
        WitError::Denied => Error::Denied,
        WitError::Invalid(text) => Error::Invalid(text),
        WitError::TooLarge(text) => Error::TooLarge(text),
        WitError::Unavailable(text) => Error::Unavailable(text),
    }
}
