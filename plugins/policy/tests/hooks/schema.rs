//! What of a hook is refused when the policy is loaded.

use tollgate_sdk::serde_json::{Value, json};

use super::common::{hook, hooks, refusals, reject};

const CONSULT: &str = "consult.RESTServiceURL";

/// The one error of a policy with this hook.
#[track_caller]
fn refused(event: &str, fields: Value, error: &str) {
    let shown = fields.to_string();
    assert_eq!(refusals(hook(event, fields)), [error], "{shown}");
}

#[track_caller]
fn accepted(event: &str, fields: Value) {
    let shown = fields.to_string();
    assert_eq!(refusals(hook(event, fields)), [""; 0], "{shown}");
}

fn consult(field: &str, value: Value) -> Value {
    let mut hook = json!({ "action": CONSULT, "RESTServiceURL": "http://a/" });
    hook[field] = value;
    hook
}

fn respond(field: &str, value: Value) -> Value {
    let mut hook = json!({ "action": "respond", "responseStatusCode": 200, "responsePayload": {} });
    hook[field] = value;
    hook
}

#[test]
fn actions_are_known() {
    let known = "is none of pass.unmodified, pass.modifiedRequest, pass.modifiedResponse, reject, respond and \
                 consult.RESTServiceURL";
    refused("beforeAnyRequest", json!({ "action": "pass" }), &format!("hooks[0].action: hook \"h\": \"pass\" {known}"));
    refused("beforeAnyRequest", json!({}), "hooks[0].action: hook \"h\": is missing");
    refused("beforeAnyRequest", json!({ "action": 1 }), "hooks[0].action: hook \"h\": must be a string, and is a number");
}

#[test]
fn event_types_are_known() {
    for event in [
        "beforeAnyRequest",
        "beforeAuthenticatedRequest",
        "beforeAuthenticatedPolicyCheckedRequest",
        "beforeUnauthenticatedRequest",
        "afterAnyRequest",
        "afterAuthenticatedRequest",
        "afterAuthenticatedPolicyCheckedRequest",
        "afterUnauthenticatedRequest",
    ] {
        accepted(event, json!({ "action": "pass.unmodified" }));
    }
    let errors = refusals(hook("afterAll", json!({ "action": "pass.unmodified" })));
    assert!(errors[0].starts_with("hooks[0].eventType: hook \"h\": \"afterAll\" is none of beforeAnyRequest, "), "{errors:?}");
    let errors = refusals(hooks(json!([{ "id": "h", "action": "pass.unmodified" }])));
    assert_eq!(errors, ["hooks[0].eventType: hook \"h\": is missing"]);
}

#[test]
fn ids_are_there_and_unique() {
    let hook = |id: Value| json!({ "id": id, "eventType": "beforeAnyRequest", "action": "pass.unmodified" });
    let mut nameless = hook(json!(""));
    nameless.as_object_mut().unwrap().remove("id");
    let errors = refusals(hooks(json!([hook(json!("a")), hook(json!("")), nameless, hook(json!("a")), hook(json!(5))])));
    assert_eq!(
        errors,
        [
            "hooks[1].id: hook \"\": must not be empty",
            "hooks[2].id: hook \"\": is missing",
            "hooks[3].id: hook \"a\": an earlier hook has the same id",
            "hooks[4].id: hook \"\": must be a string, and is a number",
        ]
    );
}

#[test]
fn hooks_are_objects_in_a_list() {
    assert_eq!(refusals(hooks(json!(null))), [""; 0]);
    assert_eq!(refusals(json!({})), [""; 0]);
    assert_eq!(refusals(hooks(json!({}))), ["hooks: must be a list of hooks, and is an object"]);
    let errors = refusals(hooks(json!([null, 1, []])));
    let wanted = [
        "hooks[0]: is null; a hook is an object",
        "hooks[1]: hook \"\": must be a JSON object, and is a number",
        "hooks[2]: hook \"\": must be a JSON object, and is a list",
    ];
    assert_eq!(errors, wanted);
}

#[test]
fn rules_are_complete_and_compile() {
    let rules = |rules: Value| json!({ "action": "pass.unmodified", "matchRules": rules });
    let at = "hooks[0].matchRules[0]";
    for (rule, error) in [
        (
            json!({ "type": "path", "regex": "a" }),
            ".type: hook \"h\": \"path\" is none of \"method\", \"route\" and \"matrixUserID\"",
        ),
        (json!({ "regex": "a" }), ".type: hook \"h\": is missing"),
        (json!({ "type": "route" }), ".regex: hook \"h\": is missing"),
        (json!({ "type": "route", "regex": "(" }), ".regex: hook \"h\": the regular expression does not compile: unclosed group"),
        (
            json!({ "type": "route", "regex": "a", "invert": "yes" }),
            ".invert: hook \"h\": must be true or false, and is a string",
        ),
        (
            json!({ "type": "route", "regex": "a", "inverted": true }),
            ".inverted: hook \"h\": unknown field; \"invert\" is meant?",
        ),
        (json!(null), ": hook \"h\": must be a JSON object, and is null"),
    ] {
        refused("beforeAnyRequest", rules(json!([rule])), &format!("{at}{error}"));
    }
    refused("beforeAnyRequest", rules(json!({})), "hooks[0].matchRules: hook \"h\": must be a list of rules");
    accepted("beforeAnyRequest", rules(json!(null)));
}

