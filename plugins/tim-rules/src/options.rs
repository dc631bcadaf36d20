//! The options, read and checked.

mod texts;

use serde::Deserialize;
use tollgate_sdk::OptionErrors;

pub(crate) use texts::Texts;

/// The options as written; the README says what they mean.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Which rules hold.
    pub rules: Rules,
    /// UTF-16 code units of a status message at most.
    pub status_message_length: usize,
    /// Versions that rooms may have.
    pub room_versions: Vec<String>,
    /// That of rooms that say nothing.
    pub default_room_version: String,
    /// Types that rooms may not have.
    pub denied_room_types: Vec<String>,
    /// Users that may be invited into a new room.
    pub max_invites: usize,
    /// How old an event that is redacted may be.
    pub redaction_hours: u64,
    /// What holds for users who said nothing.
    pub invite_rejection_policy: Policy,
    /// Who checks whether an invitee wants an invitation.
    pub concept: Concept,
    /// The homeserver's name in user IDs.
    pub home_domain: Option<String>,
    /// Names of homeservers of health insurances.
    pub insured_domains: Vec<String>,
    /// Of a user of the homeserver who is an admin.
    pub admin_token: Option<String>,
    /// What refused clients are told.
    pub texts: Texts,
}

/// A switch for each rule.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools, clippy::struct_field_names, reason = "each rule has a switch of its own, by its name")]
pub struct Rules {
    /// No guests register.
    pub guests: bool,
    /// Status messages are short.
    pub status_message: bool,
    /// Rooms have versions that are allowed.
    pub room_versions: bool,
    /// Rooms have types that are allowed.
    pub room_types: bool,
    /// New rooms begin with few invitations.
    pub one_invite: bool,
    /// Public rooms are not federated.
    pub federate: bool,
    /// Invitations name a user.
    pub invites: bool,
    /// No threads.
    pub threads: bool,
    /// Reactions are one emoji.
    pub reactions: bool,
    /// Old events are not redacted.
    pub redactions: bool,
    /// Rooms don't become public.
    pub join_rules: bool,
    /// Users who said nothing have a permission.
    pub permission_default: bool,
    /// Malformed paths of push rules are refused.
    pub push_rules: bool,
}

/// What holds for users who did not say whom they want to be invited by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub enum Policy {
    /// Everybody may invite them.
    #[default]
    #[serde(rename = "allow all")]
    AllowAll,
    /// Nobody may.
    #[serde(rename = "block all")]
    BlockAll,
}

/// Who checks whether somebody wants to be invited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Concept {
    /// Their client.
    #[default]
    Client,
    /// This addon.
    Proxy,
}

/// What the rules go by.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    pub(crate) status_message_length: usize,
    pub(crate) room_versions: Vec<String>,
    pub(crate) default_room_version: String,
    pub(crate) denied_room_types: Vec<String>,
    pub(crate) max_invites: usize,
    pub(crate) redaction_minutes: u64,
    pub(crate) policy: Policy,
    pub(crate) admin_token: Option<String>,
    pub(crate) proxied: Option<Proxied>,
    pub(crate) texts: Texts,
}

/// What it takes to check whether somebody wants to be invited.
#[derive(Debug)]
pub(crate) struct Proxied {
    pub(crate) home_domain: String,
    pub(crate) insured_domains: Vec<String>,
    pub(crate) admin_token: String,
}

const MAX_HOURS: u64 = 24 * 365;
const MAX_LENGTH: usize = 65_535;
const MAX_INVITES: usize = 1_000;

impl Policy {
    /// As account data has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AllowAll => "allow all",
            Self::BlockAll => "block all",
        }
    }
}

impl Options {
    /// What the rules go by, or all that is wrong with the options.
    pub(crate) fn check(self) -> Result<Settings, OptionErrors> {
        let mut errors = OptionErrors::default();
        if self.rules.room_versions {
            if self.room_versions.is_empty() {
                errors.push("room_versions", "must not be empty while the rule \"room_versions\" holds");
            }
            if !self.room_versions.contains(&self.default_room_version) {
                let text = format!("{:?} is not one of \"room_versions\"", self.default_room_version);
                errors.push("default_room_version", text);
            }
        }
        if self.status_message_length > MAX_LENGTH {
            errors.push("status_message_length", format!("must be at most {MAX_LENGTH}"));
        }
        if self.max_invites > MAX_INVITES {
            errors.push("max_invites", format!("must be at most {MAX_INVITES}"));
        }
        if !(1..=MAX_HOURS).contains(&self.redaction_hours) {
            errors.push("redaction_hours", format!("must be from 1 to {MAX_HOURS}"));
        }
        if self.admin_token.as_deref().is_some_and(|token| token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            errors.push("admin_token", "must be a token: visible ASCII characters without spaces");
        }
        self.texts.check(&mut errors);
        let proxied = self.proxied(&mut errors);
        errors.or_ok(Settings {
            rules: self.rules,
            status_message_length: self.status_message_length,
            room_versions: self.room_versions,
            default_room_version: self.default_room_version,
            denied_room_types: self.denied_room_types,
            max_invites: self.max_invites,
            redaction_minutes: self.redaction_hours.saturating_mul(60),
            policy: self.invite_rejection_policy,
            admin_token: self.admin_token,
            proxied,
            texts: self.texts,
        })
    }

    fn proxied(&self, errors: &mut OptionErrors) -> Option<Proxied> {
        if self.concept == Concept::Client {
            return None;
        }
        if self.home_domain.as_deref().is_none_or(str::is_empty) {
            errors.push("home_domain", "must be set where \"concept\" is \"proxy\"");
        }
        if self.admin_token.is_none() {
            errors.push("admin_token", "must be set where \"concept\" is \"proxy\"");
        }
        Some(Proxied {
            home_domain: self.home_domain.clone()?,
            insured_domains: self.insured_domains.clone(),
            admin_token: self.admin_token.clone()?,
        })
    }
}

impl Settings {
    /// Whether a rule looks at new rooms.
    pub(crate) const fn judges_rooms(&self) -> bool {
        let rules = &self.rules;
        rules.room_versions || rules.room_types || rules.one_invite || rules.invites || rules.federate || self.proxied.is_some()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            status_message_length: 250,
            room_versions: vec!["9".to_owned(), "10".to_owned()],
            default_room_version: "10".to_owned(),
            denied_room_types: vec!["de.gematik.tim.roomtype.default.v2".to_owned()],
            max_invites: 1,
            redaction_hours: 24,
            invite_rejection_policy: Policy::default(),
            concept: Concept::default(),
            home_domain: None,
            insured_domains: Vec::new(),
            admin_token: None,
            texts: Texts::default(),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            guests: true,
            status_message: true,
            room_versions: true,
            room_types: true,
            one_invite: true,
            federate: true,
            invites: true,
            threads: true,
            reactions: true,
            redactions: true,
            join_rules: true,
            permission_default: true,
            push_rules: true,
        }
    }
}
