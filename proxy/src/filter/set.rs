//! Many filters, one flow.

use std::{cell::OnceCell, collections::HashMap};

use regex::bytes::{RegexSet, SetMatches};

use super::{
    Answer, Filter, Seen,
    node::{Member, Node, Search},
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
pub(super) struct Found<'a> {
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
            let search_index = searches.len();
            each_scan(&mut filters, part, |search| {
                let pattern = places.get(search.pattern.source()).copied();
                search.member = pattern.map(|pattern| Member { search: search_index, pattern });
            });
            searches.push((part, regexes));
        }
        filters.iter_mut().for_each(Node::sort);
        Self { filters, searches }
    }

    /// Calls `hit` with index and answer of each filter that matches or may match, in order: `Yes` and `Unknown` only.
    pub fn evaluate(&self, texts: &Texts<'_>, mut hit: impl FnMut(usize, Answer)) {
        let found = (!self.searches.is_empty()).then(|| Found::new(&self.searches));
        for (index, filter) in self.filters.iter().enumerate() {
            match filter.evaluate(texts, found.as_ref()) {
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

    /// Whether the set found this pattern; searches if it did not yet. `None` if the member is not of this set.
    pub(super) fn look_up(&self, member: Member, texts: &Texts<'_>) -> Option<bool> {
        let (part, regexes) = self.searches.get(member.search)?;
        let matches = self.matches.get(member.search)?.get_or_init(|| match texts.text(*part) {
            // Only listing what matches needs memory.
            Seen::Bytes(text) if regexes.is_match(text) => Some(regexes.matches(text)),
            _ => None,
        });
        Some(matches.as_ref().is_some_and(|matches| member.pattern < matches.len() && matches.matched(member.pattern)))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn count_searches(count: usize, filter: impl Fn(usize) -> String) -> usize {
        let filters: Vec<Filter> = (0..count).map(|index| Filter::parse(&filter(index)).unwrap()).collect();
        FilterSet::new(&filters).searches.len()
    }

    #[test]
    fn four_regexes_are_searched_for_together() {
        assert_eq!(count_searches(3, |index| format!("~u a+{index}")), 0);
        assert_eq!(count_searches(4, |index| format!("~p a+{index}")), 1);
        // In the URL asked for, and in the upstream's.
        assert_eq!(count_searches(4, |index| format!("~u a+{index}")), 2);
        assert_eq!(count_searches(4, |index| format!("~u a+{index} ~p b+{index}")), 3);
    }

    #[test]
    fn eight_words_are_searched_for_together() {
        assert_eq!(count_searches(7, |index| format!("~u a{index}")), 0);
        assert_eq!(count_searches(8, |index| format!("~u a{index}")), 2);
    }

    #[test]
    fn comparisons_and_long_texts_stay_apart() {
        assert_eq!(count_searches(20, |index| format!("~p ^/a{index}$ | ~b a+{index} | ~hq a+{index}")), 0);
    }

    #[test]
    fn repeated_patterns_count_once() {
        assert_eq!(count_searches(20, |_| "~u a+".to_owned()), 0);
    }

    #[test]
    fn too_large_an_automaton_is_not_built() {
        assert_eq!(count_searches(60, |index| format!("~u [a-z]{{{}}}x", 20_000 + index)), 0);
    }
}