#[test]
fn messages_are_modified_at_their_stage() {
    let request = json!({ "action": "pass.modifiedRequest", "injectJSONIntoRequest": {} });
    let response = json!({ "action": "pass.modifiedResponse", "injectJSONIntoResponse": {} });
    for event in ["beforeAnyRequest", "beforeAuthenticatedPolicyCheckedRequest"] {
        accepted(event, request.clone());
        let error = "hooks[0].action: hook \"h\": \"pass.modifiedResponse\" is for after hooks: when a before hook runs there is \
                     no response yet";
        refused(event, response.clone(), error);
    }
    for event in ["afterAnyRequest", "afterUnauthenticatedRequest"] {
        accepted(event, response.clone());
        let error = "hooks[0].action: hook \"h\": \"pass.modifiedRequest\" is for before hooks: when an after hook runs the \
                     request was sent";
        refused(event, request.clone(), error);
    }
}

#[test]
fn a_change_has_something_to_change() {
    let error = "hooks[0].injectJSONIntoRequest: hook \"h\": is missing, and so is \"injectHeadersIntoRequest\": one of them has \
                 to be there";
    refused("beforeAnyRequest", json!({ "action": "pass.modifiedRequest" }), error);
    accepted("beforeAnyRequest", json!({ "action": "pass.modifiedRequest", "injectHeadersIntoRequest": { "X-A": "1" } }));
    let fields = json!({ "action": "pass.modifiedRequest", "injectJSONIntoRequest": [] });
    refused("beforeAnyRequest", fields, "hooks[0].injectJSONIntoRequest: hook \"h\": must be a JSON object, and is a list");
}

#[test]
fn injected_fields_are_legal() {
    let error = |text: &str| format!("hooks[0].injectHeadersIntoRequest: hook \"h\": {text}");
    for (headers, text) in [
        (json!({ "a b": "1" }), "\"a b\" is no name of a header field"),
        (json!({ "Host": "1" }), "\"Host\" belongs to the proxy and can't be set"),
        (json!({ "content-length": "1" }), "\"content-length\" belongs to the proxy and can't be set"),
        (json!({ "X-A": "a\r\nb: c" }), "the value of \"X-A\" is none of a header field"),
        (json!({ "X-A": "1", "x-a": "2" }), "\"x-a\" is there twice"),
        (json!({ "X-A": 1 }), "must be a JSON object whose values are strings"),
    ] {
        let fields = json!({ "action": "pass.modifiedRequest", "injectHeadersIntoRequest": headers });
        refused("beforeAnyRequest", fields, &error(text));
    }
    accepted("afterAnyRequest", json!({ "action": "pass.modifiedResponse", "injectHeadersIntoResponse": { "Host": "1" } }));
}

#[test]
fn rejections_say_why() {
    for missing in ["rejectionErrorCode", "rejectionErrorMessage"] {
        let mut fields = reject("M_X");
        fields.as_object_mut().unwrap().remove(missing);
        refused("beforeAnyRequest", fields, &format!("hooks[0].{missing}: hook \"h\": is missing"));
    }
    accepted("beforeAnyRequest", json!({ "action": "reject", "rejectionErrorCode": "", "rejectionErrorMessage": "" }));
}

#[test]
fn statuses_are_200_to_599() {
    let error = "hooks[0].responseStatusCode: hook \"h\": must be a whole number from 200 to 599";
    for status in [json!(199), json!(600), json!(0), json!(-1), json!(200.5), json!("200")] {
        refused("beforeAnyRequest", respond("responseStatusCode", status), error);
    }
    for status in [200, 201, 598, 599] {
        accepted("beforeAnyRequest", respond("responseStatusCode", json!(status)));
    }
    refused("beforeAnyRequest", json!({ "action": "respond" }), "hooks[0].responseStatusCode: hook \"h\": is missing");
}

