//! Compiled filters.

use std::sync::Arc;

use super::{
    Answer, FilterError,
    pattern::Pattern,
    set::Found,
    syntax::{Argument, Atom, Expression},
    text::{Part, Texts},
};

/// A filter or a part of one. Constants only stand alone, never inside.
#[derive(Clone)]
pub(super) enum Node {
    /// Every flow or none.
    Constant(bool),
    Not(Box<Self>),
    /// Cheap ones first.
    All(Box<[Self]>),
    /// Cheap ones first.
    Any(Box<[Self]>),
    HasResponse,
    HasError,
    IsWebsocket,
    IsAsset,
    Status(u16),
    Listener(Box<str>),
    Matches(Search),
}

/// A pattern searched for in a text.
#[derive(Clone)]
pub(super) struct Search {
    pub(super) part: Part,
    pub(super) pattern: Arc<Pattern>,
    /// Where a set that searches for it together with others finds the result.
    pub(super) member: Option<Member>,
}

/// One pattern of those that a set searches for together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// Which of the set's searches.
    pub(super) search: usize,
    /// Which of its patterns.
    pub(super) pattern: usize,
}

impl Node {
    pub(super) fn compile(expression: Expression) -> Result<Self, FilterError> {
        let count = count_patterns(&expression);
        Self::build(expression, count)
    }

    /// What the flow's texts say; `found` is what the set found that this node is part of.
    pub(super) fn evaluate(&self, texts: &Texts<'_>, found: Option<&Found<'_>>) -> Answer {
        let view = texts.view();
        match self {
            Self::Constant(answer) => Answer::from_bool(*answer),
            Self::Not(node) => node.evaluate(texts, found).not(),
            Self::All(nodes) => decide(nodes, Answer::No, texts, found),
            Self::Any(nodes) => decide(nodes, Answer::Yes, texts, found),
            Self::HasResponse => Answer::from_bool(view.response.is_some()),
            Self::HasError => Answer::from_bool(view.has_error),
            Self::IsWebsocket => Answer::from_bool(view.is_websocket),
            Self::IsAsset => Answer::from_bool(texts.is_asset()),
            Self::Status(status) => Answer::from_bool(view.response.is_some_and(|response| response.status.as_u16() == *status)),
            Self::Listener(name) => Answer::from_bool(view.listener == &**name),
            Self::Matches(search) => found
                .zip(search.member)
                .and_then(|(found, member)| found.look_up(member, texts))
                .map_or_else(|| texts.search(search.part, &search.pattern), Answer::from_bool),
        }
    }

    /// What can be said before there is a response: whatever looks at one, at a body or at how the flow ends is open.
    pub(super) fn foresee(&self, texts: &Texts<'_>) -> Answer {
        let all = |nodes: &[Self], settled: Answer| {
            let answers = nodes.iter().map(|node| node.foresee(texts));
            answers.fold(settled.not(), |sum, answer| match (sum, answer) {
                (sum, answer) if sum == settled || answer == settled => settled,
                (Answer::Unknown, _) | (_, Answer::Unknown) => Answer::Unknown,
                (sum, _) => sum,
            })
        };
        match self {
            Self::Not(node) => node.foresee(texts).not(),
            Self::All(nodes) => all(nodes, Answer::No),
            Self::Any(nodes) => all(nodes, Answer::Yes),
            Self::HasResponse | Self::HasError | Self::IsWebsocket | Self::IsAsset | Self::Status(_) => Answer::Unknown,
            Self::Matches(search) if search.part.is_open_at_first() => Answer::Unknown,
            Self::Matches(search) => texts.search(search.part, &search.pattern),
            Self::Constant(_) | Self::Listener(_) => self.evaluate(texts, None),
        }
    }

    /// Whether the answer can depend on this part.
    pub(super) fn looks_at(&self, part: Part) -> bool {
        match self {
            Self::Not(node) => node.looks_at(part),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().any(|node| node.looks_at(part)),
            Self::Matches(search) => search.part == part,
            Self::IsAsset => part == Part::ResponseType,
            _ => false,
        }
    }

    /// Shows all searches.
    pub(super) fn visit(&mut self, see: &mut impl FnMut(&mut Search)) {
        match self {
            Self::Not(node) => node.visit(see),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter_mut().for_each(|node| node.visit(see)),
            Self::Matches(search) => see(search),
            _ => {}
        }
    }

    /// Puts cheap nodes first again, after `visit` changed what they cost. The order changes no answer: evaluating has no
    /// effects.
    pub(super) fn sort(&mut self) {
        match self {
            Self::Not(node) => node.sort(),
            Self::All(nodes) | Self::Any(nodes) => {
                nodes.iter_mut().for_each(Self::sort);
                nodes.sort_by_cached_key(Self::cost);
            }
            _ => {}
        }
    }

