//! What the server says of itself.

use serde_json::{Value, json};

use crate::people::{PEOPLE, Person};

const TITLE: &str = "Sample";
const VERSION: &str = "4.3.0";
const ABOUT: &str = "A sample server with invented people";

/// `GET /api/v1/instance`.
pub(crate) fn v1(base: &str) -> Value {
    json!({
        "uri": host(base),
        "title": TITLE,
        "short_description": ABOUT,
        "description": ABOUT,
        "email": "admin@sample.example",
        "version": VERSION,
        "urls": {"streaming_api": streaming(base)},
        "stats": {"user_count": Person::locals().count(), "status_count": 32, "domain_count": 3},
        "thumbnail": null,
        "languages": ["en"],
        "registrations": false,
        "approval_required": false,
        "invites_enabled": false,
        "configuration": limits(),
        "contact_account": contact(base),
        "rules": [],
    })
}

/// `GET /api/v2/instance`.
pub(crate) fn v2(base: &str) -> Value {
    let mut configuration = limits();
    if let Some(configuration) = configuration.as_object_mut() {
        configuration.insert("urls".to_owned(), json!({"streaming": streaming(base)}));
        configuration.insert("vapid".to_owned(), json!({"public_key": ""}));
        configuration.insert("translation".to_owned(), json!({"enabled": false}));
    }
    json!({
        "domain": host(base),
        "title": TITLE,
        "version": VERSION,
        "source_url": "",
        "description": ABOUT,
        "usage": {"users": {"active_month": PEOPLE.len()}},
        "thumbnail": {"url": format!("{base}/portraits/ida.svg")},
        "icon": [],
        "languages": ["en"],
        "configuration": configuration,
        "registrations": {"enabled": false, "approval_required": false, "message": null, "url": null},
        "api_versions": {"mastodon": 2},
        "contact": {"email": "admin@sample.example", "account": contact(base)},
        "rules": [],
    })
}

fn host(base: &str) -> &str {
    base.rsplit('/').next().unwrap_or(base)
}

fn streaming(base: &str) -> String {
    format!("ws://{}", host(base))
}

fn contact(base: &str) -> Option<Value> {
    Person::locals().next().map(|person| person.account(base))
}

fn limits() -> Value {
    json!({
        "accounts": {"max_featured_tags": 0, "max_pinned_statuses": 0},
        "statuses": {"max_characters": 500, "max_media_attachments": 0, "characters_reserved_per_url": 23},
        "media_attachments": {"supported_mime_types": [], "image_size_limit": 0, "image_matrix_limit": 0, "video_size_limit": 0,
            "video_frame_rate_limit": 0, "video_matrix_limit": 0},
        "polls": {"max_options": 4, "max_characters_per_option": 50, "min_expiration": 300, "max_expiration": 2_629_746},
    })
}
