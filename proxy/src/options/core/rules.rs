//! `block_list` and `modify_headers`: rules with a filter.

use http::StatusCode;

use crate::{
    filter::{Answer, Filter, View},
    http::{Field, headers::HOP_BY_HOP},
};

/// What ends a flow before it goes anywhere.
#[derive(Clone)]
pub(crate) struct Block {
    filter: Filter,
    /// None: no answer at all.
    pub(crate) status: Option<StatusCode>,
}

/// What becomes of the fields of a name.
#[derive(Clone)]
pub(crate) struct Modification {
    filter: Filter,
    pub(crate) name: Box<str>,
    /// None: they are only removed.
    pub(crate) field: Option<Field>,
}

/// The status that stands for no answer.
const NO_ANSWER: u16 = 444;

/// Fields that say where a message ends or where it goes, or that the core acts upon: nobody else sets them.
const OF_THE_CORE: [&str; 5] = ["content-length", "host", "expect", "trailer", "upgrade"];

impl Block {
    /// Reads `/flow-filter/status`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = split(text)?;
        let [filter, status] = parts.as_slice() else {
            return Err("must have the form /flow-filter/status, with any character in place of /".to_owned());
        };
        let code = status.parse::<u16>().ok().filter(|code| (200..600).contains(code));
        let code = code.ok_or_else(|| "the status must be a number from 200 to 599".to_owned())?;
        let status = if code == NO_ANSWER { None } else { StatusCode::from_u16(code).ok() };
        Ok(Self { filter: parse_filter(filter)?, status })
    }

    /// Whether it is about this flow.
    pub(crate) fn matches(&self, view: &View<'_>) -> bool {
        self.filter.evaluate(view) == Answer::Yes
    }
}

impl Modification {
    /// Reads `[/flow-filter]/name/value`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (filter, name, value) = filtered(text, "name/value")?;
        let is_of_core = |name: &str| OF_THE_CORE.iter().chain(&HOP_BY_HOP).any(|reserved| name.eq_ignore_ascii_case(reserved));
        if is_of_core(name) {
            return Err(format!("{} is set by the proxy alone", name.to_ascii_lowercase()));
        }
        if value.starts_with('@') {
            return Err("the value must not start with @: files are not read here".to_owned());
        }
        let field = Field::new(name.to_owned(), value.to_owned()).map_err(|error| error.to_string())?;
        Ok(Self { filter, name: name.into(), field: (!value.is_empty()).then_some(field) })
    }

    /// Whether it is about this message: the response, if the view has one.
    pub(crate) fn matches(&self, view: &View<'_>) -> bool {
        self.filter.evaluate(view) == Answer::Yes
    }
}

/// Filter, subject and replacement of `[/flow-filter]/subject/replacement`; without a filter every flow is meant.
pub(super) fn filtered<'a>(text: &'a str, form: &str) -> Result<(Filter, &'a str, &'a str), String> {
    match split(text)?.as_slice() {
        [subject, replacement] => Ok((Filter::everything(), subject, replacement)),
        [filter, subject, replacement] => Ok((parse_filter(filter)?, subject, replacement)),
        _ => Err(format!("must have the form [/flow-filter]/{form}, with any character in place of /")),
    }
}

/// The parts between separators, three at most: the last one may hold more of them.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let separator = text.chars().next().ok_or_else(|| "is empty".to_owned())?;
    let rest = text.get(separator.len_utf8()..).unwrap_or_default();
    Ok(rest.splitn(3, separator).collect())
}

fn parse_filter(text: &str) -> Result<Filter, String> {
    let filter = Filter::parse(text).map_err(|error| format!("the filter is wrong: {error}"))?;
    if filter.needs_request_body() || filter.needs_response_body() {
        return Err("the filter looks at bodies (~b, ~bq, ~bs), which are not there yet when it is asked".to_owned());
    }
    Ok(filter)
}
