//! Reading a bucket in the order of its keys.

use bytes::Bytes;

use super::{MAX_KEY, StoreError, check_bucket, shelf::Entry};

/// What is looked for. Legal: [`Scan::new`] checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    pub(super) bucket: Box<str>,
    pub(super) prefix: Box<str>,
    pub(super) after: Option<Box<str>>,
    pub(super) limit: usize,
}

/// Some entries, in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values.
    pub entries: Vec<(String, Bytes)>,
    /// Where the next page begins, if there may be one. This one can be empty nevertheless.
    pub next: Option<String>,
}

/// Most entries of a page.
const MAX_PAGE: usize = 1_000;
/// Bytes of keys and values after which a page ends; one entry is always shown.
pub(super) const PAGE_BYTES: usize = 1 << 20;
/// Entries that have expired, and that one page passes over at most.
pub(super) const PASSED_OVER: usize = 1_000;

impl Scan {
    /// Keys of a bucket that begin so, behind what the page before gave as its next, at most so many. All buckets and keys are as
    /// they are for single operations; the prefix may be empty.
    pub fn new(bucket: &str, prefix: &str, next: Option<&str>, limit: usize) -> Result<Self, StoreError> {
        check_bucket(bucket)?;
        if prefix.len() > MAX_KEY {
            return Err(StoreError::Invalid(format!("prefix of {} bytes, not 0 to {MAX_KEY}", prefix.len())));
        }
        if next.is_some_and(|next| next.is_empty() || next.len() > MAX_KEY || !next.starts_with(prefix)) {
            return Err(StoreError::Invalid("cursor: it is not of a scan with this prefix".to_owned()));
        }
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(StoreError::Invalid(format!("limit of {limit} entries, not 1 to {MAX_PAGE}")));
        }
        Ok(Self { bucket: bucket.into(), prefix: prefix.into(), after: next.map(Box::from), limit })
    }

    /// The first key that may be on the page, unless it is the last of the page before.
    pub(super) fn start(&self) -> &str {
        self.after.as_deref().unwrap_or(&self.prefix)
    }

    /// The page of these entries of the bucket, which come in the order of their keys from [`Self::start`] on.
    pub(super) fn page<E>(&self, entries: impl Iterator<Item = Result<(String, Entry), E>>, now: u64) -> Result<Page, E> {
        let mut page = Page::default();
        let (mut bytes, mut passed, mut last) = (0, 0, None);
        for entry in entries {
            let (key, entry) = entry?;
            if !key.starts_with(&*self.prefix) {
                return Ok(page);
            }
            if self.after.as_deref() == Some(&*key) {
                continue;
            }
            let cost = key.len() + entry.value.len();
            let is_full = page.entries.len() == self.limit || (!page.entries.is_empty() && bytes + cost > PAGE_BYTES);
            if is_full || passed == PASSED_OVER {
                page.next = last;
                return Ok(page);
            }
            last = Some(key.clone());
            if entry.is_over(now) {
                passed += 1;
            } else {
                bytes += cost;
                page.entries.push((key, entry.value));
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn entry(key: &str, bytes: usize, until: Option<u64>) -> (String, Entry) {
        (key.to_owned(), Entry { value: vec![0; bytes].into(), until })
    }

    fn paged(scan: &Scan, entries: impl IntoIterator<Item = (String, Entry)>, now: u64) -> Page {
        let Ok(page) = scan.page(entries.into_iter().map(Ok::<_, Infallible>), now);
        page
    }

    fn keys(page: &Page) -> Vec<&str> {
        page.entries.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[test]
    fn scans_keep_to_their_limits() {
        for (prefix, next, limit, is_legal) in [
            ("", None, 1, true),
            ("", None, 0, false),
            ("", None, 1_000, true),
            ("", None, 1_001, false),
            ("a", Some("ab"), 1, true),
            ("a", Some("b"), 1, false),
            ("", Some(""), 1, false),
        ] {
            assert_eq!(Scan::new("b", prefix, next, limit).is_ok(), is_legal, "{prefix:?} {next:?} {limit}");
        }
        assert!(
            Scan::new("b", &"k".repeat(1 << 10), None, 1).is_ok() && Scan::new("b", &"k".repeat((1 << 10) + 1), None, 1).is_err()
        );
        assert!(Scan::new("/", "", None, 1).is_err());
    }

    #[test]
    fn pages_end_at_their_bytes() {
        let scan = Scan::new("b", "", None, 10).expect("a scan");
        for (bytes, is_whole) in
            [(PAGE_BYTES - 4, true), (PAGE_BYTES - 3, true), (PAGE_BYTES - 2, false), (PAGE_BYTES * 2, false)]
        {
            let page = paged(&scan, [entry("a", bytes, None), entry("b", 1, None)], 0);
            assert_eq!(page.next.is_none(), is_whole, "{bytes}");
            assert_eq!(keys(&page), if is_whole { vec!["a", "b"] } else { vec!["a"] });
        }
    }

    #[test]
    fn pages_pass_over_some_that_have_expired() {
        let scan = Scan::new("b", "", None, 10).expect("a scan");
        let names: Vec<String> = (0..=PASSED_OVER).map(|number| format!("{number:05}")).collect();
        let all = |count: usize| names.iter().take(count).map(|name| entry(name, 1, Some(5)));
        let page = paged(&scan, all(PASSED_OVER).chain([entry("x", 1, None)]), 5);
        assert_eq!((keys(&page), page.next.as_deref()), (vec![], Some("00999")));
        let page = paged(&scan, all(PASSED_OVER - 1).chain([entry("x", 1, None)]), 5);
        assert_eq!((keys(&page), page.next.as_deref()), (vec!["x"], None));
        let page = paged(&scan, all(2), 4);
        assert_eq!(page.entries.len(), 2);
    }
}
