//! What is in force: one chain a listener, swapped all at once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{generation::Generation, placeholder::Placeholder, seats::Seats, settings::Settings};
use crate::hooks::{Addon, Chain};

/// Addons in force, by name, and those that were but may not be any more.
#[derive(Default)]
pub(super) struct Current {
    in_force: BTreeMap<Arc<str>, Arc<Generation>>,
    // Also where no order names them, their failure policy stands in their place.
    withdrawn: BTreeSet<Arc<str>>,
}

/// The chains in force.
pub(super) struct Force {
    live: ArcSwap<Live>,
    // Held while the next `live` is put together.
    next: Mutex<Next>,
    seats: Arc<Seats>,
}

struct Live {
    chains: HashMap<Box<str>, Arc<Chain>>,
    // For a listener that the settings do not name.
    all: Arc<Chain>,
}

#[derive(Default)]
struct Next {
    number: u64,
    current: Current,
    // Names in an order that are not there and that the log told of; none before the start is over.
    missed: Option<BTreeSet<String>>,
}

impl Force {
    /// Empty chains for all listeners. Of these seats, addons have their part from when they are in force.
    pub(super) fn new(settings: &Settings, seats: Arc<Seats>) -> Self {
        let next = Next::default();
        Self { live: ArcSwap::from_pointee(Live::new(settings, &next)), next: Mutex::new(next), seats }
    }

    /// The chain of a listener: one load and one look-up.
    pub(super) fn chain(&self, listener: &str) -> Arc<Chain> {
        let live = self.live.load();
        Arc::clone(live.chains.get(listener).unwrap_or(&live.all))
    }

    /// Changes what is in force, tells the number of the change, and swaps all chains.
    pub(super) fn change(&self, settings: &Settings, change: impl FnOnce(u64, &mut Current)) -> u64 {
        let mut next = self.next.lock();
        next.number += 1;
        let number = next.number;
        change(number, &mut next.current);
        self.seats.divide(&next.seated(settings));
        self.live.store(Arc::new(Live::new(settings, &next)));
        next.tell_missed(settings);
        number
    }

    /// From now on the log tells once of each addon that an order names and that is not there.
    pub(super) fn started(&self, settings: &Settings) {
        let mut next = self.next.lock();
        next.missed.get_or_insert_default();
        next.tell_missed(settings);
    }
}

impl Current {
    /// Puts it in force.
    pub(super) fn insert(&mut self, name: &Arc<str>, generation: &Arc<Generation>) {
        self.withdrawn.remove(name);
        let before = self.in_force.insert(Arc::clone(name), Arc::clone(generation));
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, generation)) {
            before.end();
        }
        generation.begin();
    }

    /// It may not be in force any more, though its file is there.
    pub(super) fn withdraw(&mut self, name: &Arc<str>) {
        self.take_out(name);
        self.withdrawn.insert(Arc::clone(name));
    }

    /// Its file is gone.
    pub(super) fn remove(&mut self, name: &str) {
        self.withdrawn.remove(name);
        self.take_out(name);
    }

    fn take_out(&mut self, name: &str) {
        if let Some(before) = self.in_force.remove(name) {
            before.end();
        }
    }

    fn addon(&self, name: &str) -> Option<Arc<dyn Addon>> {
        self.in_force.get(name).map(|generation| Arc::<Generation>::clone(generation) as Arc<dyn Addon>)
    }
}

impl Next {
    /// Addons that a listener may call, and the most instances that each may have.
    fn seated(&self, settings: &Settings) -> Vec<(Arc<str>, u32)> {
        let is_called = |name: &str| {
            let calls = |order: &Option<Vec<String>>| order.as_ref().is_none_or(|order| order.iter().any(|known| known == name));
            settings.listeners.iter().any(|(_, order)| calls(order))
        };
        let called = self.current.in_force.iter().filter(|(name, _)| is_called(name));
        called.map(|(name, addon)| (Arc::clone(name), addon.limits().instances(u32::MAX))).collect()
    }

    fn tell_missed(&mut self, settings: &Settings) {
        let Some(missed) = &mut self.missed else { return };
        let ordered = settings.listeners.iter().filter_map(|(listener, order)| Some((listener, order.as_ref()?)));
        let mut now = BTreeSet::new();
        for (listener, name) in ordered.flat_map(|(listener, order)| order.iter().map(move |name| (listener, name))) {
            if self.current.in_force.contains_key(name.as_str()) {
                continue;
            }
            if !missed.contains(name) {
                let is_left_out = Placeholder::new(name, &settings.addon(name).policy).is_none();
                let flows = if is_left_out { "pass without it" } else { "are refused" };
                tracing::warn!(addon.name = name, listener, flows, "the listener's order names an addon that is not loaded");
            }
            now.insert(name.clone());
        }
        *missed = now;
    }
}

impl Live {
    fn new(settings: &Settings, next: &Next) -> Self {
        let Current { in_force, withdrawn } = &next.current;
        let missing =
            |name: &str| -> Option<Arc<dyn Addon>> { Some(Arc::new(Placeholder::new(name, &settings.addon(name).policy)?)) };
        let chain_of = |names: &mut dyn Iterator<Item = &str>| {
            let addons = names.filter_map(|name| next.current.addon(name).or_else(|| missing(name))).collect();
            Arc::new(Chain::new(next.number, addons))
        };
        let names: BTreeSet<&str> = in_force.keys().chain(withdrawn).map(|name| &**name).collect();
        let all = chain_of(&mut names.into_iter());
        let chain = |order: &Vec<String>| chain_of(&mut order.iter().map(String::as_str));
        let chains = settings
            .listeners
            .iter()
            .map(|(listener, order)| (listener.as_str().into(), order.as_ref().map_or_else(|| Arc::clone(&all), chain)));
        Self { chains: chains.collect(), all }
    }
}
