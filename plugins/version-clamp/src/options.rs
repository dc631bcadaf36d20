//! The options, read and checked.

use serde::Deserialize;
use tollgate_sdk::OptionErrors;

use crate::{
    VersionClamp,
    clamp::Clamp,
    fence::{Effect, Fence, Rule},
};

/// The options as written; the [crate] says what they mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The highest version that stays.
    pub max: String,
    /// What happens to the object of this name.
    pub unstable_features: UnstableFeatures,
    /// Which table lets requests through.
    pub fence: Table,
    /// More rules that let requests through.
    pub allow: Vec<String>,
    /// Rules that don't, whatever the others say.
    pub deny: Vec<String>,
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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max: "v1.11".to_owned(),
            unstable_features: UnstableFeatures::default(),
            fence: Table::default(),
            allow: Vec::new(),
            deny: Vec::new(),
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
        let mut rules = match Fence::table(self.fence) {
            Ok(rules) => rules,
            Err(line) => {
                errors.push("fence", format!("the table that the addon was built with is broken: {line}"));
                Vec::new()
            }
        };
        for (name, effect, texts) in [("allow", Effect::Allow, &self.allow), ("deny", Effect::Deny, &self.deny)] {
            if self.fence == Table::Off && !texts.is_empty() {
                errors.push(name, "has no effect while \"fence\" is \"off\"");
            }
            for (index, text) in texts.iter().enumerate() {
                match Rule::parse(text, effect) {
                    Ok(rule) => rules.push(rule),
                    Err(error) => errors.push(format!("{name}[{index}]"), format!("{text:?}: {error}")),
                }
            }
        }
        let Ok(max) = max else { return Err(errors) };
        errors.or_ok(())?;
        let clamp = Clamp { max, keeps_unstable_features: self.unstable_features == UnstableFeatures::Keep };
        let fence = (self.fence != Table::Off).then(|| Fence::new(rules));
        Ok(VersionClamp { clamp, fence })
    }
}
