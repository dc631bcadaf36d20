//! Which table is for which listener.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

use super::Table;

/// One table for every listener, as `"tim"`, or one for each that is named, as `{"inbound": "tim"}`: those that are not have no
/// fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tables {
    /// The table of all of them.
    Everywhere(Table),
    /// By listener.
    Each(BTreeMap<String, Table>),
}

impl Tables {
    /// Every table that is named.
    pub(super) fn all(&self) -> impl Iterator<Item = Table> {
        let (one, each) = match self {
            Self::Everywhere(table) => (Some(*table), None),
            Self::Each(tables) => (None, Some(tables.values().copied())),
        };
        one.into_iter().chain(each.into_iter().flatten())
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::Everywhere(Table::default())
    }
}

impl<'de> Deserialize<'de> for Tables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tables;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the name of a table, or an object with one for each listener")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Tables, E> {
        Table::deserialize(de::value::StrDeserializer::new(name)).map(Tables::Everywhere)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tables, A::Error> {
        BTreeMap::deserialize(de::value::MapAccessDeserializer::new(map)).map(Tables::Each)
    }
}
