//! Rules by path, segment by segment.
//!
//! Few large pieces of memory rather than many small ones: each flow starts from a copy of this memory, and pays for every
//! page that it touches.

use std::{borrow::Cow, collections::VecDeque, ops::Range};

use super::rule::{Access, Part, Rule};

/// The rules of a fence. Looking up takes time with the number of segments, not with that of rules.
#[derive(Debug, Default)]
pub(super) struct Trie {
    /// The first is the root.
    nodes: Box<[Node]>,
    /// Those of one node side by side and sorted by text.
    edges: Box<[Edge]>,
    /// The literals of all edges.
    text: Box<[u8]>,
    /// Those of one node side by side.
    rules: Box<[Access]>,
}

/// Where a path stands after some of its segments.
#[derive(Debug, Clone, Copy, Default)]
struct Node {
    literals: Span,
    parameter: Option<u32>,
    /// Rules that end here.
    here: Span,
    /// Rules for whatever follows.
    rest: Span,
}

/// From a node to another by a literal.
#[derive(Debug, Clone, Copy)]
struct Edge {
    text: Span,
    child: u32,
}

/// A range of one of the tables; half the size of one of `usize` where that has 64 bits, and `Copy`.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
}

/// The rules to build from: a path without optional parts each, sorted by path.
type Rows = [(Vec<Part>, Access)];

impl Trie {
    pub(super) fn new(rules: Vec<Rule>) -> Self {
        let mut rows: Vec<_> = rules.into_iter().flat_map(expand).collect();
        // Rules of one path keep their order.
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut nodes = vec![Node::default()];
        let mut edges = Vec::new();
        let mut text = Vec::new();
        let mut todo = VecDeque::from([(0, 0..rows.len(), 0)]);
        while let Some((place, range, depth)) = todo.pop_front() {
            let mut node = Node { literals: Span::from(edges.len()..edges.len()), ..Node::default() };
            for group in groups(&rows, range, depth) {
                let part = rows.get(group.start).and_then(|(template, _)| template.get(depth));
                let child = nodes.len();
                match part {
                    None => node.here = Span::from(group),
                    Some(Part::Rest) => node.rest = Span::from(group),
                    Some(Part::Literal(literal)) => {
                        let start = text.len();
                        text.extend_from_slice(literal);
                        edges.push(Edge { text: Span::from(start..text.len()), child: index(child) });
                        nodes.push(Node::default());
                        todo.push_back((child, group, depth + 1));
                    }
                    Some(Part::Parameter | Part::Optional) => {
                        node.parameter = Some(index(child));
                        nodes.push(Node::default());
                        todo.push_back((child, group, depth + 1));
                    }
                }
            }
            node.literals.end = index(edges.len());
            if let Some(slot) = nodes.get_mut(place) {
                *slot = node;
            }
        }
        let rules = rows.into_iter().map(|(_, access)| access).collect();
        Self { nodes: nodes.into(), edges: edges.into(), text: text.into(), rules }
    }

    /// All rules whose path matches, the most literal first: of two paths the one that is literal where they part.
    pub(super) fn find(&self, segments: &[Cow<'_, [u8]>]) -> Vec<Access> {
        let mut found = Vec::new();
        self.walk(0, segments, &mut found);
        found
    }

    /// Each node is entered at most once: only one path from the root leads to it.
    fn walk(&self, place: u32, segments: &[Cow<'_, [u8]>], found: &mut Vec<Access>) {
        let Some(node) = self.nodes.get(place as usize) else { return };
        let [segment, behind @ ..] = segments else {
            found.extend_from_slice(node.here.of(&self.rules));
            return;
        };
        let edges = node.literals.of(&self.edges);
        let found_at = edges.binary_search_by(|edge| edge.text.of(&self.text).cmp(segment));
        if let Some(edge) = found_at.ok().and_then(|index| edges.get(index)) {
            self.walk(edge.child, behind, found);
        }
        if let Some(child) = node.parameter
            && !segment.is_empty()
        {
            self.walk(child, behind, found);
        }
        found.extend_from_slice(node.rest.of(&self.rules));
    }
}

/// A rule with an optional last segment is three: without it, with an empty one, with any other.
fn expand(rule: Rule) -> Vec<(Vec<Part>, Access)> {
    let Rule { template, access } = rule;
    match template.split_last() {
        Some((Part::Optional, before)) => {
            let ends = [&[][..], &[Part::Literal([].into())], &[Part::Parameter]];
            ends.map(|end| ([before, end].concat(), access)).into()
        }
        _ => vec![(template, access)],
    }
}

/// Splits rows that agree up to a depth into runs that agree there too.
fn groups(rows: &Rows, range: Range<usize>, depth: usize) -> Vec<Range<usize>> {
    let of = |index: usize| rows.get(index).and_then(|(template, _)| template.get(depth));
    let mut groups: Vec<Range<usize>> = Vec::new();
    for index in range {
        match groups.last_mut() {
            Some(group) if of(group.start) == of(index) => group.end = index + 1,
            _ => groups.push(index..index + 1),
        }
    }
    groups
}

/// Options of four billion rules don't fit into memory.
fn index(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl Span {
    fn of<T>(self, table: &[T]) -> &[T] {
        table.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: index(range.start), end: index(range.end) }
    }
}
