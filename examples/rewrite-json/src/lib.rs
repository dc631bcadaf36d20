//! Rewrites JSON objects in responses: sets and removes keys at their top level.
//!
//! Options: `{"set": {"name": "any value"}, "remove": ["name"]}`, both optional.

use serde::Deserialize;
use tollgate_sdk::{
    Addon, Error, Event, Flow, OptionErrors, Request, Response, ResponseVerdict, Subscription,
    serde_json::{Map, Value},
};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Options {
    set: Map<String, Value>,
    remove: Vec<String>,
}

struct RewriteJson {
    options: Options,
}

impl Addon for RewriteJson {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        let mut errors = OptionErrors::default();
        for (index, key) in options.remove.iter().enumerate() {
            if options.set.contains_key(key) {
                errors.push(format!("remove[{index}]"), format!("{key:?} is also to be set"));
            }
        }
        errors.or_ok(Self { options })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        // The body is collected only for these flows; all others stream past, and no instance is made for them.
        vec![Subscription::to(Event::Response).filter("~ts ^application/json").with_body()]
    }

    fn response(&mut self, _flow: &Flow, request: &Request, response: &mut Response) -> Result<ResponseVerdict, Error> {
        // The answer to HEAD goes out without a body, even if another addon gave it one.
        if request.method() == "HEAD" {
            return Ok(ResponseVerdict::Next);
        }
        // What is no object, or no JSON at all in spite of its Content-Type, is none of this addon's business.
        let Ok(mut object) = response.json::<Map<String, Value>>() else { return Ok(ResponseVerdict::Next) };
        let before = object.clone();
        for key in &self.options.remove {
            object.shift_remove(key);
        }
        for (key, value) in &self.options.set {
            object.insert(key.clone(), value.clone());
        }
        // A body that is not set goes on byte for byte; one that is loses its white space and the way its numbers were written.
        if object != before {
            response.set_json(&object)?;
        }
        Ok(ResponseVerdict::Next)
    }
}

tollgate_sdk::export!(RewriteJson);

#[cfg(test)]
mod tests {
    use tollgate_sdk::{
        serde_json::json,
        testing::{Harness, TestRequest, TestResponse},
    };

    use super::*;

    fn rewritten(options: Value, body: &str) -> TestResponse {
        let harness = Harness::<RewriteJson>::configure(options).expect("legal options");
        let upstream = TestResponse::new(200).with_header("Content-Type", "application/json").with_body(body);
        harness.response(TestRequest::get("/"), upstream).response
    }

    #[test]
    fn keys_are_set_and_removed_in_place() {
        let response = rewritten(json!({ "set": { "b": [1], "d": true }, "remove": ["a"] }), r#"{"a":1,"b":2,"c":3}"#);
        assert_eq!(response.text(), r#"{"b":[1],"c":3,"d":true}"#);
    }

    #[test]
    fn other_bodies_stay_as_they_are() {
        for body in ["[1, 2]", "{\"a\": ", "", "hello"] {
            assert_eq!(rewritten(json!({ "set": { "a": 1 } }), body).text(), body);
        }
    }

    #[test]
    fn unchanged_bodies_pass_byte_for_byte() {
        let body = "{ \"a\": 1.10 }";
        assert_eq!(rewritten(json!({ "remove": ["b"] }), body).text(), body);
    }

    #[test]
    fn answers_to_head_stay_as_they_are() {
        let harness = Harness::<RewriteJson>::configure(json!({ "set": { "a": 1 } })).expect("legal options");
        let done =
            harness.exchange(TestRequest::new("HEAD", "/"), |_| TestResponse::new(404).with_json(&json!({ "errcode": "M" })));
        assert_eq!((done.response().status, done.failures), (404, Vec::new()));
    }

    #[test]
    fn contradictions_are_refused_by_path() {
        let errors = Harness::<RewriteJson>::configure(json!({ "set": { "a": 1 }, "remove": ["b", "a"] })).expect_err("refused");
        assert_eq!(errors.to_string(), "remove[1]: \"a\" is also to be set");
        let errors = Harness::<RewriteJson>::configure(json!({ "set": 5 })).expect_err("refused");
        assert_eq!(errors.to_string(), "set: invalid type: integer `5`, expected a map");
    }
}
