//! What a hook matches.

use serde_json::value::RawValue;

use super::{fields::Fields, pattern::Pattern};

/// One rule of a hook.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) subject: Subject,
    pub(crate) pattern: Pattern,
    /// Whether it matches what the pattern does not.
    pub(crate) is_inverted: bool,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Method,
    /// The decoded path, without query.
    Route,
    /// The whole Matrix ID of the user who asks.
    User,
}

const KNOWN: [&str; 3] = ["type", "regex", "invert"];

impl Rule {
    /// Whether a text matches; without one, the pattern does not.
    pub(crate) fn is_match(&self, text: Option<&[u8]>) -> bool {
        text.is_some_and(|text| self.pattern.is_match(text)) != self.is_inverted
    }
}

/// The rules of a hook; those that are wrong are reported and left out.
pub(super) fn read(fields: &mut Fields<'_, '_>) -> Vec<Rule> {
    let Some(value) = fields.take("matchRules") else { return Vec::new() };
    let Ok(values) = serde_json::from_str::<Vec<&RawValue>>(value.get()) else {
        fields.error("matchRules", "must be a list of rules");
        return Vec::new();
    };
    let path = fields.path_of("matchRules");
    let rules = values.iter().enumerate().map(|(index, value)| {
        let fields = Fields::read(format!("{path}[{index}]"), value, fields.report())?;
        rule(fields)
    });
    rules.collect::<Vec<_>>().into_iter().flatten().collect()
}

fn rule(mut fields: Fields<'_, '_>) -> Option<Rule> {
    let subject = match fields.needed_text("type").as_deref() {
        Some("method") => Some(Subject::Method),
        Some("route") => Some(Subject::Route),
        Some("matrixUserID") => Some(Subject::User),
        Some(other) => {
            fields.error("type", format_args!("{other:?} is none of \"method\", \"route\" and \"matrixUserID\""));
            None
        }
        None => None,
    };
    let pattern = fields.needed_text("regex").and_then(|text| match Pattern::compile(&text) {
        Ok(pattern) => Some(pattern),
        Err(reason) => {
            fields.error("regex", format_args!("the regular expression {reason}"));
            None
        }
    });
    let is_inverted = fields.flag("invert");
    fields.finish(&KNOWN, "");
    Some(Rule { subject: subject?, pattern: pattern?, is_inverted })
}
