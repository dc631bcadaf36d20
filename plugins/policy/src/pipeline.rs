//! The way of a flow: event types and policy checks in their order.

use tollgate_sdk::{MadeResponse, log};

use crate::{
    chain::{self, Exchange, Run, Trouble},
    checks::{self, Denied},
    document::{
        OnTrouble, Terms,
        hook::{EventType, Hook, Stage},
        reply::{self, Reply},
    },
    effects::{After, Before},
    identity::{Asker, Identity, Refusal},
    path,
    stages::Route,
    subscribe,
};

/// All that happens before the homeserver is asked; none if it is to be asked.
pub(crate) fn before(flow: &mut Before<'_, '_>) -> Option<MadeResponse> {
    if flow.context.visit.is_preflight() {
        return None;
    }
    redirect(flow).or_else(|| ask(flow).or_else(|| remember(flow)).map(Reply::into_response))
}

/// The answer where what hooks changed can't be put into the message.
fn failed(settled: Result<(), Trouble>, stage: Stage, terms: &Terms) -> Option<Reply> {
    let trouble = settled.err()?;
    log::warn!("changes of hooks not carried out: {trouble}");
    (terms.on_trouble == OnTrouble::Refuse).then(|| trouble.into_reply(stage))
}

fn ask(flow: &mut Before<'_, '_>) -> Option<Reply> {
    check_request(flow)
        .or_else(|| check_asker(flow, |hook| hook.event == EventType::BeforeAny))
        .or_else(|| run_before(flow, EventType::BeforeAny))
        .or_else(|| check_token(flow))
        .or_else(|| check_asker(flow, |hook| hook.event.stage() == Stage::Before && hook.event != EventType::BeforeAny))
        .or_else(|| {
            let types = types_before(flow);
            types.iter().find_map(|event| run_before(flow, *event))
        })
        .or_else(|| failed(flow.settle(), Stage::Before, flow.context.terms))
        .or_else(|| check_policy(flow))
}

/// To the path without empty and dot segments, which whoever is between this and the homeserver could take out: rules about
/// routes look at the path as it is. The method stays (RFC 9110, 15.4.9).
fn redirect(flow: &Before<'_, '_>) -> Option<MadeResponse> {
    if !subscribe::has_routes(&flow.context.terms.hooks) {
        return None;
    }
    let target = path::tidied(&flow.request.path_and_query())?;
    Some(reply::shared(MadeResponse::empty(308)).header("Location", target))
}

/// What no hook is asked about.
fn check_request(flow: &Before<'_, '_>) -> Option<Reply> {
    if let Some(refusal) = flow.context.visit.refusal() {
        return Some(refusal);
    }
    let is_refused = checks::api_version_refused(&String::from_utf8_lossy(&flow.context.visit.path));
    let denied = if is_refused { Some(Denied::VERSION) } else { Identity::refuses(flow.request) };
    denied.map(deny)
}

fn deny(Denied { status, errcode, message }: Denied) -> Reply {
    Reply::error(status, errcode, message)
}

/// All that happens once the homeserver has answered; none if its response, as it stands, is the answer.
pub(crate) fn after(mut flow: After<'_, '_, '_>) -> Option<MadeResponse> {
    if flow.context.visit.is_preflight() {
        return None;
    }
    let closed = flow.context.visit.refusal().or_else(|| check_asker_after(&mut flow));
    let failed = closed.or_else(|| run_after(&mut flow, EventType::AfterAny)).or_else(|| {
        let types = types_after(&mut flow);
        types.iter().find_map(|event| run_after(&mut flow, *event))
    });
    let failed = failed.or_else(|| self::failed(flow.settle(), Stage::After, flow.context.terms));
    failed.map(Reply::into_response).or_else(|| flow.into_made())
}

fn run_before(flow: &mut Before<'_, '_>, event: EventType) -> Option<Reply> {
    let terms = flow.context.terms;
    let hooks = flow.context.visit.hooks(terms, event);
    match chain::run(Stage::Before, hooks, terms.on_trouble, flow) {
        Run::Passed => None,
        Run::Answered(reply) | Run::Failed(reply) => Some(reply),
    }
}

/// The answer where a hook failed: then no later one runs.
fn run_after(flow: &mut After<'_, '_, '_>, event: EventType) -> Option<Reply> {
    let terms = flow.context.terms;
    let hooks = flow.context.visit.hooks(terms, event);
    match chain::run(Stage::After, hooks, terms.on_trouble, flow) {
        Run::Passed => None,
        Run::Answered(reply) | Run::Failed(reply) => Some(reply),
    }
}

