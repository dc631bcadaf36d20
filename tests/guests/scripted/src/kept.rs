//! What the guest keeps between flows.

use std::time::Duration;

use serde::Deserialize;
use tollgate_sdk::kv::{Bucket, Error};

/// An operation on keys and values. All are templates; `none` stands for nothing.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Kv {
    /// `get`, `set`, `insert`, `swap`, `delete`, `increment`, which is by `value`, `get-many` and `insert-many`, whose `key` are several
    /// with commas between them, or `scan`, whose `key` is the prefix, `value` the limit and `expected` the cursor.
    op: String,
    bucket: String,
    key: String,
    value: String,
    /// The value is so many bytes instead.
    fill: String,
    expected: String,
    /// In milliseconds.
    ttl: String,
    /// How often, if not once.
    times: usize,
    /// What is not done fails the hook.
    pub(crate) must: bool,
}

/// What operations came to.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    ended: Vec<Result<String, Error>>,
}

impl Default for Kv {
    fn default() -> Self {
        let none = || "none".to_owned();
        Self {
            op: none(),
            bucket: none(),
            key: none(),
            value: none(),
            fill: none(),
            expected: none(),
            ttl: none(),
            times: 1,
            must: false,
        }
    }
}

impl Kv {
    fn once(&self, fill: &impl Fn(&str) -> String) -> Result<String, Error> {
        let some = |text: &str| Some(fill(text)).filter(|filled| filled != "none");
        let number = |text: &str| some(text).map(|number| number.parse::<i64>().map_err(|error| Error::Value(error.to_string())));
        let (bucket, key) = (Bucket::new(fill(&self.bucket)), fill(&self.key));
        let ttl = number(&self.ttl).transpose()?.map(|ttl| Duration::from_millis(ttl.unsigned_abs()));
        let value = match number(&self.fill).transpose()?.map(usize::try_from) {
            Some(Ok(bytes)) => Some("f".repeat(bytes)),
            _ => some(&self.value),
        };
        let given = value.clone().unwrap_or_default();
        match fill(&self.op).as_str() {
            "get" => Ok(bucket.get_str(&key)?.unwrap_or_else(|| "none".to_owned())),
            "set" => bucket.set(&key, given, ttl).map(|()| "set".to_owned()),
            "insert" => bucket.insert(&key, given, ttl).map(|done| done.to_string()),
            "swap" => {
                let expected = some(&self.expected);
                let done = bucket.swap(&key, expected.as_ref().map(String::as_bytes), value.as_ref().map(String::as_bytes), ttl);
                done.map(|done| done.to_string())
            }
            "delete" => bucket.delete(&key).map(|done| done.to_string()),
            "get-many" => {
                let values = bucket.get_many(&key.split(',').collect::<Vec<_>>())?;
                let text =
                    |value: Option<Vec<u8>>| value.map_or("none".to_owned(), |value| String::from_utf8_lossy(&value).into());
                Ok(values.into_iter().map(text).collect::<Vec<_>>().join(","))
            }
            "insert-many" => {
                let entries: Vec<_> = key.split(',').map(|key| (key, given.as_str())).collect();
                let done = bucket.insert_many(&entries, ttl)?;
                Ok(done.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
            "scan" => {
                let limit = number(&self.value).transpose()?.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(1);
                let prefix = if key == "none" { "" } else { &key };
                let page = bucket.scan(prefix, some(&self.expected).as_deref(), limit)?;
                let text = |(key, value): (String, Vec<u8>)| format!("{key}={}", String::from_utf8_lossy(&value));
                let entries = page.entries.into_iter().map(text).collect::<Vec<_>>().join(",");
                Ok(format!("{entries};{}", page.next.unwrap_or_else(|| "none".to_owned())))
            }
            "increment" => {
                let by = number(&self.value).transpose()?.unwrap_or(1);
                bucket.increment(&key, by, ttl).map(|sum| sum.to_string())
            }
            other => Err(Error::Value(format!("the operation {other}"))),
        }
    }

    /// Does it, as often as it says.
    pub(crate) fn run(&self, fill: impl Fn(&str) -> String) -> Kept {
        Kept { ended: (0..self.times).map(|_| self.once(&fill)).collect() }
    }
}

impl Kept {
    /// What the hook fails with where it has to succeed.
    pub(crate) fn failed(&self) -> Option<String> {
        self.ended.iter().find_map(|ended| ended.as_ref().err()).map(ToString::to_string)
    }

    /// Why the last one was not done.
    pub(crate) fn error(self) -> Option<Error> {
        self.ended.into_iter().last()?.err()
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.ended.extend(more.ended);
    }

    /// What the last one came to, or how many were `ok`.
    pub(crate) fn show(&self, part: &str) -> String {
        match (part, self.ended.last()) {
            ("ok", _) => self.ended.iter().filter(|ended| ended.is_ok()).count().to_string(),
            (_, None) => "nothing".to_owned(),
            (_, Some(Ok(text))) => text.clone(),
            (_, Some(Err(error))) => error.to_string(),
        }
    }
}
