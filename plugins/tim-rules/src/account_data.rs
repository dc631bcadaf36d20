//! Who never said whom they want to be invited by has a default.

use tollgate_sdk::{EditError, Origin, Request, Response, serde_json::json};

use crate::{options::Settings, route::client};

/// What clients of one and of the other kind keep it under.
pub(crate) const TYPES: [&str; 2] =
    ["de.gematik.tim.account.permissionconfig.v1", "de.gematik.tim.account.permissionconfig.pro.v1"];

/// Fields that vouch for the body as it was (RFC 9110, 8.8.3; RFC 9530).
const VALIDATORS: [&str; 5] = ["ETag", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"];

/// Puts the default in the place of the homeserver's 404.
pub(crate) fn supply(settings: &Settings, request: &Request, response: &mut Response) -> Result<(), EditError> {
    let is_absent = response.status() == 404 && response.origin() == Origin::Upstream;
    if !settings.rules.permission_default || !is_absent || request.method() != "GET" || !is_about(request) {
        return Ok(());
    }
    response.set_status(200)?;
    response.set_body(json!({ "defaultSetting": settings.policy.as_str() }).to_string())?;
    response.set_header("Content-Type", "application/json")?;
    VALIDATORS.iter().try_for_each(|name| response.remove_header(name))
}

fn is_about(request: &Request) -> bool {
    let segments = request.path_segments();
    let words: Vec<&str> = segments.iter().filter_map(|segment| segment.as_str()).collect();
    let rest = client(&words).and_then(|start| words.get(start..));
    matches!(rest, Some(["user", _, "account_data", kind]) if TYPES.contains(kind))
}