/// On policy-checked routes somebody has to be known.
fn check_token(flow: &mut Before<'_, '_>) -> Option<Reply> {
    let Route::Checked(checked) = &flow.context.visit.route else { return None };
    let is_needed = checked.token_needed();
    match flow.context.visit.asker(flow.context.terms, flow.request) {
        Asker::Anonymous if is_needed => Some(Reply::error(401, "M_MISSING_TOKEN", "Missing access token")),
        Asker::Refused(refusal) => Some(refused(refusal)),
        asker => unclear(asker),
    }
}

/// Where one of these hooks depends on who asks, somebody of whom that can't be told is not taken for nobody: otherwise a request
/// about which the homeserver says nothing would go round hooks.
fn check_asker(flow: &mut Before<'_, '_>, is_meant: impl Fn(&Hook) -> bool) -> Option<Reply> {
    let hooks = flow.context.visit.matching(flow.context.terms);
    let is_needed = hooks.into_iter().any(|hook| is_meant(hook) && flow.context.visit.depends_on_asker(hook));
    if is_needed { unclear(flow.context.visit.asker(flow.context.terms, flow.request)) } else { None }
}

/// The same once the homeserver has answered, for flows whose request was not seen.
fn check_asker_after(flow: &mut After<'_, '_, '_>) -> Option<Reply> {
    let hooks = flow.context.visit.matching(flow.context.terms);
    let is_needed = hooks.into_iter().any(|hook| hook.event.stage() == Stage::After && flow.context.visit.depends_on_asker(hook));
    if is_needed { unclear(flow.context.visit.asker(flow.context.terms, flow.request)) } else { None }
}

/// The answer to somebody who is neither known nor nobody.
fn unclear(asker: &Asker) -> Option<Reply> {
    match asker {
        Asker::Anonymous | Asker::Known(_) => None,
        Asker::Refused(refusal) => (!refusal.is_of_nobody()).then(|| refused(refusal)),
        Asker::Illegal(denied) => Some(deny(*denied)),
        // Not M_UNKNOWN_TOKEN: clients would take themselves for logged out.
        Asker::Unanswered => Some(Reply::error(503, "M_UNKNOWN", "The homeserver does not tell whose access token this is")),
    }
}

/// As the homeserver would answer: clients look at `soft_logout`, and may have a refresh token.
fn refused(refusal: &Refusal) -> Reply {
    // A struct of strings always has a JSON.
    let body = serde_json::to_vec(refusal).unwrap_or_default();
    Reply { body, ..Reply::error(401, "M_UNKNOWN_TOKEN", "") }
}

fn check_policy(flow: &mut Before<'_, '_>) -> Option<Reply> {
    let Route::Checked(checked) = flow.context.visit.route.clone() else { return None };
    let asker = flow.user().map(str::to_owned);
    let managed = &flow.context.terms.managed;
    let body = if checked.needs_body() { flow.body() } else { &[] };
    checked.judge(managed, asker.as_deref(), body).err().map(deny)
}

/// Who asks is only resolved where a hook depends on it: that may take a call of the homeserver.
fn types_before(flow: &mut Before<'_, '_>) -> &'static [EventType] {
    let hooks = flow.context.visit.matching(flow.context.terms);
    if !hooks.iter().any(|hook| hook.event.stage() == Stage::Before && hook.event != EventType::BeforeAny) {
        return &[];
    }
    let is_known = flow.user().is_some();
    flow.context.visit.route.before(is_known)
}

fn types_after(flow: &mut After<'_, '_, '_>) -> &'static [EventType] {
    let hooks = flow.context.visit.matching(flow.context.terms);
    if !hooks.iter().any(|hook| hook.event.stage() == Stage::After && hook.event != EventType::AfterAny) {
        return &[];
    }
    let is_known = flow.user().is_some();
    flow.context.visit.route.after(is_known)
}

/// What after hooks need and what will be gone by then: who asked, should the homeserver forget the token, and what was sent. The
/// answer where that can't be told.
fn remember(flow: &mut Before<'_, '_>) -> Option<Reply> {
    let closed = check_asker(flow, |hook| hook.event.stage() == Stage::After);
    if closed.is_some() {
        return closed;
    }
    let terms = flow.context.terms;
    terms.identity.request(flow.request);
    let mut after = flow.context.visit.matching(terms);
    after.retain(|hook| hook.event.stage() == Stage::After);
    if after.iter().any(|hook| hook.needs_user()) {
        flow.context.visit.asker(terms, flow.request);
    }
    if after.iter().any(|hook| hook.deed.consults()) {
        flow.context.visit.request_body = Some(flow.take_body());
    }
    None
}
