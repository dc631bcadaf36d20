//! What streams bring, and to whom.

use crate::{LIST, people::Person};

/// A stream with its argument, as messages name it: `["hashtag", "music"]`.
pub(crate) type Channel = Vec<String>;

/// Something that happened.
#[derive(Debug)]
pub(crate) struct News {
    /// The streams that bring it.
    pub(crate) channels: Vec<Channel>,
    /// Whom alone it is for.
    pub(crate) only: Option<&'static Person>,
    pub(crate) event: &'static str,
    /// JSON, or the id of what is gone.
    pub(crate) payload: String,
}

impl News {
    /// Whether this stream of this person brings it.
    pub(crate) fn is_for(&self, channel: &Channel, person: &Person) -> bool {
        self.only.is_none_or(|only| only == person) && self.channels.contains(channel)
    }
}

/// The stream of this name; none if there is none, or it lacks its argument.
pub(crate) fn channel(name: &str, tag: Option<&str>, list: Option<&str>) -> Option<Channel> {
    let argument = match name {
        "user" | "user:notification" | "public" | "public:local" | "public:remote" | "direct" => None,
        "hashtag" => Some(tag.filter(|tag| !tag.is_empty())?.to_lowercase()),
        "list" => Some(list.filter(|list| *list == LIST)?.to_owned()),
        _ => return None,
    };
    Some(std::iter::once(name.to_owned()).chain(argument).collect())
}
