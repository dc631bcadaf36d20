//! Who is there. All of them are invented.

use serde_json::{Value, json};

/// Somebody with an account. Those without a host are of this server, and can log in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) name: &'static str,
    title: &'static str,
    host: Option<&'static str>,
    /// In the list `Friends`, which everybody has.
    pub(crate) is_friend: bool,
}

pub(crate) static PEOPLE: [Person; 5] = [
    Person { name: "ida", title: "Ida", host: None, is_friend: false },
    Person { name: "aron", title: "Aron", host: None, is_friend: true },
    Person { name: "mio", title: "Mio", host: None, is_friend: false },
    Person { name: "tove", title: "Tove", host: Some("harbour.example"), is_friend: true },
    Person { name: "runa", title: "Runa", host: Some("hills.example"), is_friend: false },
];

impl Person {
    /// Of any server.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        PEOPLE.iter().find(|person| person.name == name)
    }

    /// Those who can log in.
    pub(crate) fn locals() -> impl Iterator<Item = &'static Self> {
        PEOPLE.iter().filter(|person| person.is_local())
    }

    pub(crate) fn is_local(&self) -> bool {
        self.host.is_none()
    }

    /// Where posts of theirs have their names: `base` is the origin of this server.
    pub(crate) fn home(&self, base: &str) -> String {
        self.host.map_or_else(|| base.to_owned(), |host| format!("https://{host}"))
    }

    /// As Mastodon's `Account`.
    pub(crate) fn account(&self, base: &str) -> Value {
        let (name, home) = (self.name, self.home(base));
        let portrait = format!("{base}/portraits/{name}.svg");
        json!({
            "id": name,
            "username": name,
            "acct": self.host.map_or_else(|| name.to_owned(), |host| format!("{name}@{host}")),
            "display_name": self.title,
            "locked": false,
            "bot": false,
            "discoverable": true,
            "group": false,
            "created_at": "2026-01-01T00:00:00.000Z",
            "note": "",
            "url": format!("{home}/@{name}"),
            "uri": format!("{home}/users/{name}"),
            "avatar": portrait,
            "avatar_static": portrait,
            "header": portrait,
            "header_static": portrait,
            "followers_count": PEOPLE.len() - 1,
            "following_count": PEOPLE.len() - 1,
            "statuses_count": 0,
            "last_status_at": null,
            "emojis": [],
            "fields": [],
        })
    }
}

/// The initial on a square.
pub(crate) fn portrait(file: &str) -> Option<String> {
    let person = Person::named(file.strip_suffix(".svg")?)?;
    let initial: String = person.title.chars().take(1).collect();
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 48 48\"><rect width=\"48\" height=\"48\" fill=\"#356\"/>\
         <text x=\"24\" y=\"33\" font-size=\"26\" text-anchor=\"middle\" fill=\"#fff\">{initial}</text></svg>"
    ))
}
