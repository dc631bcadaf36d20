//! Tables of the file, and one addon's part of them.

use redb::{ReadableTable as _, StorageError, Table, TableDefinition, TableError, TableHandle as _, WriteTransaction};

use super::super::{
    Page, Place, Scan, StoreError, Usage,
    shelf::{Entry, Shelf},
};

/// Addon, bucket and key to the microsecond since 1970 at which it expires, 0 for never, and the value.
type Entries<'txn> = Table<'txn, (&'static str, &'static str, &'static str), (u64, &'static [u8])>;
/// Addon, microsecond, bucket and key of what expires.
type Expiries<'txn> = Table<'txn, (&'static str, u64, &'static str, &'static str), ()>;
/// Addon to bytes and keys.
type Usages<'txn> = Table<'txn, &'static str, (u64, u64)>;

const ENTRIES: TableDefinition<'_, (&str, &str, &str), (u64, &[u8])> = TableDefinition::new("entries");
const EXPIRIES: TableDefinition<'_, (&str, u64, &str, &str), ()> = TableDefinition::new("expiries");
const USAGES: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("usages");
/// What the file is: `version`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("tollgate");

/// Of how the tables are laid out.
const VERSION: u64 = 1;

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Fault {
    /// The operation is not legal, or too much.
    Refused(StoreError),
    /// The file is in trouble.
    File(StorageError),
}

/// All tables in one transaction.
pub(super) struct Tables<'txn> {
    entries: Entries<'txn>,
    expiries: Expiries<'txn>,
    usages: Usages<'txn>,
    /// Why nothing may be added.
    pub(super) full: Option<String>,
    /// What was done.
    pub(super) changes: Changes,
}

/// What a transaction did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Changes {
    /// Entries that were put or removed.
    pub(super) keys: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// Whether an addon has more than before.
    pub(super) has_added: bool,
}

/// What one addon has of them.
pub(super) struct Part<'a, 'txn> {
    tables: &'a mut Tables<'txn>,
    addon: &'a str,
    usage: Usage,
    is_changed: bool,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, StorageError> {
        Ok(Self {
            entries: transaction.open_table(ENTRIES).map_err(storage)?,
            expiries: transaction.open_table(EXPIRIES).map_err(storage)?,
            usages: transaction.open_table(USAGES).map_err(storage)?,
            full: None,
            changes: Changes::default(),
        })
    }

    /// What all addons have.
    pub(super) fn usages(&self) -> Result<Vec<(String, Usage)>, StorageError> {
        let mut usages = Vec::new();
        for row in self.usages.iter()? {
            let (addon, usage) = row?;
            usages.push((addon.value().to_owned(), usage_of(usage.value())));
        }
        Ok(usages)
    }

    pub(super) fn part<'a>(&'a mut self, addon: &'a str) -> Result<Part<'a, 'txn>, StorageError> {
        let usage = self.usages.get(addon)?.map(|usage| usage_of(usage.value())).unwrap_or_default();
        Ok(Part { tables: self, addon, usage, is_changed: false })
    }
}

/// Whether the file is one of this version: what is not, and why. A fresh one becomes one.
pub(super) fn claim(transaction: &WriteTransaction) -> Result<Result<(), String>, redb::Error> {
    let tables: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    if !tables.is_empty() && !tables.iter().any(|table| table == META.name()) {
        return Ok(Err("a database of something else".to_owned()));
    }
    let mut meta = transaction.open_table(META)?;
    let found = meta.get("version")?.map(|version| version.value());
    Ok(match found {
        Some(VERSION) => Ok(()),
        Some(other) => Err(format!("of layout {other}, where this version reads {VERSION}")),
        None => {
            meta.insert("version", VERSION)?;
            Ok(())
        }
    })
}

/// A table that is not as it was made is damage.
fn storage(error: TableError) -> StorageError {
    match error {
        TableError::Storage(error) => error,
        other => StorageError::Corrupted(other.to_string()),
    }
}

