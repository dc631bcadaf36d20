//! Posts and boosts, and who is told of them.

use std::{collections::BTreeMap, time::SystemTime};

use humantime::format_rfc3339_millis;
use serde_json::{Value, json};

use crate::{people::Person, streams::Channel};

/// By id.
pub(crate) type Statuses = BTreeMap<u64, Status>;

#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) id: u64,
    pub(crate) author: &'static Person,
    pub(crate) created: SystemTime,
    pub(crate) edited: Option<SystemTime>,
    /// Without markup; empty for boosts.
    pub(crate) text: String,
    /// What is boosted.
    pub(crate) boosts: Option<u64>,
}

impl Status {
    /// In lower case, without the sign.
    pub(crate) fn tags(&self) -> impl Iterator<Item = String> {
        let words = self.text.split(|letter: char| letter.is_whitespace());
        words.filter_map(|word| {
            let tag: String = word.strip_prefix('#')?.chars().take_while(|letter| letter.is_alphanumeric()).collect();
            (!tag.is_empty()).then(|| tag.to_lowercase())
        })
    }

    /// The streams that bring it.
    pub(crate) fn channels(&self) -> Vec<Channel> {
        let named = |name: &str| vec![name.to_owned()];
        let mut all = vec![named("user")];
        if self.author.is_friend {
            all.push(vec!["list".to_owned(), crate::LIST.to_owned()]);
        }
        if self.boosts.is_none() {
            let side = if self.author.is_local() { "public:local" } else { "public:remote" };
            all.extend([named("public"), named(side)]);
            all.extend(self.tags().map(|tag| vec!["hashtag".to_owned(), tag]));
        }
        all
    }

    /// As Mastodon's `Status`: `base` is the origin of this server, and `viewer` who looks.
    pub(crate) fn json(&self, all: &Statuses, base: &str, viewer: Option<&Person>) -> Value {
        let (id, name, home) = (self.id, self.author.name, self.author.home(base));
        let boosts: Vec<_> = all.values().filter(|other| other.boosts == Some(id)).collect();
        let original = self.boosts.and_then(|id| all.get(&id)).map(|original| original.json(all, base, viewer));
        let uri = format!("{home}/users/{name}/statuses/{id}");
        json!({
            "id": id.to_string(),
            "created_at": format_rfc3339_millis(self.created).to_string(),
            "edited_at": self.edited.map(|time| format_rfc3339_millis(time).to_string()),
            "in_reply_to_id": null,
            "in_reply_to_account_id": null,
            "sensitive": false,
            "spoiler_text": "",
            "visibility": "public",
            "language": "en",
            "uri": if original.is_some() { format!("{uri}/activity") } else { uri },
            "url": format!("{home}/@{name}/{id}"),
            "replies_count": 0,
            "reblogs_count": boosts.len(),
            "favourites_count": 0,
            "favourited": false,
            "reblogged": viewer.is_some_and(|viewer| boosts.iter().any(|boost| boost.author == viewer)),
            "muted": false,
            "bookmarked": false,
            "content": if self.text.is_empty() { String::new() } else { format!("<p>{}</p>", escaped(&self.text)) },
            "filtered": [],
            "reblog": original,
            "application": null,
            "account": self.author.account(base),
            "media_attachments": [],
            "mentions": [],
            "tags": self.tags().map(|tag| json!({"url": format!("{base}/tags/{tag}"), "name": tag})).collect::<Vec<_>>(),
            "emojis": [],
            "card": null,
            "poll": null,
        })
    }
}

/// Text within HTML, also within quotes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