    fn build(expression: Expression, count: usize) -> Result<Self, FilterError> {
        let build_all = |expressions: Vec<Expression>| -> Result<Vec<Self>, FilterError> {
            expressions.into_iter().map(|expression| Self::build(expression, count)).collect()
        };
        Ok(match expression {
            Expression::All(expressions) => Self::join(build_all(expressions)?, true),
            Expression::Any(expressions) => Self::join(build_all(expressions)?, false),
            Expression::Not(expression) => match Self::build(*expression, count)? {
                Self::Constant(answer) => Self::Constant(!answer),
                node => Self::Not(Box::new(node)),
            },
            Expression::Atom(Atom::Plain(name)) => Self::build_plain(name),
            Expression::Atom(Atom::Status(status)) => Self::Status(status),
            Expression::Atom(Atom::Listener(name)) => Self::Listener(name.into()),
            Expression::Atom(Atom::Regex(name, argument)) => Self::build_regex(name, &argument, count)?,
        })
    }

    fn build_plain(name: &str) -> Self {
        match name {
            "all" | "http" => Self::Constant(true),
            "a" => Self::IsAsset,
            "e" => Self::HasError,
            "q" => Self::Not(Box::new(Self::HasResponse)),
            "s" => Self::HasResponse,
            "websocket" => Self::IsWebsocket,
            _ => Self::Constant(false),
        }
    }

    fn build_regex(name: &str, argument: &Argument, count: usize) -> Result<Self, FilterError> {
        let parts: &[Part] = match name {
            "b" => &[Part::RequestBody, Part::ResponseBody],
            "bq" => &[Part::RequestBody],
            "bs" => &[Part::ResponseBody],
            "d" => &[Part::Host, Part::UpstreamHost],
            "dst" => &[Part::Upstream],
            "h" => &[Part::RequestFields, Part::ResponseFields],
            "hq" => &[Part::RequestFields],
            "hs" => &[Part::ResponseFields],
            "m" => &[Part::Method],
            "p" => &[Part::Path],
            "src" => &[Part::Peer],
            "t" => &[Part::RequestType, Part::ResponseType],
            "tq" => &[Part::RequestType],
            "ts" => &[Part::ResponseType],
            "u" => &[Part::Url, Part::UpstreamUrl],
            // Nothing to look at, but a mistake is a mistake.
            _ => &[],
        };
        // The parts of one atom are read alike.
        let reading = parts.first().map(|part| part.reading()).unwrap_or_default();
        let pattern = Pattern::compile(&argument.text, reading, count)
            .map_err(|reason| FilterError::new(argument.position, format!("~{name}: {reason}")))?;
        let pattern = Arc::new(pattern);
        let search = |&part: &Part| {
            if pattern.is_always() && part.is_always_there() {
                return Self::Constant(true);
            }
            Self::Matches(Search { part, pattern: Arc::clone(&pattern), member: None })
        };
        Ok(Self::join(parts.iter().map(search).collect(), false))
    }

    /// All of them if `is_all`, else any of them.
    fn join(nodes: Vec<Self>, is_all: bool) -> Self {
        let mut joined = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node {
                Self::Constant(answer) if answer == is_all => {}
                Self::Constant(answer) => return Self::Constant(answer),
                Self::All(inner) if is_all => joined.extend(inner),
                Self::Any(inner) if !is_all => joined.extend(inner),
                node => joined.push(node),
            }
        }
        if joined.len() < 2 {
            return joined.pop().unwrap_or(Self::Constant(is_all));
        }
        joined.sort_by_cached_key(Self::cost);
        if is_all { Self::All(joined.into()) } else { Self::Any(joined.into()) }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Not(node) => node.cost(),
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().map(Self::cost).sum(),
            // Looked up, once the set has searched.
            Self::Matches(Search { member: Some(_), .. }) => 1,
            Self::Matches(search) => search.part.cost() + if search.pattern.is_regex() { 20 } else { 0 },
            Self::IsAsset => Part::ResponseType.cost(),
            _ => 1,
        }
    }
}

/// The answer that settles it if one of the nodes has it, else `Unknown` if one has that, else the opposite (Kleene).
fn decide(nodes: &[Node], settled: Answer, texts: &Texts<'_>, found: Option<&Found<'_>>) -> Answer {
    let mut answer = settled.not();
    for node in nodes {
        match node.evaluate(texts, found) {
            Answer::Unknown => answer = Answer::Unknown,
            other if other == settled => return settled,
            _ => {}
        }
    }
    answer
}

fn count_patterns(expression: &Expression) -> usize {
    match expression {
        Expression::All(expressions) | Expression::Any(expressions) => expressions.iter().map(count_patterns).sum(),
        Expression::Not(expression) => count_patterns(expression),
        Expression::Atom(atom) => usize::from(matches!(atom, Atom::Regex(..))),
    }
}
