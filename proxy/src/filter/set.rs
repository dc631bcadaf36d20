//! Many filters, one flow.

use std::{cell::OnceCell, collections::HashMap};

use regex::bytes::{RegexSet, SetMatches};

use super::{
    Answer, Filter, Seen, View,
    node::{Node, Search},
    pattern::combine,
    text::{Part, Texts},
};

/// Many filters evaluated together, so that a flow that matches none costs little.
///
/// Texts are made once for all filters. Where enough filters search one text, they do so in one go: the first to ask pays
/// for all, and if none of their patterns is there, that is all that is ever paid.
#[derive(Default)]
pub struct FilterSet {
    filters: Vec<Node>,
    searches: Vec<(Part, RegexSet)>,
}

/// What the searches of a set found for one flow, as far as they ran.
pub struct Found<'a> {
    searches: &'a [(Part, RegexSet)],
    /// `None` inside: no pattern was found.
    matches: [OnceCell<Option<SetMatches>>; Part::SHORT.len()],
}

/// Regular expressions on one text from which on they are searched for together.
const MIN_REGEXES: usize = 4;
/// Patterns on one text, plain texts included, from which on they are searched for together.
const MIN_PATTERNS: usize = 8;

impl FilterSet {
    /// A set of these, whose indices count from 0 in this order.
    pub fn new<'a>(filters: impl IntoIterator<Item = &'a Filter>) -> Self {
        let mut filters: Vec<Node> = filters.into_iter().map(|filter| Node::clone(&filter.root)).collect();
        let mut searches = Vec::new();
        for part in Part::SHORT {
            let mut sources = Vec::new();
            let mut places = HashMap::new();
            let mut regexes = 0;
            each_scan(&mut filters, part, |search| {
                let source = search.pattern.source();
                if !places.contains_key(source) {
                    regexes += usize::from(search.pattern.is_regex());
                    places.insert(source.to_owned(), sources.len());
                    sources.push(source.to_owned());
                }
            });
            if regexes < MIN_REGEXES && sources.len() < MIN_PATTERNS {
                continue;
            }
            // Too much for one automaton: each filter then searches on its own.
            let Some(regexes) = combine(&sources, part.reading()) else { continue };
            each_scan(&mut filters, part, |search| search.member = places.get(search.pattern.source()).copied());
            searches.push((part, regexes));
        }
        Self { filters, searches }
    }

    /// Calls `hit` with index and answer of each filter that matches or may match, in order: `Yes` and `Unknown` only.
    pub fn evaluate(&self, view: &View<'_>, mut hit: impl FnMut(usize, Answer)) {
        let texts = Texts::new(view);
        let found = (!self.searches.is_empty()).then(|| Found::new(&self.searches));
        for (index, filter) in self.filters.iter().enumerate() {
            match filter.evaluate(&texts, found.as_ref()) {
                Answer::No => {}
                answer => hit(index, answer),
            }
        }
    }
}

impl<'a> Found<'a> {
    fn new(searches: &'a [(Part, RegexSet)]) -> Self {
        Self { searches, matches: [const { OnceCell::new() }; Part::SHORT.len()] }
    }

    /// Whether the set found this pattern; `None` if the set does not search for it.
    pub fn look_up(&self, search: &Search, texts: &Texts<'_>) -> Option<bool> {
        let member = search.member?;
        let place = self.searches.iter().position(|(part, _)| *part == search.part)?;
        let (part, regexes) = self.searches.get(place)?;
        let matches = self.matches.get(place)?.get_or_init(|| match texts.text(*part) {
            // Only listing what matches needs memory.
            Seen::Bytes(text) if regexes.is_match(text) => Some(regexes.matches(text)),
            _ => None,
        });
        Some(matches.as_ref().is_some_and(|matches| member < matches.len() && matches.matched(member)))
    }
}

impl std::fmt::Debug for FilterSet {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "FilterSet({})", self.filters.len())
    }
}

fn each_scan(filters: &mut [Node], part: Part, mut see: impl FnMut(&mut Search)) {
    for filter in filters {
        filter.visit(&mut |search| {
            if search.part == part && search.pattern.is_scan() {
                see(search);
            }
        });
    }
}
