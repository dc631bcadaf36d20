//! The options, read and checked.

mod tables;

use serde::Deserialize;
use tollgate_sdk::OptionErrors;

use crate::{
    VersionClamp,
    clamp::Clamp,
    fence::{Effect, Fences, Rule},
};

pub(crate) use tables::Tables;

/// The options as written; the [crate] says what they mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The highest version that stays.
    pub max: String,
    /// What happens to the object of this name.
    pub unstable_features: UnstableFeatures,
    /// Which table lets requests through, on all listeners or on each.
    pub fence: Tables,
    /// More rules that let requests through.
    pub allow: Vec<String>,
    /// Rules that don't, whatever the others say.
    pub deny: Vec<String>,
    /// Where requests may go with any path.
    pub open_hosts: Vec<String>,
}

/// What happens to `unstable_features`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum UnstableFeatures {
    /// It becomes an empty object.
    #[default]
    Drop,
    /// It stays.
    Keep,
}

/// The table of the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum Table {
    /// No fence.
    #[serde(rename = "off")]
    Off,
    /// The Matrix specification v1.11.
    #[default]
    #[serde(rename = "matrix-v1.11")]
    Matrix,
    /// What the TIM messenger-proxy lets in.
    #[serde(rename = "tim")]
    Tim,
    /// What it lets out.
    #[serde(rename = "tim-outbound")]
    TimOutbound,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max: "v1.11".to_owned(),
            unstable_features: UnstableFeatures::default(),
            fence: Tables::default(),
            allow: Vec::new(),
            deny: Vec::new(),
            open_hosts: Vec::new(),
        }
    }
}

impl Options {
    /// The addon with these options, or all that is wrong with them.
    pub(crate) fn check(self) -> Result<VersionClamp, OptionErrors> {
        let mut errors = OptionErrors::default();
        let max = self.max.parse();
        if max.is_err() {
            errors.push("max", format!("{:?} is no version like \"v1.11\"", self.max));
        }
        let is_off = self.fence.all().all(|table| table == Table::Off);
        let mut rules = Vec::new();
        for (name, effect, texts) in [("allow", Effect::Allow, &self.allow), ("deny", Effect::Deny, &self.deny)] {
            if is_off && !texts.is_empty() {
                errors.push(name, "has no effect while \"fence\" is \"off\"");
            }
            for (index, text) in texts.iter().enumerate() {
                match Rule::parse(text, effect) {
                    Ok(rule) => rules.push(rule),
                    Err(error) => errors.push(format!("{name}[{index}]"), format!("{text:?}: {error}")),
                }
            }
        }
        if is_off && !self.open_hosts.is_empty() {
            errors.push("open_hosts", "has no effect while \"fence\" is \"off\"");
        }
        for (index, host) in self.open_hosts.iter().enumerate() {
            if host.is_empty() || host.contains(|symbol: char| !symbol.is_ascii_alphanumeric() && !".-_".contains(symbol)) {
                errors.push(format!("open_hosts[{index}]"), format!("{host:?} is no name of a host, without scheme and port"));
            }
        }
        let fences = Fences::new(&self.fence, &rules, self.open_hosts);
        let fences =
            fences.map_err(|line| errors.push("fence", format!("a table that the addon was built with is broken: {line}")));
        let (Ok(max), Ok(fences)) = (max, fences) else { return Err(errors) };
        errors.or_ok(())?;
        let clamp = Clamp { max, keeps_unstable_features: self.unstable_features == UnstableFeatures::Keep };
        Ok(VersionClamp { clamp, fences })
    }
}
