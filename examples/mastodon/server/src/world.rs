//! Everything that is known, and what people do with it.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use humantime::format_rfc3339_millis;
use hyper::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::{
    answer::{Answer, Refused},
    logins::Logins,
    people::Person,
    request::Arrived,
    seed,
    status::{Status, Statuses},
    streams::News,
    timeline::Timeline,
};

/// Posts and boosts, apps, codes and tokens that are kept, each; beyond it 429 until the server is started anew.
pub(crate) const KEPT: usize = 10_000;

/// Characters of a post; beyond it 422.
const LONGEST: usize = 500;

/// News that a slow stream may be behind; beyond it the stream ends, and clients connect again.
const BEHIND: usize = 1024;

pub(crate) struct World {
    /// The origin of this server, like `http://127.0.0.1:3000`; clients may know it by another.
    pub(crate) base: String,
    pub(crate) logins: Mutex<Logins>,
    statuses: Mutex<Statuses>,
    news: broadcast::Sender<Arc<News>>,
}

impl World {
    pub(crate) fn new(base: String) -> Self {
        let statuses = seed::statuses().map(|status| (status.id, status)).collect();
        let logins = Mutex::new(Logins::default());
        Self { base, logins, statuses: Mutex::new(statuses), news: broadcast::Sender::new(BEHIND) }
    }

    /// What happens from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<News>> {
        self.news.subscribe()
    }

    pub(crate) fn page(&self, timeline: &Timeline, viewer: Option<&Person>, request: &Arrived) -> Answer {
        timeline.page(&self.statuses.lock(), &self.base, viewer, request)
    }

    pub(crate) fn status(&self, id: u64, viewer: Option<&Person>) -> Result<Value, Refused> {
        let all = self.statuses.lock();
        all.get(&id).map(|status| status.json(&all, &self.base, viewer)).ok_or(Refused::NOT_FOUND)
    }

    pub(crate) fn post(&self, author: &'static Person, text: &str) -> Result<Value, Refused> {
        let text = checked(text)?;
        self.add(author, text, None)
    }

    /// The boost is the answer; who boosts twice gets the first one again.
    pub(crate) fn boost(&self, author: &'static Person, id: u64) -> Result<Value, Refused> {
        let original = {
            let all = self.statuses.lock();
            let own = all.values().find(|status| status.author == author && status.boosts == Some(id));
            if let Some(own) = own {
                return Ok(own.json(&all, &self.base, Some(author)));
            }
            all.get(&id).filter(|status| status.boosts.is_none()).ok_or(Refused::NOT_FOUND)?.author
        };
        let boost = self.add(author, String::new(), Some(id))?;
        if original.is_local() && original != author {
            let payload = notification(&boost, &author.account(&self.base));
            let channels = vec![vec!["user".to_owned()], vec!["user:notification".to_owned()]];
            self.tell(News { channels, only: Some(original), event: "notification", payload: payload.to_string() });
        }
        Ok(boost)
    }

    /// The post is the answer.
    pub(crate) fn unboost(&self, author: &'static Person, id: u64) -> Result<Value, Refused> {
        let own = {
            let all = self.statuses.lock();
            all.values().find(|status| status.author == author && status.boosts == Some(id)).map(|status| status.id)
        };
        if let Some(own) = own {
            self.delete(author, own)?;
        }
        self.status(id, Some(author))
    }

    pub(crate) fn edit(&self, author: &'static Person, id: u64, text: &str) -> Result<Value, Refused> {
        let text = checked(text)?;
        let mut all = self.statuses.lock();
        let status = all.get_mut(&id).filter(|status| status.author == author && status.boosts.is_none());
        let status = status.ok_or(Refused::NOT_FOUND)?;
        status.text = text;
        status.edited = Some(SystemTime::now());
        let status = status.clone();
        self.tell(News {
            channels: status.channels(),
            only: None,
            event: "status.update",
            payload: status.json(&all, &self.base, None).to_string(),
        });
        Ok(status.json(&all, &self.base, Some(author)))
    }

    /// Its boosts go with it.
    pub(crate) fn delete(&self, author: &'static Person, id: u64) -> Result<Value, Refused> {
        let mut all = self.statuses.lock();
        let status = all.get(&id).filter(|status| status.author == author).ok_or(Refused::NOT_FOUND)?;
        let answer = status.json(&all, &self.base, Some(author));
        let gone: Vec<u64> =
            all.values().filter(|other| other.id == id || other.boosts == Some(id)).map(|other| other.id).collect();
        for status in gone.iter().rev().filter_map(|id| all.remove(id)) {
            self.tell(News { channels: status.channels(), only: None, event: "delete", payload: status.id.to_string() });
        }
        Ok(answer)
    }

    /// Boosts of what this person wrote, newest first.
    pub(crate) fn notifications(&self, person: &Person) -> Value {
        let all = self.statuses.lock();
        let of = |boost: &Status| all.get(&boost.boosts?).map(|original| original.author);
        let boosts =
            all.values().rev().filter(|boost| of(boost).is_some_and(|author| author == person && boost.author != person));
        let all =
            boosts.map(|boost| notification(&boost.json(&all, &self.base, Some(person)), &boost.author.account(&self.base)));
        all.collect()
    }

    fn add(&self, author: &'static Person, text: String, boosts: Option<u64>) -> Result<Value, Refused> {
        let mut all = self.statuses.lock();
        if all.len() >= KEPT {
            return Err(Refused::FULL);
        }
        let created = SystemTime::now();
        let milliseconds = created.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        // As Mastodon makes them: later ones are greater, and not those of a server that was started earlier.
        let now = u64::try_from(milliseconds << 16).unwrap_or_default();
        let id = all.last_key_value().map_or(now, |(last, _)| now.max(last + 1));
        let status = Status { id, author, created, edited: None, text, boosts };
        all.insert(id, status.clone());
        self.tell(News {
            channels: status.channels(),
            only: None,
            event: "update",
            payload: status.json(&all, &self.base, None).to_string(),
        });
        Ok(status.json(&all, &self.base, Some(author)))
    }

    fn tell(&self, news: News) {
        // Nobody may be listening.
        let _ = self.news.send(Arc::new(news));
    }
}

fn checked(text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, "Validation failed: Text can't be blank"));
    }
    if text.chars().count() > LONGEST {
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, "Validation failed: Text character limit of 500 exceeded"));
    }
    Ok(text.to_owned())
}

fn notification(boost: &Value, account: &Value) -> Value {
    let (id, time) = (boost.get("id"), boost.get("created_at"));
    let now = format_rfc3339_millis(SystemTime::now()).to_string();
    json!({
        "id": id,
        "type": "reblog",
        "created_at": time.cloned().unwrap_or(Value::String(now)),
        "group_key": format!("ungrouped-{}", id.and_then(Value::as_str).unwrap_or_default()),
        "account": account,
        "status": boost.get("reblog"),
    })
}
