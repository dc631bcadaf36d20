//! Rules as filters of the core, so that a flow that no hook can match never comes here.

use std::collections::BTreeSet;

use tollgate_sdk::{Event, Subscription, log};

use crate::{
    checks::Checked,
    document::{
        action::Action,
        hook::{Hook, Stage},
        rules::{Rule, Subject},
    },
};

/// Regular expressions in one filter: the core grants all of a filter together a fixed size.
const MAX_ATOMS: usize = 64;
/// Characters of one filter; the core takes 65,536.
const MAX_CHARACTERS: usize = 60_000;
/// Filters for one event, with or without bodies; an addon has at most 256.
const MAX_FILTERS: usize = 32;
/// Rules of one hook in its filter; what is left out makes the filter wider.
const MAX_RULES: usize = 16;

/// Matches no preflight: those are the homeserver's.
const NO_PREFLIGHT: &str = "!~m \"(?-i:^OPTIONS$)\"";

/// Matches all paths with empty or dot segments.
const UNTIDY: &str = "~p \"//|/[.][.]?(?:/|$)\"";

/// A filter to be joined with others.
struct Part {
    text: String,
    atoms: usize,
}

/// The subscriptions that the hooks of a policy need.
///
/// Rules about users are left out of filters, since the core does not know users; hooks are matched again when they run.
pub(crate) fn of(hooks: &[Hook]) -> Vec<Subscription> {
    let is = |hook: &&Hook, stage: Stage| hook.event.stage() == stage;
    // A hook that lets pass does nothing, and what it skips is hooks with filters of their own.
    let acts = |hook: &&Hook| !matches!(hook.deed.action, Action::Pass);
    let before = |needs_body: bool| {
        hooks.iter().filter(move |hook| is(hook, Stage::Before) && acts(hook) && hook.deed.needs_body() == needs_body)
    };
    let after = |needs_body: bool| {
        hooks.iter().filter(move |hook| is(hook, Stage::After) && acts(hook) && hook.deed.needs_body() == needs_body)
    };
    let later = || hooks.iter().filter(|hook| is(hook, Stage::After));
    let told = later().filter(|hook| hook.deed.consults());
    // Who asked has to be known before the homeserver forgets the token, as when it is logged out.
    let resolved = later().filter(|hook| hook.needs_user() && !hook.deed.consults());
    let groups = [
        (Event::Request, true, parts(before(true).chain(told))),
        (Event::Request, false, parts(before(false).chain(resolved))),
        (Event::Response, true, parts(after(true))),
        (Event::Response, false, parts(after(false))),
        (Event::Finish, false, parts(hooks.iter().filter(|hook| hook.deed.consults()))),
    ];
    let tidying = has_routes(hooks).then(|| to(Event::Request, UNTIDY));
    groups.into_iter().flat_map(|(event, has_body, parts)| subscriptions(event, has_body, parts)).chain(tidying).collect()
}

/// Whether a rule looks at paths.
pub(crate) fn has_routes(hooks: &[Hook]) -> bool {
    hooks.iter().any(|hook| hook.rules.iter().any(|rule| rule.subject == Subject::Route))
}

/// A subscription with this filter, for all but preflights.
pub(crate) fn to(event: Event, filter: &str) -> Subscription {
    Subscription::to(event).filter(format!("{NO_PREFLIGHT} & ({filter})"))
}

fn parts<'h>(hooks: impl Iterator<Item = &'h Hook>) -> Vec<Part> {
    let mut seen = BTreeSet::new();
    hooks.map(part).filter(|part| seen.insert(part.text.clone())).collect()
}

fn part(hook: &Hook) -> Part {
    let mut atoms: Vec<String> = hook.rules.iter().filter_map(atom).take(MAX_RULES).collect();
    if hook.event.is_policy_checked() {
        let routes = Checked::filters().into_iter().map(|filter| filter.expression);
        atoms.push(format!("({})", routes.collect::<Vec<_>>().join(" | ")));
    }
    let text = if atoms.is_empty() { "~all".to_owned() } else { format!("({})", atoms.join(" & ")) };
    let atoms = text.matches('~').count();
    Part { text, atoms }
}

fn atom(rule: &Rule) -> Option<String> {
    let negation = if rule.is_inverted { "!" } else { "" };
    let source = rule.pattern.source();
    match rule.subject {
        // The core's `~m` ignores case, and rules don't.
        Subject::Method => Some(format!("{negation}~m {}", quoted(&format!("(?-i:{source})")))),
        Subject::Route => Some(format!("{negation}~p {}", quoted(source))),
        Subject::User => None,
    }
}

/// A word of the filter language.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn subscriptions(event: Event, has_body: bool, parts: Vec<Part>) -> Vec<Subscription> {
    let mut filters: Vec<Part> = Vec::new();
    let is_wide = parts.iter().any(|part| part.text == "~all");
    for part in parts {
        match filters.last_mut() {
            Some(filter)
                if filter.atoms.saturating_add(part.atoms) <= MAX_ATOMS
                    && filter.text.len().saturating_add(part.text.len()) < MAX_CHARACTERS =>
            {
                filter.text.push_str(" | ");
                filter.text.push_str(&part.text);
                filter.atoms = filter.atoms.saturating_add(part.atoms);
            }
            _ => filters.push(part),
        }
    }
    if filters.len() > MAX_FILTERS {
        log::warn!("there are too many rules for the filters of the proxy: the addon is called for each {event:?} and decides");
    }
    let filters = if is_wide || filters.len() > MAX_FILTERS { vec![Part { text: "~all".to_owned(), atoms: 1 }] } else { filters };
    let subscriptions = filters.into_iter().map(|filter| to(event, &filter.text));
    subscriptions.map(|subscription| if has_body { subscription.with_body() } else { subscription }).collect()
}