#[test]
fn payloads_fit_their_type() {
    let mut fields = respond("responseContentType", json!("text/plain"));
    let error = "hooks[0].responsePayload: hook \"h\": must be a string with a content type that is not JSON, and is an object";
    refused("beforeAnyRequest", fields.clone(), error);
    fields["responsePayload"] = json!("text");
    accepted("beforeAnyRequest", fields);
    let error = "hooks[0].responsePayload: hook \"h\": must be a string with \"responseSkipPayloadJSONSerialization\", and is an \
                 object";
    refused("beforeAnyRequest", respond("responseSkipPayloadJSONSerialization", json!(true)), error);
    let error = "hooks[0].responseContentType: hook \"h\": is no value of a header field";
    for wrong in ["a\nb", ""] {
        let mut fields = respond("responseContentType", json!(wrong));
        fields["responsePayload"] = json!("text");
        refused("beforeAnyRequest", fields, error);
    }
}

#[test]
fn services_have_urls() {
    refused("beforeAnyRequest", json!({ "action": CONSULT }), "hooks[0].RESTServiceURL: hook \"h\": is missing");
    let error = "hooks[0].RESTServiceURL: hook \"h\": must be an http:// or https:// URL without user name and password";
    for url in ["", "hooks.test", "ftp://hooks.test/", "http://", "https:///x", "http://me:pw@hooks.test/", "http://a b/"] {
        refused("beforeAnyRequest", consult("RESTServiceURL", json!(url)), error);
    }
    accepted("beforeAnyRequest", consult("RESTServiceURL", json!("https://hooks.test:8443/a?b=c@d")));
}

#[test]
fn service_calls_are_legal() {
    for (field, value, text) in [
        ("RESTServiceRequestMethod", json!("CONNECT"), "\"CONNECT\" is no method to call a service with"),
        ("RESTServiceRequestMethod", json!("A B"), "\"A B\" is no method to call a service with"),
        ("RESTServiceRequestHeaders", json!({ "Host": "a" }), "\"Host\" belongs to the proxy and can't be set"),
        ("RESTServiceRequestHeaders", json!("a"), "must be a JSON object whose values are strings"),
        ("RESTServiceAsync", json!("yes"), "must be true or false, and is a string"),
    ] {
        refused("beforeAnyRequest", consult(field, value), &format!("hooks[0].{field}: hook \"h\": {text}"));
    }
    for method in ["GET", "PUT", "PURGE"] {
        accepted("beforeAnyRequest", consult("RESTServiceRequestMethod", json!(method)));
    }
}

#[test]
fn times_and_attempts_have_bounds() {
    let (timeout, wait) = ("RESTServiceRequestTimeoutMilliseconds", "RESTServiceRetryWaitTimeMilliseconds");
    for (field, below, least, most, above, range) in [
        (timeout, json!(0), 1, 3_600_000, 3_600_001, " of milliseconds from 1 to 3600000"),
        (wait, json!(-1), 0, 3_600_000, 3_600_001, " of milliseconds from 0 to 3600000"),
        ("RESTServiceRetryAttempts", json!(-1), 0, 62, 63, " from 0 to 62"),
    ] {
        let error = format!("hooks[0].{field}: hook \"h\": must be a whole number{range}");
        for wrong in [below, json!(above), json!("1"), json!(1.5)] {
            refused("beforeAnyRequest", consult(field, wrong), &error);
        }
        for right in [least, most] {
            accepted("beforeAnyRequest", consult(field, json!(right)));
        }
    }
}

#[test]
fn misspelt_fields_are_refused_with_a_hint() {
    let fields = json!({ "action": "pass.unmodified", "skipNextHookInChain": true });
    let error = "hooks[0].skipNextHookInChain: hook \"h\": unknown field; \"skipNextHooksInChain\" is meant?";
    refused("beforeAnyRequest", fields, error);
    let fields = json!({ "action": "pass.unmodified", "routeMatchesRegex": "a" });
    refused("beforeAnyRequest", fields, "hooks[0].routeMatchesRegex: hook \"h\": unknown field");
}

#[test]
fn all_errors_come_at_once() {
    let errors = refusals(json!({
        "hooks": [
            { "id": "a", "eventType": "never", "action": "maybe", "matchRules": [{ "type": "route", "regex": "[" }] },
            null,
            { "id": "b", "eventType": "afterAnyRequest", "action": "consult.RESTServiceURL" },
        ],
        "onHookFailure": "explode",
        "consultationLimitMilliseconds": 0,
    }));
    let places: Vec<&str> = errors.iter().filter_map(|error| error.split(": ").next()).collect();
    let wanted = [
        "hooks[0].eventType",
        "hooks[0].matchRules[0].regex",
        "hooks[0].action",
        "hooks[1]",
        "hooks[2].RESTServiceURL",
        "consultationLimitMilliseconds",
        "onHookFailure",
    ];
    assert_eq!(places, wanted, "{errors:?}");
}
