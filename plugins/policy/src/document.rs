//! The policy document.

pub(crate) mod action;
pub(crate) mod fields;
pub(crate) mod hook;
pub(crate) mod pattern;
pub(crate) mod reply;
pub(crate) mod rules;

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, value::RawValue};
use tollgate_sdk::{OptionErrors, log};

use crate::{identity::Identity, managed::Managed};
use fields::{Members, Report};
use hook::Hook;

/// The document as it was written: values keep their digits and the order of their keys.
#[derive(Debug)]
pub struct Document(Vec<(String, Box<RawValue>)>);

/// The document as it was checked.
#[derive(Debug)]
pub(crate) struct Terms {
    /// In the order of the document.
    pub(crate) hooks: Vec<Hook>,
    pub(crate) managed: Managed,
    pub(crate) identity: Identity,
    /// How long services are waited for in one stage of a flow, all hooks together.
    pub(crate) consultation_limit: Duration,
    pub(crate) on_trouble: OnTrouble,
}

/// What becomes of a message that a hook can't be applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnTrouble {
    /// The client is answered an error.
    Refuse,
    /// It goes on as if the hook had not matched.
    Pass,
}

/// Within a hook's default `wall` of a minute, so that contingency hooks still have their time.
const DEFAULT_CONSULTATION_LIMIT: u64 = 50_000;
const CONSULTATION_LIMITS: RangeInclusive<u64> = 1..=3_600_000;

impl Document {
    /// What the document says, or all that is wrong with it.
    ///
    /// # Errors
    ///
    /// With hook, field and reason.
    pub(crate) fn check(self) -> Result<Terms, OptionErrors> {
        let mut report = Report::default();
        let mut hooks = Vec::new();
        let mut rest = Map::new();
        for (name, value) in &self.0 {
            if name == "hooks" {
                hooks = hook::read_all(value, &mut report);
            } else {
                match serde_json::from_str(value.get()) {
                    Ok(value) if !rest.contains_key(name) => drop(rest.insert(name.clone(), value)),
                    Ok(_) => report.errors.push(name, "is there twice"),
                    Err(error) => report.errors.push(name, error.to_string()),
                }
            }
        }
        if self.0.iter().filter(|(name, _)| name == "hooks").count() > 1 {
            report.errors.push("hooks", "is there twice");
        }
        let mut errors = std::mem::take(&mut report.errors);
        let consultation_limit = Duration::from_millis(consultation_limit(&rest, &mut errors));
        let on_trouble = on_trouble(&rest, &mut errors);
        let identity = Identity::read(&rest, &mut errors);
        let managed = Managed::read(&rest, &mut errors);
        for (hook, longest) in hooks.iter().map(|hook| (hook, hook.deed.longest())) {
            if longest > consultation_limit {
                report.warnings.push(format!(
                    "hook {:?}: its services may take {longest:?} in all, and are given up after {consultation_limit:?} \
                     ({CONSULTATION_LIMIT:?})",
                    hook.id
                ));
            }
        }
        for name in rest.keys().filter(|name| !is_known(name)) {
            report.warnings.push(format!("{name}: unknown key of the policy, ignored"));
        }
        for warning in &report.warnings {
            log::warn!("{warning}");
        }
        errors.or_ok(Terms { hooks, managed, identity, consultation_limit, on_trouble })
    }
}

fn is_known(name: &str) -> bool {
    Identity::FIELDS.contains(&name) || Managed::FIELDS.contains(&name) || [CONSULTATION_LIMIT, ON_TROUBLE].contains(&name)
}

const CONSULTATION_LIMIT: &str = "consultationLimitMilliseconds";
const ON_TROUBLE: &str = "onHookFailure";

fn consultation_limit(rest: &Map<String, Value>, errors: &mut OptionErrors) -> u64 {
    let Some(value) = rest.get(CONSULTATION_LIMIT) else { return DEFAULT_CONSULTATION_LIMIT };
    value.as_u64().filter(|limit| CONSULTATION_LIMITS.contains(limit)).unwrap_or_else(|| {
        let (least, most) = CONSULTATION_LIMITS.into_inner();
        errors.push(CONSULTATION_LIMIT, format!("must be a whole number of milliseconds from {least} to {most}"));
        DEFAULT_CONSULTATION_LIMIT
    })
}

fn on_trouble(rest: &Map<String, Value>, errors: &mut OptionErrors) -> OnTrouble {
    match rest.get(ON_TROUBLE).map(Value::as_str) {
        None | Some(Some("refuse")) => OnTrouble::Refuse,
        Some(Some("pass")) => OnTrouble::Pass,
        Some(_) => {
            errors.push(ON_TROUBLE, "must be \"refuse\" or \"pass\"");
            OnTrouble::Refuse
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Members::deserialize(deserializer).map(|Members(members)| Self(members))
    }
}
