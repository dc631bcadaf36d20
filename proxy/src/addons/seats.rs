//! Instances that live at one time: how many, whose, and who waits for one.
//!
//! One half of all seats is divided evenly among the addons in force, and each part is its addon's own: nobody else sits there,
//! in use or not. The other half is for whoever comes first. So any number of addons that take all they can get leave every
//! other one its own part, and one that is alone has all.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::hooks::HookError;

/// All seats for instances of flows.
pub(super) struct Seats {
    all: u32,
    table: Mutex<Table>,
}

/// To be held by an instance of a flow while it lives.
pub(super) struct Seat {
    seats: Arc<Seats>,
    name: Arc<str>,
}

/// What of the seats an addon has or may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// Its own.
    pub(super) own: u32,
    /// Those that all addons share.
    pub(super) common: u32,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The addon has as many as its budget says.
    Addon(u32),
    /// Its own are taken, and so are those that all share.
    All(Share),
}

#[derive(Default)]
struct Table {
    rows: HashMap<Arc<str>, Row>,
    taken: u32,
    common: u32,
    // By all addons, beyond their own. More than there are, for a while, when what is an addon's own has become less.
    common_taken: u32,
    waiting: usize,
    last_ticket: u64,
}

#[derive(Default)]
struct Row {
    own: u32,
    taken: u32,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    ticket: u64,
    most: u32,
    give: oneshot::Sender<Seat>,
}

/// Leaves the queue when it is dropped.
struct Ticket<'a> {
    seats: &'a Seats,
    name: &'a Arc<str>,
    number: u64,
}

/// Most that wait for a seat of one addon: each holds the messages of its flow.
const MAX_WAITING: usize = 10_000;

impl Seats {
    /// So many seats, all of them shared.
    pub(super) fn new(all: u32) -> Arc<Self> {
        Arc::new(Self { all, table: Mutex::new(Table { common: all, ..Table::default() }) })
    }

    /// Divides the seats among the addons in force: name of each, and the most that it may have by its budget, which is no
    /// more of its own than that. With more addons than seats, all are shared.
    pub(super) fn divide(self: &Arc<Self>, addons: &[(Arc<str>, u32)]) {
        let count = u32::try_from(addons.len()).unwrap_or(u32::MAX);
        let each = if count == 0 || count > self.all { 0 } else { (self.all / 2 / count).max(1) };
        let mut table = self.table.lock();
        for row in table.rows.values_mut() {
            row.own = 0;
        }
        table.common = self.all;
        for (name, most) in addons {
            let own = each.min(*most);
            table.rows.entry(Arc::clone(name)).or_default().own = own;
            table.common -= own;
        }
        table.common_taken = table.rows.values().map(|row| row.taken.saturating_sub(row.own)).sum();
        table.rows.retain(|_, row| !row.is_empty());
        self.serve(table);
    }

    /// A seat for an instance of this addon, which may have `most`.
    pub(super) fn take(self: &Arc<Self>, name: &Arc<str>, most: u32) -> Result<Seat, Full> {
        self.table.lock().take(self.all, name, most)?;
        Ok(self.seat(name))
    }

    /// The same, waiting for it until `deadline`, as long as not too many wait. Those of one addon get theirs in the order in
    /// which they came.
    pub(super) async fn take_in_time(self: &Arc<Self>, name: &Arc<str>, most: u32, deadline: Instant) -> Result<Seat, Full> {
        let (full, ticket, given) = {
            let mut table = self.table.lock();
            let Err(full) = table.take(self.all, name, most) else {
                drop(table);
                return Ok(self.seat(name));
            };
            table.last_ticket += 1;
            let number = table.last_ticket;
            let row = table.rows.entry(Arc::clone(name)).or_default();
            if row.waiting.len() >= MAX_WAITING {
                return Err(full);
            }
            let (give, given) = oneshot::channel();
            row.waiting.push_back(Waiting { ticket: number, most, give });
            table.waiting += 1;
            (full, Ticket { seats: self, name, number }, given)
        };
        let seat = timeout_at(deadline, given).await;
        drop(ticket);
        seat.ok().and_then(Result::ok).ok_or(full)
    }

    /// What this addon has of them.
    pub(super) fn share(&self, name: &str) -> Share {
        let table = self.table.lock();
        Share { own: table.rows.get(name).map_or(0, |row| row.own), common: table.common }
    }

    fn seat(self: &Arc<Self>, name: &Arc<str>) -> Seat {
        Seat { seats: Arc::clone(self), name: Arc::clone(name) }
    }

    fn give_back(self: &Arc<Self>, name: &Arc<str>) {
        let mut table = self.table.lock();
        table.give_back(name);
        self.serve(table);
    }

    /// Gives what is free to those who wait for it.
    fn serve(self: &Arc<Self>, mut table: parking_lot::MutexGuard<'_, Table>) {
        let served = if table.waiting == 0 { Vec::new() } else { table.serve(self.all) };
        // A seat that nobody takes any more is given back, which takes the lock again.
        drop(table);
        for (name, give) in served {
            drop(give.send(self.seat(&name)));
        }
    }
}

impl Table {
    fn take(&mut self, all: u32, name: &Arc<str>, most: u32) -> Result<(), Full> {
        let row = self.rows.entry(Arc::clone(name)).or_default();
        let is_own = row.taken < row.own;
        if row.taken >= most {
            return Err(Full::Addon(most));
        }
        if self.taken >= all || (!is_own && self.common_taken >= self.common) {
            return Err(Full::All(Share { own: row.own, common: self.common }));
        }
        row.taken += 1;
        self.taken += 1;
        self.common_taken += u32::from(!is_own);
        Ok(())
    }

    fn give_back(&mut self, name: &Arc<str>) {
        let Some(row) = self.rows.get_mut(name) else { return };
        row.taken -= 1;
        self.taken -= 1;
        self.common_taken -= u32::from(row.taken >= row.own);
        if row.is_empty() {
            self.rows.remove(name);
        }
    }

    /// Takes seats for those who wait, the addon that has the fewest first.
    fn serve(&mut self, all: u32) -> Vec<(Arc<str>, oneshot::Sender<Seat>)> {
        let waits = |(name, row): (&Arc<str>, &Row)| (!row.waiting.is_empty()).then(|| (row.taken, Arc::clone(name)));
        let mut names: Vec<_> = self.rows.iter().filter_map(waits).collect();
        names.sort_unstable();
        let mut served = Vec::new();
        for (_, name) in names {
            while let Some(most) = self.rows.get(&name).and_then(|row| row.waiting.front()).map(|first| first.most)
                && self.take(all, &name, most).is_ok()
                && let Some(first) = self.rows.get_mut(&name).and_then(|row| row.waiting.pop_front())
            {
                self.waiting -= 1;
                served.push((Arc::clone(&name), first.give));
            }
        }
        served
    }
}

impl Row {
    fn is_empty(&self) -> bool {
        self.own == 0 && self.taken == 0 && self.waiting.is_empty()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.give_back(&self.name);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut table = self.seats.table.lock();
        let Some(row) = table.rows.get_mut(self.name) else { return };
        let Some(place) = row.waiting.iter().position(|waiting| waiting.ticket == self.number) else { return };
        row.waiting.remove(place);
        let is_empty = row.is_empty();
        table.waiting -= 1;
        if is_empty {
            table.rows.remove(self.name);
        }
    }
}

impl From<Full> for HookError {
    fn from(full: Full) -> Self {
        match full {
            Full::Addon(most) => Self::NoRoom(most),
            Full::All(Share { own, common }) => Self::NoSeat { own, common },
        }
    }
}
