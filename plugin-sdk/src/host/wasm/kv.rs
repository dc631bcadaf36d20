//! The store, as the host has it.

use crate::{
    guest::bindings::tollgate::addon::kv::{self, Error as WitError},
    kv::{Error, Page},
};

pub(crate) fn get(bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
    kv::get(bucket, key).map_err(error)
}

pub(crate) fn get_many(bucket: &str, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    kv::get_many(bucket, &keys).map_err(error)
}

pub(crate) fn set(bucket: &str, key: &str, value: &[u8], ttl: Option<u64>) -> Result<(), Error> {
    kv::set(bucket, key, value, ttl).map_err(error)
}

pub(crate) fn insert(bucket: &str, key: &str, value: &[u8], ttl: Option<u64>) -> Result<bool, Error> {
    kv::insert(bucket, key, value, ttl).map_err(error)
}

pub(crate) fn insert_many(bucket: &str, entries: &[(&str, &[u8])], ttl: Option<u64>) -> Result<Vec<bool>, Error> {
    let entries: Vec<_> = entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
    kv::insert_many(bucket, &entries, ttl).map_err(error)
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

pub(crate) fn scan(bucket: &str, prefix: &str, next: Option<&str>, limit: u32) -> Result<Page, Error> {
    let page = kv::scan(bucket, prefix, next, limit).map_err(error)?;
    Ok(Page { entries: page.entries, next: page.next })
}

fn error(error: WitError) -> Error {
    match error {
        WitError::Denied => Error::Denied,
        WitError::Invalid(text) => Error::Invalid(text),
        WitError::TooLarge(text) => Error::TooLarge(text),
        WitError::Unavailable(text) => Error::Unavailable(text),
    }
}
