//! Hooks as the policy document has them.

use std::{collections::BTreeSet, time::Duration};

use serde_json::value::RawValue;

use super::{
    action::{self, Action, Deed, Then},
    fields::{Fields, Report, kind},
    rules::{self, Rule, Subject},
};

/// One hook of the policy.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) id: String,
    pub(crate) event: EventType,
    /// All of them have to match; none match everything.
    pub(crate) rules: Vec<Rule>,
    pub(crate) deed: Deed,
}

/// The points of a flow that hooks are for, in the order in which they are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EventType {
    BeforeAny,
    BeforeAuthenticated,
    BeforeAuthenticatedPolicyChecked,
    BeforeUnauthenticated,
    AfterAny,
    AfterAuthenticated,
    AfterAuthenticatedPolicyChecked,
    AfterUnauthenticated,
}

/// Whether the homeserver was asked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Hooks are about the request.
    Before,
    /// Hooks are about the homeserver's response.
    After,
}

const EVENT_TYPES: [(&str, EventType); 8] = [
    ("beforeAnyRequest", EventType::BeforeAny),
    ("beforeAuthenticatedRequest", EventType::BeforeAuthenticated),
    ("beforeAuthenticatedPolicyCheckedRequest", EventType::BeforeAuthenticatedPolicyChecked),
    ("beforeUnauthenticatedRequest", EventType::BeforeUnauthenticated),
    ("afterAnyRequest", EventType::AfterAny),
    ("afterAuthenticatedRequest", EventType::AfterAuthenticated),
    ("afterAuthenticatedPolicyCheckedRequest", EventType::AfterAuthenticatedPolicyChecked),
    ("afterUnauthenticatedRequest", EventType::AfterUnauthenticated),
];

impl EventType {
    /// By the name that documents use.
    fn named(name: &str) -> Option<Self> {
        EVENT_TYPES.iter().find(|(known, _)| *known == name).map(|(_, event)| *event)
    }

    pub(crate) const fn stage(self) -> Stage {
        match self {
            Self::BeforeAny
            | Self::BeforeAuthenticated
            | Self::BeforeAuthenticatedPolicyChecked
            | Self::BeforeUnauthenticated => Stage::Before,
            Self::AfterAny | Self::AfterAuthenticated | Self::AfterAuthenticatedPolicyChecked | Self::AfterUnauthenticated => {
                Stage::After
            }
        }
    }

    /// Whether it is for policy-checked routes alone.
    pub(crate) const fn is_policy_checked(self) -> bool {
        matches!(self, Self::BeforeAuthenticatedPolicyChecked | Self::AfterAuthenticatedPolicyChecked)
    }

    /// Whether it depends on who asks.
    const fn is_about_user(self) -> bool {
        !matches!(self, Self::BeforeAny | Self::AfterAny)
    }
}

impl Hook {
    /// Whether method and decoded path are what the hook is for; rules about users are left open.
    pub(crate) fn is_for(&self, method: &str, path: &[u8]) -> bool {
        self.rules.iter().all(|rule| match rule.subject {
            Subject::Method => rule.is_match(Some(method.as_bytes())),
            Subject::Route => rule.is_match(Some(path)),
            Subject::User => true,
        })
    }

    /// Whether the user is one that the hook is for. Without a user a plain rule does not match, and an inverted one does.
    pub(crate) fn is_for_user(&self, user: Option<&str>) -> bool {
        let mut rules = self.rules.iter().filter(|rule| rule.subject == Subject::User);
        rules.all(|rule| rule.is_match(user.map(str::as_bytes)))
    }

    pub(crate) fn has_user_rule(&self) -> bool {
        self.rules.iter().any(|rule| rule.subject == Subject::User)
    }

    /// Whether anything about it depends on who asks: its type, a rule, or what a service is told.
    pub(crate) fn needs_user(&self) -> bool {
        self.event.is_about_user() || self.has_user_rule() || self.deed.consults()
    }
}

/// The hooks of a policy; those that are wrong are reported and left out.
pub(super) fn read_all(value: &RawValue, report: &mut Report) -> Vec<Hook> {
    let Ok(values) = serde_json::from_str::<Option<Vec<&RawValue>>>(value.get()) else {
        report.errors.push("hooks", format!("must be a list of hooks, and is {}", kind(value)));
        return Vec::new();
    };
    let values = values.unwrap_or_default();
    let mut ids = BTreeSet::new();
    let mut hooks = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        let path = format!("hooks[{index}]");
        if value.get() == "null" {
            report.errors.push(path, "is null; a hook is an object");
            continue;
        }
        report.hook = id_of(value).unwrap_or_default();
        if !report.hook.is_empty() && !ids.insert(report.hook.clone()) {
            report.error(&format!("{path}.id"), "an earlier hook has the same id");
        }
        hooks.extend(Fields::read(path, value, report).and_then(read));
    }
    hooks
}

/// So that errors can name the hook.
fn id_of(value: &RawValue) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    serde_json::from_str::<Named>(value.get()).ok().map(|named| named.id)
}

fn read(mut fields: Fields<'_, '_>) -> Option<Hook> {
    let id = fields.needed_text("id");
    if id.as_deref() == Some("") {
        fields.error("id", "must not be empty");
    }
    let name = fields.needed_text("eventType");
    let event = name.as_deref().and_then(EventType::named);
    if let (Some(name), None) = (&name, event) {
        let known: Vec<_> = EVENT_TYPES.iter().map(|(name, _)| *name).collect();
        fields.error("eventType", format_args!("{name:?} is none of {}", known.join(", ")));
    }
    let rules = rules::read(&mut fields);
    // With a wrong type only part of what the action says can be checked.
    let stage = event.map(EventType::stage);
    let deed = action::read(fields, stage, 0)?;
    Some(Hook { id: id?, event: event?, rules, deed })
}

impl Deed {
    /// How long it may take if nobody answers.
    pub(crate) fn longest(&self) -> Duration {
        let Action::Consult(consultation) = &self.action else { return Duration::ZERO };
        let call = &consultation.call;
        let retries = u32::try_from(call.retries).unwrap_or(u32::MAX);
        let attempts = call.timeout.saturating_mul(retries.saturating_add(1)).saturating_add(call.wait.saturating_mul(retries));
        match &consultation.then {
            Then::Obey { contingency } => attempts.saturating_add(contingency.as_ref().map_or(Duration::ZERO, Self::longest)),
            Then::GoOn { result } => attempts.max(result.longest()),
        }
    }

    /// Whether a service may be asked, or told something.
    pub(crate) const fn consults(&self) -> bool {
        matches!(self.action, Action::Consult(_))
    }

    /// Whether the body of the message that the hook is about has to be seen.
    pub(crate) fn needs_body(&self) -> bool {
        match &self.action {
            Action::Modify(changes) => !changes.json.is_empty(),
            // The service is told the body, and may answer with changes of it.
            Action::Consult(_) => true,
            Action::Pass | Action::Answer(_) => false,
        }
    }
}
