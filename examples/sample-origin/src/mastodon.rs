//! As much of Mastodon as a timeline needs. The people are invented.

use hyper::{
    StatusCode,
    header::{HOST, HeaderValue, LINK},
};
use serde_json::{Value, json};

use crate::{
    Arrived,
    answer::{Answer, Refused, json},
};

pub(crate) fn route(request: &Arrived, path: &[&str]) -> Answer {
    match path {
        ["instance"] => json(&instance(&own_host(request))),
        ["timelines", "home"] => timeline(&own_host(request)),
        _ => Refused(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "Record not found").into(),
    }
}

fn own_host(request: &Arrived) -> String {
    request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost").to_owned()
}

fn instance(host: &str) -> Value {
    json!({
        "uri": host,
        "title": "Sample",
        "short_description": "A sample instance behind a proxy",
        "description": "",
        "email": "admin@example.org",
        "version": "4.3.0",
        "urls": {"streaming_api": format!("ws://{host}")},
        "stats": {"user_count": 3, "status_count": 4, "domain_count": 2},
        "thumbnail": null,
        "languages": ["en"],
        "registrations": false,
        "approval_required": false,
        "invites_enabled": false,
        "configuration": {"statuses": {"max_characters": 500, "max_media_attachments": 4}},
        "contact_account": account(host, "ida"),
        "rules": [],
    })
}

/// Newest first; the second entry boosts the last one.
fn timeline(host: &str) -> Answer {
    let tea = status(host, "103", "tove", "Tea or coffee?");
    let statuses = json!([
        status(host, "106", "ida", "The harbour is frozen."),
        boost(host, "105", "aron", &tea),
        status(host, "104", "aron", "New strings on the old guitar."),
        tea,
    ]);
    let mut answer = json(&statuses);
    let link = format!(
        "<http://{host}/api/v1/timelines/home?max_id=103>; rel=\"next\", <http://{host}/api/v1/timelines/home?min_id=106>; rel=\"prev\""
    );
    if let Ok(link) = HeaderValue::try_from(link) {
        answer.headers_mut().insert(LINK, link);
    }
    answer
}

fn account(host: &str, name: &str) -> Value {
    json!({
        "id": name,
        "username": name,
        "acct": name,
        "display_name": name,
        "url": format!("http://{host}/@{name}"),
        "uri": format!("http://{host}/users/{name}"),
        "locked": false,
        "bot": false,
        "emojis": [],
        "fields": [],
    })
}

fn status(host: &str, id: &str, author: &str, text: &str) -> Value {
    json!({
        "id": id,
        "created_at": "2026-01-15T08:00:00.000Z",
        "edited_at": null,
        "uri": format!("http://{host}/users/{author}/statuses/{id}"),
        "url": format!("http://{host}/@{author}/{id}"),
        "content": format!("<p>{text}</p>"),
        "account": account(host, author),
        "reblog": null,
        "visibility": "public",
        "sensitive": false,
        "spoiler_text": "",
        "language": "en",
        "media_attachments": [],
        "mentions": [],
        "tags": [],
        "emojis": [],
        "replies_count": 0,
        "reblogs_count": 0,
        "favourites_count": 0,
    })
}

fn boost(host: &str, id: &str, author: &str, original: &Value) -> Value {
    let mut boost = status(host, id, author, "");
    if let Some(fields) = boost.as_object_mut() {
        fields.insert("uri".to_owned(), json!(format!("http://{host}/users/{author}/statuses/{id}/activity")));
        fields.insert("reblog".to_owned(), original.clone());
    }
    boost
}