impl Part<'_, '_> {
    pub(super) fn scan(&self, scan: &Scan, now: u64) -> Result<Page, StorageError> {
        let rows = self.tables.entries.range((self.addon, &*scan.bucket, scan.start())..)?;
        let entries = rows.map_while(|row| match row {
            Ok((key, value)) => {
                let (addon, bucket, name) = key.value();
                (addon == self.addon && bucket == &*scan.bucket).then(|| Ok((name.to_owned(), entry_of(value.value()))))
            }
            Err(error) => Some(Err(error)),
        });
        scan.page(entries, now)
    }

    fn changed(&mut self, bytes: usize) {
        self.is_changed = true;
        self.tables.changes.keys += 1;
        self.tables.changes.bytes += bytes;
    }

    /// Writes down what the addon has now, if that has changed, and tells it.
    pub(super) fn settle(self) -> Result<Usage, StorageError> {
        let Usage { bytes, keys } = self.usage;
        if !self.is_changed {
            return Ok(self.usage);
        }
        if keys == 0 {
            self.tables.usages.remove(self.addon)?;
        } else {
            self.tables.usages.insert(self.addon, (bytes as u64, keys as u64))?;
        }
        Ok(self.usage)
    }
}

impl Shelf for Part<'_, '_> {
    type Error = Fault;

    fn find(&mut self, place: &Place) -> Result<Option<Entry>, Fault> {
        Ok(self.tables.entries.get((self.addon, &*place.bucket, &*place.key))?.map(|found| entry_of(found.value())))
    }

    fn put(&mut self, place: &Place, entry: Entry) -> Result<(), Fault> {
        let before = self.usage.bytes;
        self.remove(place)?;
        let cost = place.cost(entry.value.len());
        let until = entry.until.unwrap_or(0);
        self.tables.entries.insert((self.addon, &*place.bucket, &*place.key), (until, &*entry.value))?;
        if until != 0 {
            self.tables.expiries.insert((self.addon, until, &*place.bucket, &*place.key), ())?;
        }
        self.usage.bytes += cost;
        self.usage.keys += 1;
        self.changed(cost);
        self.tables.changes.has_added |= self.usage.bytes > before;
        Ok(())
    }

    fn remove(&mut self, place: &Place) -> Result<(), Fault> {
        let Some(old) = self.tables.entries.remove((self.addon, &*place.bucket, &*place.key))? else { return Ok(()) };
        let (until, value) = old.value();
        let cost = place.cost(value.len());
        drop(old);
        if until != 0 {
            self.tables.expiries.remove((self.addon, until, &*place.bucket, &*place.key))?;
        }
        self.usage.bytes = self.usage.bytes.saturating_sub(cost);
        self.usage.keys = self.usage.keys.saturating_sub(1);
        self.changed(cost);
        Ok(())
    }

    fn usage(&self) -> Usage {
        self.usage
    }

    fn expire_one(&mut self, now: u64) -> Result<bool, Fault> {
        let soonest = {
            let mut due = self.tables.expiries.range((self.addon, 0, "", "")..(self.addon, now.saturating_add(1), "", ""))?;
            let Some(soonest) = due.next() else { return Ok(false) };
            let (key, _) = soonest?;
            let (_, until, bucket, key) = key.value();
            (until, Place { bucket: bucket.into(), key: key.into() })
        };
        let (until, place) = soonest;
        self.remove(&place)?;
        // Also where, against all promises, there was no such entry: else it would be found for ever.
        self.tables.expiries.remove((self.addon, until, &*place.bucket, &*place.key))?;
        Ok(true)
    }

    fn is_full(&self) -> Result<(), Fault> {
        match &self.tables.full {
            Some(why) => Err(Fault::Refused(StoreError::Unavailable(why.clone()))),
            None => Ok(()),
        }
    }
}

fn entry_of((until, value): (u64, &[u8])) -> Entry {
    Entry { value: value.to_vec().into(), until: Some(until).filter(|until| *until != 0) }
}

fn usage_of((bytes, keys): (u64, u64)) -> Usage {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Usage { bytes: number(bytes), keys: number(keys) }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::File(error)
    }
}
