//! What is in force: one chain a listener, swapped all at once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{generation::Generation, placeholder::Placeholder, settings::Settings};
use crate::hooks::{Addon, Chain};

/// Addons in force, by name.
pub(super) type Current = BTreeMap<Arc<str>, Arc<Generation>>;

/// The chains in force.
pub(super) struct Force {
    live: ArcSwap<Live>,
    // Held while the next `live` is put together.
    next: Mutex<Next>,
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
    /// Empty chains for all listeners.
    pub(super) fn new(settings: &Settings) -> Self {
        let next = Next::default();
        Self { live: ArcSwap::from_pointee(Live::new(settings, &next)), next: Mutex::new(next) }
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

impl Next {
    fn tell_missed(&mut self, settings: &Settings) {
        let Some(missed) = &mut self.missed else { return };
        let ordered = settings.listeners.iter().filter_map(|(listener, order)| Some((listener, order.as_ref()?)));
        let mut now = BTreeSet::new();
        for (listener, name) in ordered.flat_map(|(listener, order)| order.iter().map(move |name| (listener, name))) {
            if self.current.contains_key(name.as_str()) {
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
        let addon = |generation: &Arc<Generation>| -> Arc<dyn Addon> { Arc::<Generation>::clone(generation) };
        let all = Arc::new(Chain::new(next.number, next.current.values().map(addon).collect()));
        let chain = |order: &Vec<String>| {
            let in_force = |name: &String| next.current.get(name.as_str()).map(addon);
            let missing = |name: &String| -> Option<Arc<dyn Addon>> {
                Some(Arc::new(Placeholder::new(name, &settings.addon(name).policy)?))
            };
            let addons = order.iter().filter_map(|name| in_force(name).or_else(|| missing(name))).collect();
            Arc::new(Chain::new(next.number, addons))
        };
        let chains = settings
            .listeners
            .iter()
            .map(|(listener, order)| (listener.as_str().into(), order.as_ref().map_or_else(|| Arc::clone(&all), chain)));
        Self { chains: chains.collect(), all }
    }
}
