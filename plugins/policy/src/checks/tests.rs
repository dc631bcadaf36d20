use tollgate_sdk::{OptionErrors, serde_json::json};

use super::*;

const ALL: [(&str, &str); 13] = [
    ("POST", "/rooms/!a:b/leave"),
    ("POST", "/rooms/!a:b/kick"),
    ("PUT", "/rooms/!a:b/state/m.room.member/@a:b"),
    ("PUT", "/rooms/!a:b/state/m.room.encryption"),
    ("POST", "/createRoom"),
    ("PUT", "/rooms/!a:b/send/m.room.message/1"),
    ("PUT", "/profile/@a:b/displayname"),
    ("PUT", "/profile/@a:b/avatar_url"),
    ("PUT", "/profile/@a:b"),
    ("PATCH", "/profile/@a:b"),
    ("POST", "/rooms/!a:b/upgrade"),
    ("POST", "/account/deactivate"),
    ("POST", "/account/password"),
];

fn managed(document: &Value) -> Managed {
    let mut errors = OptionErrors::default();
    let managed = Managed::read(document.as_object().expect("an object"), &mut errors);
    errors.or_ok(managed).unwrap_or_else(|errors| panic!("{errors}"))
}

/// What the policy says about `@a:b`, who is kept in `!a:b`.
fn judged(flags: &Value, method: &str, path: &str, body: &str) -> Result<(), (u16, &'static str)> {
    judged_for("@a:b", flags, method, path, body)
}

fn judged_for(asker: &str, flags: &Value, method: &str, path: &str, body: &str) -> Result<(), (u16, &'static str)> {
    let users = json!([{"id": "@a:b", "joinedRooms": [{"roomId": "!a:b"}, {"roomId": "!a/b:c"}]}]);
    let managed = managed(&json!({"flags": flags, "managedRoomIds": ["!a:b", "!a/b:c"], "users": users}));
    let checked =
        Checked::of(method, &format!("/_matrix/client/v3{path}")).unwrap_or_else(|| panic!("{method} {path} unchecked"));
    checked.judge(&managed, Some(asker), body.as_bytes()).map_err(|denied| (denied.status, denied.errcode))
}

const FORBIDDEN: Result<(), (u16, &str)> = Err((403, "M_FORBIDDEN"));
const BAD_JSON: Result<(), (u16, &str)> = Err((403, "M_BAD_JSON"));

#[test]
fn routes_are_checked_in_all_versions() {
    for (method, path) in ALL {
        for version in ["r0", "v1", "v3", "v99", "unstable", "unstable/uk.tcpip.msc4133", "api/v1", "V3"] {
            for end in ["", "/", "//", "/./", "%2F", ";a=b"] {
                let path = format!("/_matrix/client/{version}{path}{end}");
                assert!(Checked::of(method, &path).is_some(), "{method} {path}");
            }
        }
        assert!(Checked::of("GET", &format!("/_matrix/client/v3{path}")).is_none(), "{path}");
        assert!(Checked::of("OPTIONS", &format!("/_matrix/client/v3{path}")).is_none(), "{path}");
    }
}

#[test]
fn disguises_are_seen_through() {
    let disguises = [
        "//_matrix/client/v3/createRoom",
        "/_matrix//client/v3/createRoom",
        "/_matrix/client/v3/./createRoom",
        "/x/../_matrix/client/v3/createRoom",
        "/_matrix/client/v3/x/..%2FcreateRoom",
        "/_matrix/client/v3%2FcreateRoom",
        "/_matrix/client/v3/%63reateRoom",
        "/_matrix/client/v3/CREATEROOM",
        "/_matrix;x/client/v3/createRoom;y=z",
        "/_matrix\\client\\v3\\createRoom",
        "/_matrix/client/v3/createRoom/transaction",
    ];
    for path in disguises {
        for method in ["POST", "PUT", "post"] {
            assert!(Checked::of(method, path).is_some(), "{method} {path}");
        }
    }
}

#[test]
fn other_routes_are_not_checked() {
    let others = [
        "/",
        "/createRoom",
        "/_matrix/client/v3",
        "/_matrix/client/v3/rooms/!a:b/join",
        "/_matrix/client/v3/rooms/!a:b/state/m.room.name",
        "/_matrix/client/v3/rooms/!a:b/state/m.room.members/@a:b",
        "/_matrix/client/v3/rooms/!a:b/leave/1/2",
        "/_matrix/client/v3/profile/@a:b/status",
        "/_matrix/client/v3/profile/@a:b/display",
        "/_matrix/client/v3/x/profile/@a:b/displayname",
        "/_matrix/client/unstable/x/y/profile/@a:b/displayname",
        "/_matrix/client/v3/account/password/email/requestToken",
        "/_matrix/client/versions",
        "/_matrix/federation/v3/createRoom",
        "/_matrix/client/v3x/createRoom",
    ];
    for path in others {
        assert_eq!(Checked::of("POST", path), None, "{path}");
    }
}

