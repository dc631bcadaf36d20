//! What was said before the server started: the same each time.

use std::time::{Duration, SystemTime};

use crate::{people::Person, status::Status};

/// The id of the oldest entry; each next one has the next.
pub(crate) const FIRST: u64 = 101;

/// 2026-01-15T08:00:00Z. An entry every seven minutes.
const START: Duration = Duration::from_hours(491_240);
const PACE: Duration = Duration::from_mins(7);

enum Entry {
    Said(&'static str, &'static str),
    /// The boost of the entry with this id.
    Boosted(&'static str, u64),
}

use Entry::{Boosted, Said};

/// Oldest first.
const ENTRIES: [Entry; 32] = [
    Said("tove", "The first ferry of the year is late."),
    Said("ida", "Porridge, and snow to the window sill."),
    Said("runa", "Found the map that I thought the goat had eaten. #maps"),
    Said("mio", "Who has a spare bicycle bell?"),
    Boosted("ida", 101),
    Said("aron", "New strings on the old guitar. #music"),
    Said("tove", "Tea or coffee?"),
    Boosted("mio", 103),
    Said("ida", "Tea."),
    Said("runa", "The path to the upper hut is open again. #hills"),
    Boosted("tove", 106),
    Said("aron", "Learned the hard part of that tune by accident. #music"),
    Said("mio", "The bell is found. It was on the bicycle."),
    Boosted("aron", 107),
    Said("tove", "Somebody knitted a scarf for the bollard."),
    Said("ida", "The harbour is frozen. #harbour"),
    Boosted("runa", 116),
    Said("aron", "Bread is in the oven."),
    Boosted("mio", 116),
    Said("runa", "Drew the coast line once more, this time the right way round. #maps"),
    Said("mio", "The library lends kites now."),
    Boosted("aron", 115),
    Boosted("ida", 110),
    Said("tove", "Ice skates are allowed on the ferry. #harbour"),
    Said("ida", "Who baked? It smells as far as the pier."),
    Boosted("runa", 118),
    Boosted("tove", 118),
    Said("aron", "There is none left. Sorry. #bread"),
    Boosted("mio", 120),
    Said("mio", "First flight: eleven seconds, one tree."),
    Boosted("aron", 101),
    Said("ida", "Good night, harbour. #harbour"),
];

pub(crate) fn statuses() -> impl Iterator<Item = Status> {
    (FIRST..).zip(&ENTRIES).zip(0_u32..).filter_map(|((id, entry), at)| {
        let created = SystemTime::UNIX_EPOCH + START + PACE * at;
        let (name, text, boosts) = match *entry {
            Said(name, text) => (name, text, None),
            Boosted(name, original) => (name, "", Some(original)),
        };
        Some(Status { id, author: Person::named(name)?, created, edited: None, text: text.to_owned(), boosts })
    })
}
