//! Which requests go through.

mod fences;
mod path;
mod refused;
mod rule;
mod table;
#[cfg(test)]
mod tests;
mod trie;

use tollgate_sdk::Query;

pub(crate) use fences::Fences;
pub(crate) use refused::Refused;
pub(crate) use rule::{Effect, Rule};

use crate::options::Table;
use rule::Access;
use trie::Trie;

/// Methods that an `Allow` field lists where a rule says `ANY`.
const COMMON_METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The rules, ready to be looked up.
#[derive(Debug)]
pub(crate) struct Fence {
    trie: Trie,
}

/// What the rules of one path say about a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It goes through with these query parameters, separated by commas.
    Open(&'static str),
    /// It is refused in its own way.
    Refused { status: u16, errcode: &'static str },
    /// No rule lets it through, or one of `deny` takes it out.
    Closed,
}

impl Fence {
    /// The rules of a table that the addon was built with.
    ///
    /// # Errors
    ///
    /// The line that can't be read.
    pub(crate) fn table(table: Table) -> Result<Vec<Rule>, &'static str> {
        match table {
            Table::Off => Ok(Vec::new()),
            Table::Matrix => table::parse(include_str!("../tables/matrix-v1.11.tsv")),
            Table::Tim => table::parse(include_str!("../tables/tim.tsv")),
            Table::TimOutbound => table::parse(include_str!("../tables/tim-outbound.tsv")),
        }
    }

    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        Self { trie: Trie::new(rules) }
    }

    /// Whether a rule of `deny` takes a request out, of whatever the table says nothing.
    fn denies(&self, method: &str, path_and_query: &str) -> bool {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let rules = path::segments(path).map(|segments| self.trie.find(&segments)).unwrap_or_default();
        rules.iter().any(|rule| rule.effect == Effect::Deny && rule.method.covers(method))
    }

    /// Whether a request goes through.
    ///
    /// Paths are compared decoded, segment by segment, so that no encoding leads past a rule; what can't be decoded, and dot
    /// segments, are outside of every table.
    ///
    /// # Errors
    ///
    /// How it is refused.
    pub(crate) fn check<'a>(&self, method: &'a str, path_and_query: &str) -> Result<(), Refused<'a>> {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let segments = path::segments(path).ok_or(Refused::Unknown)?;
        let rules = self.trie.find(&segments);
        match answer(&rules, method) {
            Answer::Open(required) => check_query(required, query),
            Answer::Refused { status, errcode } => Err(Refused::Denied { status, errcode }),
            Answer::Closed => {
                let allowed = allowed(&rules);
                if allowed.is_empty() {
                    Err(Refused::Unknown)
                } else if allowed.contains(&method) {
                    Ok(())
                } else {
                    Err(Refused::Method { method, allow: allowed.join(", ") })
                }
            }
        }
    }
}

/// `deny` goes before `allow`, that before the table; of the table what it refuses before what it lets through, and of that
/// the rule with the most literal path.
fn answer(rules: &[Access], method: &str) -> Answer {
    let mut answer = Answer::Closed;
    let mut is_allowed = false;
    for rule in rules.iter().filter(|rule| rule.method.covers(method)) {
        match rule.effect {
            Effect::Deny => return Answer::Closed,
            Effect::Allow => is_allowed = true,
            Effect::Refuse { status, errcode } => answer = Answer::Refused { status, errcode },
            Effect::Pass(required) if answer == Answer::Closed => answer = Answer::Open(required),
            Effect::Pass(_) => {}
        }
    }
    if is_allowed { Answer::Open("") } else { answer }
}

/// All methods that go through: none where the path is unknown. HEAD is among them where GET is, OPTIONS always (a browser
/// asks with it before it dares another one), unless `deny` names them.
fn allowed(rules: &[Access]) -> Vec<&'static str> {
    let named = rules.iter().filter_map(|rule| rule.method.name());
    let common = rules.iter().filter(|rule| rule.method.name().is_none()).flat_map(|_| COMMON_METHODS);
    let mut methods: Vec<&str> = named.chain(common).collect();
    methods.push("HEAD");
    methods.sort_unstable();
    methods.dedup();
    methods.retain(|method| *method != "OPTIONS" && matches!(answer(rules, method), Answer::Open(_)));
    let is_options_denied = rules.iter().any(|rule| rule.effect == Effect::Deny && rule.method.covers("OPTIONS"));
    if (!methods.is_empty() && !is_options_denied) || matches!(answer(rules, "OPTIONS"), Answer::Open(_)) {
        methods.push("OPTIONS");
    }
    methods
}

fn check_query(required: &'static str, query: &str) -> Result<(), Refused<'static>> {
    if required.is_empty() {
        return Ok(());
    }
    let query = Query::parse(query);
    let missing: Vec<_> = required.split(',').filter(|name| !query.contains(name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(Refused::Query(missing)) }
}
