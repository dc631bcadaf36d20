//! The options of the fence.
#![allow(clippy::panic, reason = "helpers of tests")]

use tollgate_sdk::{
    RequestVerdict,
    serde_json::{Value, json},
    testing::{Harness, TestRequest},
};
use version_clamp::VersionClamp;

/// The status of the fence's answer, 200 if the request goes through, and the `Allow` field.
fn answer(options: &Value, method: &str, target: &str) -> (u16, String) {
    let harness = Harness::<VersionClamp>::configure(options.clone()).unwrap_or_else(|errors| panic!("{errors}"));
    match harness.request(TestRequest::new(method, target)).verdict {
        Ok(RequestVerdict::Next) => (200, String::new()),
        Ok(RequestVerdict::Respond(response)) => {
            let allow = response.headers.iter().find(|(name, _)| name == "Allow");
            (response.status, allow.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

fn errors(options: Value) -> Vec<(String, String)> {
    let Err(errors) = Harness::<VersionClamp>::configure(options) else { return Vec::new() };
    errors.into_iter().map(|error| (error.path, error.message)).collect()
}

#[test]
fn allow_adds_paths_and_methods() {
    let options =
        json!({ "allow": ["GET /_matrix/client/unstable/foo/{id}", "PATCH /_matrix/client/v3/sync", "ANY /files/{...}"] });
    assert_eq!(answer(&options, "GET", "/_matrix/client/unstable/foo/a%2Fb").0, 200);
    assert_eq!(answer(&options, "HEAD", "/_matrix/client/unstable/foo/1").0, 200);
    assert_eq!(answer(&options, "GET", "/_matrix/client/unstable/foo/").0, 404);
    assert_eq!(answer(&options, "PUT", "/_matrix/client/unstable/foo/1"), (405, "GET, HEAD, OPTIONS".to_owned()));
    assert_eq!(answer(&options, "PATCH", "/_matrix/client/v3/sync").0, 200);
    assert_eq!(answer(&options, "POST", "/_matrix/client/v3/sync"), (405, "GET, HEAD, PATCH, OPTIONS".to_owned()));
    assert_eq!(answer(&options, "BREW", "/files/a/b").0, 200);
}

#[test]
fn deny_wins_over_allow_and_table() {
    let options = json!({
        "allow": ["ANY /_matrix/client/v3/profile/{userId}"],
        "deny": ["GET /_matrix/client/v3/profile/{userId}", "ANY /_matrix/client/v3/sync", "PUT /_matrix/client/v3/devices/{id}"],
    });
    assert_eq!(answer(&options, "GET", "/_matrix/client/v3/profile/@a:b"), (405, "DELETE, PATCH, POST, PUT, OPTIONS".to_owned()));
    assert_eq!(answer(&options, "HEAD", "/_matrix/client/v3/profile/@a:b").0, 405);
    assert_eq!(answer(&options, "PUT", "/_matrix/client/v3/profile/@a:b").0, 200);
    // Nothing is left of this path, not even a preflight.
    for method in ["GET", "OPTIONS"] {
        assert_eq!(answer(&options, method, "/_matrix/client/v3/sync").0, 404);
    }
    assert_eq!(answer(&options, "PUT", "/_matrix/client/v3/devices/a"), (405, "DELETE, GET, HEAD, OPTIONS".to_owned()));
}

#[test]
fn deny_reaches_below_a_wildcard() {
    let options =
        json!({ "fence": "tim", "deny": ["ANY /_synapse/admin/{...}"], "allow": ["GET /_synapse/admin/v1/server_version"] });
    assert_eq!(answer(&options, "GET", "/_synapse/admin/v1/users").0, 404);
    assert_eq!(answer(&options, "GET", "/_synapse/admin/v1/server_version").0, 404);
    let options = json!({ "fence": "tim", "deny": ["OPTIONS /_synapse/admin/{...}", "DELETE /_synapse/admin/v1/rooms/{id}"] });
    assert_eq!(answer(&options, "OPTIONS", "/_synapse/admin/v1/users"), (405, "DELETE, GET, HEAD, PATCH, POST, PUT".to_owned()));
    assert_eq!(answer(&options, "DELETE", "/_synapse/admin/v1/rooms/a"), (405, "GET, HEAD, PATCH, POST, PUT".to_owned()));
    assert_eq!(answer(&options, "DELETE", "/_synapse/admin/v1/rooms/a/b").0, 200);
}

#[test]
fn allow_opens_what_the_table_closes() {
    let options = json!({ "fence": "tim", "allow": ["POST /_matrix/federation/v1/publicRooms"] });
    assert_eq!(answer(&options, "POST", "/_matrix/federation/v1/publicRooms").0, 200);
    assert_eq!(answer(&options, "GET", "/_matrix/federation/v1/publicRooms").0, 403);
}

#[test]
fn allow_lifts_required_query_parameters() {
    let options = json!({ "allow": ["GET /_matrix/client/v3/keys/changes"] });
    assert_eq!(answer(&options, "GET", "/_matrix/client/v3/keys/changes").0, 200);
}

#[test]
fn literal_and_parameter_are_both_tried() {
    let options = json!({ "fence": "matrix-v1.11", "allow": ["GET /a/b/c", "GET /a/{x}/d", "POST /a/{x}/c", "GET /{y}/b/e"] });
    for (method, path) in [("GET", "/a/b/c"), ("GET", "/a/b/d"), ("POST", "/a/b/c"), ("GET", "/a/b/e"), ("GET", "/z/b/e")] {
        assert_eq!(answer(&options, method, path).0, 200, "{method} {path}");
    }
    assert_eq!(answer(&options, "PUT", "/a/b/c"), (405, "GET, HEAD, POST, OPTIONS".to_owned()));
    assert_eq!(answer(&options, "GET", "/a/b/f").0, 404);
}

#[test]
fn wrong_options_are_named_all_at_once() {
    let found = errors(json!({ "max": "1", "allow": ["GET /a", "GET a"], "deny": ["get /b", "GET /{...}/c"] }));
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["max", "allow[1]", "deny[0]", "deny[1]"]);
    assert_eq!(found[0].1, "\"1\" is no version like \"v1.11\"");
    assert_eq!(found[1].1, "\"GET a\": the path \"a\" must start with /");
    assert_eq!(found[2].1, "\"get /b\": \"get\" is no method; must be ANY or a name in capitals");
}

#[test]
fn wrong_shapes_are_named_by_path() {
    assert_eq!(errors(json!({ "fence": "matrix" }))[0].0, "fence");
    assert_eq!(errors(json!({ "unstable_features": true }))[0].0, "unstable_features");
    assert_eq!(errors(json!({ "allow": ["GET /a", 5] }))[0].0, "allow[1]");
    assert_eq!(errors(json!({ "maximum": "v1.1" }))[0].0, "maximum");
}

#[test]
fn rules_without_a_fence_are_refused() {
    let found = errors(json!({ "fence": "off", "deny": ["GET /a"] }));
    assert_eq!(found, [("deny".to_owned(), "has no effect while \"fence\" is \"off\"".to_owned())]);
}

#[test]
fn each_listener_can_have_a_table() {
    let inbound = json!({ "fence": { "inbound": "tim", "outbound": "tim-outbound", "open": "off" } });
    // The harness's own listener is none of them.
    assert_eq!(answer(&inbound, "GET", "/anything").0, 200);
    let found = errors(json!({ "fence": { "inbound": "tims" } }));
    assert_eq!(found[0].0, "fence.inbound");
    let found = errors(json!({ "fence": { "inbound": "off" }, "deny": ["GET /a"], "open_hosts": ["a"] }));
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["deny", "open_hosts"]);
}

#[test]
fn open_hosts_are_names() {
    for host in ["https://sso.example", "sso.example:443", "", "*.example", "a b", "sso.example/"] {
        let found = errors(json!({ "fence": "tim", "open_hosts": ["good.example", host] }));
        assert_eq!(found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["open_hosts[1]"], "{host}");
    }
}
