//! Hooks within hooks.

use tollgate_sdk::serde_json::{Value, json};

use super::common::{hook, policy, refusals, reject};

fn consult(field: &str, nested: &Value) -> Value {
    json!({ "action": "consult.RESTServiceURL", "RESTServiceURL": "http://a/", field: nested,
            "RESTServiceAsync": field == "RESTServiceAsyncResultHook" })
}

/// A consultation whose contingency is another one, so many times.
fn deep(levels: usize) -> Value {
    (0..levels).fold(reject("M_X"), |hook, _| consult("RESTServiceContingencyHook", &hook))
}

#[test]
fn nested_hooks_are_checked_like_others() {
    for field in ["RESTServiceContingencyHook", "RESTServiceAsyncResultHook"] {
        for (nested, error) in [
            (json!({}), ".action: hook \"h\": is missing"),
            (json!({ "action": "no" }), ".action: hook \"h\": \"no\" is none of"),
            (json!({ "action": "respond" }), ".responseStatusCode: hook \"h\": is missing"),
            (json!({ "action": "pass.unmodified", "skip": true }), ".skip: hook \"h\": unknown field"),
            (
                json!({ "action": "pass.modifiedResponse", "injectJSONIntoResponse": {} }),
                ".action: hook \"h\": \"pass.modifiedResponse\" is for after hooks",
            ),
            (consult("RESTServiceContingencyHook", &json!([])), ".RESTServiceContingencyHook: hook \"h\": must be a JSON object"),
            (json!("reject"), ": hook \"h\": must be a JSON object, and is a string"),
        ] {
            let errors = refusals(hook("beforeAnyRequest", consult(field, &nested)));
            assert_eq!(errors.len(), 1, "{nested}: {errors:?}");
            assert!(errors[0].starts_with(&format!("hooks[0].{field}{error}")), "{errors:?}");
        }
        assert_eq!(refusals(hook("beforeAnyRequest", consult(field, &Value::Null))), [""; 0]);
    }
}

#[test]
fn nesting_has_a_limit() {
    assert_eq!(refusals(hook("beforeAnyRequest", deep(7))), [""; 0]);
    assert_eq!(refusals(hook("beforeAnyRequest", deep(8))), [""; 0]);
    let errors = refusals(hook("beforeAnyRequest", deep(9)));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].ends_with(".action: hook \"h\": hooks are nested deeper than 8"), "{errors:?}");
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let nested = json!({ "action": "pass.unmodified", "eventType": "x", "matchRules": [] });
    for (fields, texts) in [
        (
            consult("RESTServiceContingencyHook", &nested),
            vec!["RESTServiceContingencyHook.eventType: hook \"h\": has no effect", "RESTServiceContingencyHook.matchRules"],
        ),
        (
            json!({ "action": "pass.unmodified", "responsePayload": {} }),
            vec!["responsePayload: hook \"h\": has no effect with the action"],
        ),
        (
            json!({ "action": "consult.RESTServiceURL", "RESTServiceURL": "http://a/", "RESTServiceAsync": true,
                    "RESTServiceContingencyHook": { "action": "pass.unmodified" } }),
            vec!["RESTServiceContingencyHook: hook \"h\": has no effect where nobody waits"],
        ),
        (
            json!({ "action": "consult.RESTServiceURL", "RESTServiceURL": "http://a/",
                    "RESTServiceAsyncResultHook": { "action": "pass.unmodified" } }),
            vec!["RESTServiceAsyncResultHook: hook \"h\": has no effect without"],
        ),
    ] {
        let harness = policy(hook("beforeAnyRequest", fields));
        for text in texts {
            assert!(harness.log().iter().any(|line| line.message.contains(text)), "{text}: {:?}", harness.log());
        }
    }
}
