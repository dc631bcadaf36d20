//! What tests have in common.
#![allow(dead_code, reason = "each test program uses a part of it")]

use tollgate_sdk::{serde_json::json, testing::TestRequest};

/// The document of a registration service.
pub(crate) fn list(version: u64, domains: &[&str]) -> String {
    let domains: Vec<_> =
        domains.iter().map(|domain| json!({"domain": domain, "isInsurance": false, "telematikID": "1-2"})).collect();
    json!({"version": version, "domainList": domains}).to_string()
}

/// A request of a server.
pub(crate) fn server(origin: &str) -> TestRequest {
    let request = TestRequest::get("/_matrix/federation/v1/version");
    request.with_header("Authorization", format!("X-Matrix origin=\"{origin}\",key=\"ed25519:1\",sig=\"AA\""))
}