#[test]
fn managed_users_stay() {
    let none = json!({});
    for (method, path, body) in [
        ("POST", "/rooms/!a:b/leave", ""),
        ("PUT", "/rooms/!a:b/leave/1", ""),
        ("POST", "/rooms/!a%2Fb:c/leave", ""),
        ("POST", "/rooms/!a:b/kick", r#"{"user_id":"@a:b"}"#),
        ("PUT", "/rooms/!a:b/state/m.room.member/@a:b", r#"{"membership":"leave"}"#),
    ] {
        assert_eq!(judged(&none, method, path, body), FORBIDDEN, "{method} {path}");
        assert_eq!(judged_for("@other:b", &none, method, path, body), Ok(()), "{method} {path}");
    }
    assert_eq!(judged(&none, "POST", "/rooms/!other:b/leave", ""), Ok(()));
    assert_eq!(judged(&none, "PUT", "/rooms/!a:b/state/m.room.member/@other:b", "{}"), Ok(()));
    assert_eq!(judged(&none, "POST", "/rooms/!a:b/kick", r#"{"user_id":"@other:b"}"#), Ok(()));
    assert_eq!(judged(&none, "POST", "/rooms/!a:b/kick", r#"{"user_id":"@other:b","user_id":"@a:b"}"#), FORBIDDEN);
    for body in ["", "x", "[]", "{\"user_id\":\"@a:b\""] {
        assert_eq!(judged(&none, "POST", "/rooms/!a:b/kick", body), BAD_JSON, "{body}");
    }
}

#[test]
fn a_path_of_two_readings_must_pass_in_both() {
    let hidden = "/rooms/!other:b/send/m.x/%2F..%2F..%2F..%2F!a:b%2Fleave";
    assert_eq!(judged(&json!({}), "POST", hidden, ""), FORBIDDEN);
}

#[test]
fn rooms_are_created_as_the_flags_say() {
    let plain = r#"{"name":"a"}"#;
    let encrypted =
        r#"{"initial_state":[{"type":"m.room.encryption","state_key":"","content":{"algorithm":"m.megolm.v1.aes-sha2"}}]}"#;
    let pretended =
        r#"{"initial_state":[{"type":"m.room.encryption","state_key":"x","content":{"algorithm":"m.megolm.v1.aes-sha2"}}]}"#;
    let undone = r#"{"initial_state":[{"type":"m.room.encryption","content":{"algorithm":"a"}},{"type":"m.room.encryption","content":{}}]}"#;
    let ok = Ok(());
    for (flags, expected) in [
        (json!({}), [ok, ok, ok, ok]),
        (json!({"forbidRoomCreation": true}), [FORBIDDEN; 4]),
        (json!({"forbidEncryptedRoomCreation": true}), [ok, FORBIDDEN, FORBIDDEN, FORBIDDEN]),
        (json!({"forbidUnencryptedRoomCreation": true}), [FORBIDDEN, ok, FORBIDDEN, FORBIDDEN]),
    ] {
        for asker in ["@a:b", "@unmanaged:b"] {
            let found = [plain, encrypted, pretended, undone].map(|body| judged_for(asker, &flags, "POST", "/createRoom", body));
            assert_eq!(found, expected, "{flags} {asker}");
        }
    }
    for body in ["", "no JSON", "[]", r#"{"initial_state":{}}"#] {
        assert_eq!(judged(&json!({}), "POST", "/createRoom", body), BAD_JSON, "{body}");
    }
    assert_eq!(judged(&json!({}), "POST", "/rooms/!a:b/upgrade", ""), Ok(()));
    assert_eq!(judged(&json!({"forbidRoomCreation": true}), "POST", "/rooms/!a:b/upgrade", ""), FORBIDDEN);
    assert_eq!(judged(&json!({}), "POST", "/createRoom", r#"{"initial_state":null}"#), Ok(()));
}

#[test]
fn rooms_are_encrypted_as_the_flags_say() {
    let path = "/rooms/!x:b/state/m.room.encryption";
    assert_eq!(judged(&json!({}), "PUT", path, "{}"), Ok(()));
    for end in ["", "/", "/x"] {
        let path = format!("{path}{end}");
        assert_eq!(judged(&json!({"forbidEncryptedRoomCreation": true}), "PUT", &path, "{}"), FORBIDDEN, "{path}");
    }
}

#[test]
fn profiles_of_managed_users_are_the_policys() {
    for (field, flag) in [("displayname", "allowCustomUserDisplayNames"), ("avatar_url", "allowCustomUserAvatars")] {
        let (own, of_other) = (format!("/profile/@a:b/{field}"), format!("/profile/@other:b/{field}"));
        for (method, body) in [("PUT", "{}"), ("DELETE", "")] {
            assert_eq!(judged(&json!({}), method, &own, body), FORBIDDEN, "{method} {own}");
            assert_eq!(judged(&json!({flag: true}), method, &own, body), Ok(()), "{method} {own}");
            assert_eq!(judged(&json!({}), method, &of_other, body), Ok(()), "{method} {of_other}");
            assert_eq!(judged_for("@other:b", &json!({}), method, &of_other, body), Ok(()), "{method} {of_other}");
        }
    }
}

#[test]
fn all_ways_to_a_profile_are_the_policys() {
    let both = json!({"allowCustomUserDisplayNames": true, "allowCustomUserAvatars": true});
    for (method, path) in [
        ("PUT", "/profile/@a:b/displayname_"),
        ("PUT", "/profile/@a:b/displayname/x"),
        ("PUT", "/profile/@a:b/avatar_url2"),
        ("PUT", "/profile/@a:b"),
        ("PATCH", "/profile/@a:b"),
        ("PATCH", "/profile/@a:b/displayname"),
    ] {
        assert_eq!(judged(&json!({}), method, path, "{}"), FORBIDDEN, "{method} {path}");
        assert_eq!(judged(&both, method, path, "{}"), Ok(()), "{method} {path}");
        assert_eq!(judged_for("@other:b", &json!({}), method, path, "{}"), Ok(()), "{method} {path}");
    }
    for flag in ["allowCustomUserDisplayNames", "allowCustomUserAvatars"] {
        assert_eq!(judged(&json!({flag: true}), "PATCH", "/profile/@a:b", "{}"), FORBIDDEN, "{flag}");
    }
    assert_eq!(judged(&both, "PATCH", "/profile/@a:b", r#"{"displayname":"[x] a"}"#), FORBIDDEN);
}

#[test]
fn nobody_is_named_like_the_deactivated() {
    let flags = json!({"allowCustomUserDisplayNames": true});
    let name = |text: &str| json!({"displayname": text}).to_string();
    for asker in ["@a:b", "@other:b"] {
        let judged = |body: &str| judged_for(asker, &flags, "PUT", "/profile/@a:b/displayname", body);
        assert_eq!(judged(&name("[x] A")), FORBIDDEN);
        assert_eq!(judged(&name("A [x] ")), FORBIDDEN);
        assert_eq!(judged(&name("[x]A")), Ok(()));
        assert_eq!(judged("no JSON"), BAD_JSON);
    }
}

#[test]
fn managed_users_are_not_deactivated() {
    assert_eq!(judged(&json!({}), "POST", "/account/deactivate", "{}"), FORBIDDEN);
    assert_eq!(judged_for("@other:b", &json!({}), "POST", "/account/deactivate", "{}"), Ok(()));
}

#[test]
fn only_passwords_go_without_a_token() {
    for (method, path) in ALL {
        let checked = Checked::of(method, &format!("/_matrix/client/v3{path}")).expect("a checked route");
        let is_password = path == "/account/password";
        assert_eq!(checked.token_needed(), !is_password, "{path}");
        let denied = checked.judge(&Managed::default(), None, b"{}").expect_err("no token");
        assert_eq!(denied.errcode, if is_password { "M_FORBIDDEN" } else { "M_MISSING_TOKEN" }, "{path}");
    }
    let managed = managed(&json!({"flags": {"allowUnauthenticatedPasswordResets": true}}));
    let checked = Checked::of("POST", "/_matrix/client/v3/account/password").expect("a checked route");
    assert_eq!(checked.judge(&managed, None, b"{}"), Ok(()));
}

#[test]
fn versions_have_a_gate() {
    for version in ["r1", "v2", "v4", "v0", "r00", "v10", "V2"] {
        for path in [format!("/_matrix/client/{version}"), format!("/_matrix/client/{version}/sync")] {
            assert!(api_version_refused(&path), "{path}");
        }
    }
    for path in ["/_matrix//client/v2/sync", "/_matrix/client/v2%2Fsync", "/x/../_matrix/client/v2"] {
        assert!(api_version_refused(path), "{path}");
    }
    for version in ["r0", "v1", "v3", "unstable", "versions", "v2_alpha", "api", "v", "r"] {
        assert!(!api_version_refused(&format!("/_matrix/client/{version}/sync")), "{version}");
    }
    for path in ["/", "/_matrix/media/v2/x", "/_matrix/federation/v2/x", "/_synapse/admin/v2/users"] {
        assert!(!api_version_refused(path), "{path}");
    }
}

#[test]
fn bodies_are_needed_where_they_are_read() {
    for (method, path) in ALL {
        let checked = Checked::of(method, &format!("/_matrix/client/v3{path}")).expect("a checked route");
        let is_read = ["/rooms/!a:b/kick", "/createRoom", "/profile/@a:b/displayname", "/profile/@a:b"].contains(&path);
        assert_eq!(checked.needs_body(), is_read, "{path}");
    }
}
