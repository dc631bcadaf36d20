use tollgate_sdk::serde_json::json;

use super::*;

fn read(document: &Value) -> Result<Managed, Vec<String>> {
    let mut errors = OptionErrors::default();
    let managed = Managed::read(document.as_object().expect("an object"), &mut errors);
    errors.or_ok(managed).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn managed(document: &Value) -> Managed {
    read(document).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn refused(document: &Value) -> Vec<String> {
    read(document).expect_err("errors")
}

#[test]
fn nothing_is_managed_by_an_empty_policy() {
    let nothing = json!({"schemaVersion": null, "flags": null, "managedRoomIds": null, "users": null});
    assert_eq!(read(&nothing), read(&json!({})));
    let managed = managed(&nothing);
    assert!(!managed.is_managed("@a:b") && !managed.forbids_room_creation("@a:b"));
    assert!(managed.allows_password(Some("@a:b")) && !managed.allows_password(None));
}

#[test]
fn all_errors_come_at_once_by_path() {
    let document = json!({
        "schemaVersion": 1,
        "identificationStamp": 5,
        "flags": {"forbidRoomCreation": "yes", "forbidRoomCreations": true},
        "managedRoomIds": ["!a:b", "#a:b", 7],
        "users": [
            {"id": "@a:b", "active": 1, "joinedRooms": [{"roomId": "!a:b", "powerLevel": 100}]},
            {"id": "@a:b"},
            {"id": "b", "authType": "rest-with-cache-fallback", "joinedRooms": [
                {"roomId": "a", "powerLevel": 1.5}, "!a:b", {"powerLevel": 0}, {"roomId": 1, "room": 2},
            ]},
            {"forbidRoomCreation": "no", "authCredential": 1, "displayname": "x"},
            7,
        ],
    });
    assert_eq!(
        refused(&document),
        [
            "schemaVersion: must be a whole number from 2 to 2, not 1",
            "identificationStamp: must be a string, not a number",
            "flags.forbidRoomCreations: unknown field, expected one of allowCustomUserDisplayNames, allowCustomUserAvatars, \
             allowCustomPassthroughUserPasswords, allowUnauthenticatedPasswordResets, forbidRoomCreation, \
             forbidEncryptedRoomCreation, forbidUnencryptedRoomCreation, allow3pidLogin",
            "flags.forbidRoomCreation: must be true or false, not a string",
            "managedRoomIds[1]: must be a room ID like !id:example.org of at most 255 bytes",
            "managedRoomIds[2]: must be a string",
            "users[0].active: must be true or false, not a number",
            "users[1].id: is the id of an earlier user, too",
            "users[2].authType: must be one of plain, passthrough, md5, sha1, sha256, sha512, bcrypt, rest",
            "users[2].joinedRooms[0].powerLevel: must be a whole number from -9007199254740991 to 9007199254740991, not 1.5",
            "users[2].joinedRooms[0].roomId: must be a room ID like !id:example.org of at most 255 bytes",
            "users[2].joinedRooms[1]: must be an object like {\"roomId\": \"!a:b\"}, not a string",
            "users[2].joinedRooms[2].roomId: is missing",
            "users[2].joinedRooms[3].room: unknown field, expected one of roomId, powerLevel",
            "users[2].joinedRooms[3].roomId: must be a string, not a number",
            "users[2].id: must be a user ID like @me:example.org of at most 255 bytes",
            "users[3].displayname: unknown field, expected one of id, active, authType, authCredential, displayName, avatarUri, \
             joinedRooms, forbidRoomCreation, forbidEncryptedRoomCreation, forbidUnencryptedRoomCreation",
            "users[3].authCredential: must be a string, not a number",
            "users[3].forbidRoomCreation: must be true or false, not a string",
            "users[3].id: is missing",
            "users[4]: must be an object, not a number",
        ]
    );
}

#[test]
fn lists_and_objects_must_be_such() {
    let errors = refused(&json!({"flags": [], "managedRoomIds": "!a:b", "users": {}}));
    assert_eq!(
        errors,
        [
            "flags: must be an object, not a list",
            "managedRoomIds: must be a list, not a string",
            "users: must be a list, not an object"
        ]
    );
}

#[test]
fn identifiers_have_255_bytes() {
    for (bytes, is_legal) in [(254, true), (255, true), (256, false)] {
        let user = format!("@{}:b", "a".repeat(bytes - 3));
        let room = format!("!{}", "a".repeat(bytes - 1));
        assert_eq!(read(&json!({"users": [{"id": user}]})).is_ok(), is_legal, "{bytes}");
        assert_eq!(read(&json!({"managedRoomIds": [room]})).is_ok(), is_legal, "{bytes}");
    }
    for id in ["a:b", "@:b", "@a:", "@a", "@a b:c", "@a:b\n", ""] {
        assert!(read(&json!({"users": [{"id": id}]})).is_err(), "{id:?}");
    }
}

#[test]
fn own_words_of_a_user_override_the_flags() {
    let document = json!({
        "flags": {"forbidRoomCreation": true, "forbidUnencryptedRoomCreation": true},
        "users": [
            {"id": "@may:b", "forbidRoomCreation": false, "forbidEncryptedRoomCreation": true},
            {"id": "@as-all:b", "forbidRoomCreation": null},
        ],
    });
    let managed = managed(&document);
    for (user, expected) in
        [("@may:b", [false, true, true]), ("@as-all:b", [true, false, true]), ("@unmanaged:b", [true, false, true])]
    {
        let found = [
            managed.forbids_room_creation(user),
            managed.forbids_encrypted_room_creation(user),
            managed.forbids_unencrypted_room_creation(user),
        ];
        assert_eq!(found, expected, "{user}");
    }
}

#[test]
fn passwords_are_for_passthrough_users_and_flags() {
    let users = json!([{"id": "@pass:b", "authType": "passthrough"}, {"id": "@plain:b", "authType": "plain"}, {"id": "@none:b"}]);
    for (flag, expected) in [(false, [false, false, false, true]), (true, [true, false, false, true])] {
        let managed = managed(&json!({"flags": {"allowCustomPassthroughUserPasswords": flag}, "users": users}));
        let found = ["@pass:b", "@plain:b", "@none:b", "@unmanaged:b"].map(|user| managed.allows_password(Some(user)));
        assert_eq!(found, expected, "{flag}");
    }
    assert!(managed(&json!({"flags": {"allowUnauthenticatedPasswordResets": true}})).allows_password(None));
}
