//! Whom somebody wants to be invited by: kept in their account data, asked for by the admin API.

use std::time::Duration;

use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use tollgate_sdk::{Request, http, log};

use crate::{
    account_data::TYPES,
    options::{Policy, Proxied},
    redaction::IN_SEGMENT,
    refusal::Refused,
};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_RESPONSE: u64 = 4 << 20;
/// The one group that there is: members of health insurances.
const INSURED: &str = "isInsuredPerson";

/// What an account says, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Answer {
    account_data: Accounts,
}

#[derive(Debug, Deserialize)]
struct Accounts {
    #[serde(default)]
    global: serde_json::Map<String, Value>,
}

/// Whom somebody wants to be invited by. Exceptions are what is the other way round.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    default_setting: String,
    #[serde(default)]
    user_exceptions: serde_json::Map<String, Value>,
    #[serde(default)]
    server_exceptions: serde_json::Map<String, Value>,
    #[serde(default)]
    group_exceptions: Vec<Value>,
}

/// Whether `invitee`, who lives on this homeserver, wants to be invited by `inviter`. What is kept but can't be read allows nobody.
///
/// # Errors
///
/// 403 where the homeserver can't be reached, 502 where it does not answer with account data.
pub(crate) fn is_given(
    proxied: &Proxied,
    policy: Policy,
    request: &Request,
    invitee: &str,
    inviter: &str,
) -> Result<bool, Refused> {
    let user = utf8_percent_encode(invitee, IN_SEGMENT);
    let url = format!("{}/_synapse/admin/v1/users/{user}/accountdata", request.upstream());
    let question = http::Request::get(url).bearer(&proxied.admin_token).timeout(TIMEOUT).max_response(MAX_RESPONSE);
    let response = question.send().map_err(|error| {
        log::warn!(error = error.to_string().as_str(); "the homeserver could not be asked whom somebody wants to be invited by");
        Refused::forbidden("the homeserver could not be asked for the invitee's permission")
    })?;
    let answer: Option<Answer> = if response.is_success() { response.json().ok() } else { None };
    let Some(Answer { account_data: Accounts { mut global } }) = answer else {
        log::warn!(status = response.status; "the homeserver did not tell whom somebody wants to be invited by");
        return Err(Refused::new(502, "M_UNKNOWN", "the homeserver did not tell the invitee's permission"));
    };
    // That of the professional client goes before the other one.
    let Some(kept) = TYPES.iter().rev().find_map(|kind| global.remove(*kind)) else { return Ok(policy == Policy::AllowAll) };
    let Ok(permission) = serde_json::from_value::<Permission>(kept) else { return Ok(false) };
    Ok(permission.allows(inviter, &proxied.insured_domains))
}

impl Permission {
    fn allows(&self, inviter: &str, insured_domains: &[String]) -> bool {
        let domain = domain_of(inviter);
        let is_excepted = self.user_exceptions.contains_key(inviter)
            || self.server_exceptions.contains_key(domain)
            || (self.group_exceptions.iter().any(is_insured) && insured_domains.iter().any(|insured| insured == domain));
        match self.default_setting.as_str() {
            "allow all" => !is_excepted,
            "block all" => is_excepted,
            _ => false,
        }
    }
}

/// A group by its name, or as an object with its name.
fn is_insured(group: &Value) -> bool {
    group.as_str().or_else(|| group.get("groupName")?.as_str()) == Some(INSURED)
}

/// The server of a user, behind the first colon.
pub(crate) fn domain_of(user: &str) -> &str {
    user.split_once(':').map_or("", |(_, domain)| domain)
}

/// The user of a token, as the homeserver has it.
pub(crate) fn user_of(response: &http::Response) -> Option<String> {
    #[derive(Deserialize)]
    struct Whoami {
        user_id: String,
    }
    let body: &RawValue = serde_json::from_slice(&response.body).ok()?;
    serde_json::from_str(body.get()).ok().map(|Whoami { user_id }| user_id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn allows(permission: Value, inviter: &str) -> bool {
        let permission: Permission = serde_json::from_value(permission).expect("a permission");
        permission.allows(inviter, &["kasse.de".to_owned()])
    }

    #[test]
    fn exceptions_turn_the_default_round() {
        for (setting, stranger, known) in [("allow all", true, false), ("block all", false, true), ("ask me", false, false)] {
            for exceptions in [json!({ "userExceptions": { "@a:b.de": {} } }), json!({ "serverExceptions": { "b.de": {} } })] {
                let mut permission = exceptions;
                permission["defaultSetting"] = setting.into();
                assert_eq!(allows(permission.clone(), "@x:other.de"), stranger, "{permission}");
                assert_eq!(allows(permission.clone(), "@a:b.de"), known, "{permission}");
            }
        }
    }

    #[test]
    fn groups_are_known_by_their_servers() {
        for group in [json!("isInsuredPerson"), json!({ "groupName": "isInsuredPerson" })] {
            let permission = json!({ "defaultSetting": "allow all", "groupExceptions": [group] });
            assert!(!allows(permission.clone(), "@a:kasse.de"));
            assert!(allows(permission, "@a:b.de"));
        }
        assert!(allows(json!({ "defaultSetting": "allow all", "groupExceptions": ["others"] }), "@a:kasse.de"));
    }
}
