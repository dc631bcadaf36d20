//! Guests, status messages, push rules, and the default permission.

use tollgate_sdk::{
    Origin,
    serde_json::{Value, json},
    testing::{TestRequest, TestResponse},
};

use super::common::{CLIENT, asked_with, assert_passes, assert_refused, harness, verdict, without};

#[test]
fn guests_cannot_register() {
    for query in [
        "kind=guest",
        "x=1;kind=guest",
        "x=%26;k%69nd=guest;y",
        "x=y&kind=guest",
        "kind=user&kind=guest",
        "k%69nd=gu%65st",
        "kind=GUEST",
    ] {
        assert_refused("POST", &format!("{CLIENT}/register?{query}"), "{}", 403, "M_FORBIDDEN");
    }
    let forms = [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-URLencoded; charset=utf-8",
        "multipart/form-data; boundary=x",
    ];
    for form in forms {
        let request = TestRequest::post(&format!("{CLIENT}/register")).with_body(r#"{"x":"&kind=guest&y="}"#);
        let done = harness(&json!({})).request(request.with_header("Content-Type", form));
        assert_eq!(verdict(&done), (415, "M_UNRECOGNIZED".to_owned()), "{form}");
    }
    for query in ["", "?kind=user", "?kind=", "?other=guest", "?x=%3Bkind=guest"] {
        assert_passes("POST", &format!("{CLIENT}/register{query}"), "{}");
    }
    assert_passes("GET", &format!("{CLIENT}/register/available?kind=guest"), "");
    let off = asked_with(&without("guests"), "POST", &format!("{CLIENT}/register?kind=guest"), "{}");
    assert_eq!(verdict(&off).0, 200);
}

#[test]
fn bodies_that_are_judged_have_no_coding() {
    let done = |options: &Value, coding: &str| {
        let request = TestRequest::post(&format!("{CLIENT}/rooms/!a:b/upgrade")).with_body(r#"{"new_version":"10"}"#);
        verdict(&harness(options).request(request.with_header("Content-Encoding", coding)))
    };
    for coding in ["gzip", "x-unknown", "identity, gzip"] {
        assert_eq!(done(&json!({}), coding), (415, "M_UNRECOGNIZED".to_owned()), "{coding}");
        assert_eq!(done(&without("room_versions"), coding).0, 200, "{coding}");
    }
    assert_eq!(done(&json!({}), "Identity").0, 200);
}

#[test]
fn status_messages_have_an_end() {
    let target = format!("{CLIENT}/presence/@a:b/status");
    let body = |text: &str| json!({ "presence": "online", "status_msg": text }).to_string();
    for (text, is_allowed) in [
        ("x".repeat(249), true),
        ("x".repeat(250), true),
        ("x".repeat(251), false),
        ("\u{20ac}".repeat(250), true),
        ("\u{1f600}".repeat(125), true),
        ("\u{1f600}".repeat(125) + "x", false),
    ] {
        if is_allowed {
            assert_passes("PUT", &target, &body(&text));
        } else {
            assert_refused("PUT", &target, &body(&text), 403, "M_TOO_LARGE");
        }
    }
    let escaped = format!(r#"{{"status_msg":"{}"}}"#, r"\ud83d\ude00".repeat(126));
    assert_refused("PUT", &target, &escaped, 403, "M_TOO_LARGE");
    for body in [r#"{"status_msg":null}"#, "{}", r#"{"status_msg":7}"#] {
        assert_passes("PUT", &target, body);
    }
    assert_refused("PUT", &target, r#"{"status_msg":"","status_msg":""}"#, 400, "M_BAD_JSON");
    assert_refused("PUT", &target, "[]", 400, "M_BAD_JSON");
    let short = json!({ "status_message_length": 3 });
    for (text, status) in [("abc", 200), ("abcd", 403)] {
        assert_eq!(verdict(&asked_with(&short, "PUT", &target, &body(text))).0, status);
    }
    assert_eq!(verdict(&asked_with(&without("status_message"), "PUT", &target, &body(&"x".repeat(251)))).0, 200);
}

#[test]
fn malformed_paths_of_push_rules_are_told_so() {
    for (method, path, errcode) in [
        ("GET", "/global", "M_MISSING_PARAM"),
        ("GET", "/global/override", "M_MISSING_PARAM"),
        ("PUT", "/", "M_MISSING_PARAM"),
        ("PUT", "/global", "M_MISSING_PARAM"),
        ("PUT", "/global/override", "M_MISSING_PARAM"),
        ("GET", "/global/override/rule/other", "M_INVALID_PARAM"),
        ("PUT", "/global/override/rule/other", "M_INVALID_PARAM"),
        ("PUT", "/global/override/", "M_INVALID_PARAM"),
        ("GET", "/gl%6Fbal", "M_MISSING_PARAM"),
    ] {
        assert_refused(method, &format!("{CLIENT}/pushrules{path}"), "", 400, errcode);
    }
    for (method, path) in [
        ("GET", "/"),
        ("GET", ""),
        ("GET", "/global/"),
        ("GET", "/global/override/"),
        ("GET", "/global/override/rule"),
        ("PUT", "/global/override/rule"),
        ("DELETE", "/global/override/rule"),
        ("GET", "/global/override/rule/actions"),
        ("PUT", "/global/override/rule/enabled"),
        ("GET", "/global/override/a%2Fb"),
    ] {
        assert_passes(method, &format!("{CLIENT}/pushrules{path}"), "");
    }
    assert_eq!(verdict(&asked_with(&without("push_rules"), "GET", &format!("{CLIENT}/pushrules/global"), "")).0, 200);
}

fn permission(options: &Value, target: &str, response: TestResponse) -> (u16, String) {
    let done = harness(options).response(TestRequest::get(target), response);
    (done.response.status, done.response.text().to_owned())
}

#[test]
fn users_who_said_nothing_have_a_permission() {
    let absent = || TestResponse::new(404).with_json(&json!({ "errcode": "M_NOT_FOUND" })).with_header("ETag", "\"a\"");
    for kind in ["de.gematik.tim.account.permissionconfig.v1", "de.gematik.tim.account.permissionconfig.pro.v1"] {
        let target = format!("{CLIENT}/user/@a:b/account_data/{kind}");
        let (allow, block) = (r#"{"defaultSetting":"allow all"}"#, r#"{"defaultSetting":"block all"}"#);
        assert_eq!(permission(&json!({}), &target, absent()), (200, allow.to_owned()));
        let blocking = json!({ "invite_rejection_policy": "block all" });
        assert_eq!(permission(&blocking, &target, absent()), (200, block.to_owned()));
        // Whatever else the homeserver says is for the client.
        for status in [200, 401, 403, 500] {
            assert_eq!(permission(&json!({}), &target, TestResponse::new(status).with_body("x")), (status, "x".to_owned()));
        }
        let made = TestResponse { origin: Origin::Addon("fence".to_owned()), ..absent() };
        assert_eq!(permission(&json!({}), &target, made).0, 404);
        assert_eq!(permission(&without("permission_default"), &target, absent()).0, 404);
    }
    for target in
        ["/user/@a:b/account_data/m.direct", "/user/@a:b/rooms/!r:b/account_data/de.gematik.tim.account.permissionconfig.v1"]
    {
        assert_eq!(permission(&json!({}), &format!("{CLIENT}{target}"), absent()).0, 404, "{target}");
    }
    let done = harness(&json!({})).response(
        TestRequest::get(&format!("{CLIENT}/user/@a:b/account_data/de.gematik.tim.account.permissionconfig.v1")),
        absent(),
    );
    assert_eq!((done.response.header("etag"), done.response.header("content-type")), (None, Some("application/json")));
}
