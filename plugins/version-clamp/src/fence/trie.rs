//! Rules by path, segment by segment.

use std::borrow::Cow;

use super::rule::{Access, Part};

/// The rules of a fence. Looking up takes time with the number of segments, not with that of rules.
#[derive(Debug)]
pub(super) struct Trie {
    /// The first is the root.
    nodes: Vec<Node>,
}

/// Where a path stands after some of its segments.
#[derive(Debug, Default)]
struct Node {
    /// Sorted by segment.
    literals: Vec<(Box<[u8]>, usize)>,
    parameter: Option<usize>,
    /// Rules that end here.
    here: Vec<Access>,
    /// Rules for whatever follows.
    rest: Vec<Access>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    pub(super) fn insert(&mut self, template: &[Part], access: &Access) {
        let mut place = 0;
        for part in template {
            place = match part {
                Part::Literal(text) => self.literal(place, text),
                Part::Parameter => self.parameter(place),
                Part::Optional => {
                    self.end(place, access);
                    let empty = self.literal(place, &[]);
                    self.end(empty, access);
                    self.parameter(place)
                }
                Part::Rest => {
                    if let Some(node) = self.nodes.get_mut(place) {
                        node.rest.push(access.clone());
                    }
                    return;
                }
            };
        }
        self.end(place, access);
    }

    fn end(&mut self, place: usize, access: &Access) {
        if let Some(node) = self.nodes.get_mut(place) {
            node.here.push(access.clone());
        }
    }

    fn literal(&mut self, place: usize, text: &[u8]) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(place) else { return place };
        match node.find(text) {
            Ok(child) => child,
            Err(index) => {
                node.literals.insert(index, (text.into(), new));
                self.nodes.push(Node::default());
                new
            }
        }
    }

    fn parameter(&mut self, place: usize) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(place) else { return place };
        let child = *node.parameter.get_or_insert(new);
        if child == new {
            self.nodes.push(Node::default());
        }
        child
    }

    /// All rules whose path matches, the most literal first: of two paths the one that is literal where they part.
    pub(super) fn find(&self, segments: &[Cow<'_, [u8]>]) -> Vec<&Access> {
        let mut found = Vec::new();
        self.walk(0, segments, &mut found);
        found
    }

    /// Each node is entered at most once: only one path from the root leads to it.
    fn walk<'a>(&'a self, place: usize, segments: &[Cow<'_, [u8]>], found: &mut Vec<&'a Access>) {
        let Some(node) = self.nodes.get(place) else { return };
        let [segment, behind @ ..] = segments else {
            found.extend(&node.here);
            return;
        };
        if let Ok(child) = node.find(segment) {
            self.walk(child, behind, found);
        }
        if let Some(child) = node.parameter
            && !segment.is_empty()
        {
            self.walk(child, behind, found);
        }
        found.extend(&node.rest);
    }
}

impl Node {
    /// The child for a literal segment, or where it would be.
    fn find(&self, segment: &[u8]) -> Result<usize, usize> {
        let index = self.literals.binary_search_by(|(text, _)| (**text).cmp(segment))?;
        self.literals.get(index).map(|&(_, child)| child).ok_or(index)
    }
}
