//! Hostile guests on one side, other people's flows on the other.

use std::{ops::Deref, time::Duration};

use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{Hosted, HostedBuilder, Load};
use crate::{
    client::Answer,
    origin::RawOrigin,
    patience::{PATIENCE, eventually},
};

/// A proxy with hostile guests, each called for the path of its name only, while others ask for `/fine` and are shown to an
/// innocent addon.
pub struct Siege {
    host: Hosted,
    origin: RawOrigin,
    load: Load,
    names: Vec<String>,
    memory: u64,
}

/// Clients of the others.
const OTHERS: usize = 2;

/// What the proxy may have more of at the end than at the beginning: warm slots, the allocator's reserves, the cache of compiled
/// functions. Far less than what one guest can take with each of its flows.
const SLACK: u64 = 96 << 20;

impl Siege {
    /// By these guests: name and component of each. None is put in quarantine: each flow of each is one that it can harm.
    /// `change` is what else the proxy is told.
    pub async fn by(
        guests: impl IntoIterator<Item = (String, Vec<u8>)>,
        change: impl FnOnce(HostedBuilder) -> HostedBuilder,
    ) -> Self {
        let origin = RawOrigin::ok().await;
        let innocent = json!({"rules": [{"on": "response", "filter": "~p ^/fine$", "do": [{"set": ["X-Seen", "{status}"]}]}]});
        let mut builder = Hosted::before(&origin.url()).scripted("innocent", &innocent);
        let mut names = Vec::new();
        for (name, component) in guests {
            builder = builder.unknown(&name, &component).set(&format!("addon.{name}.quarantine"), "false");
            names.push(name);
        }
        let host = change(builder).start().await;
        let load = Load::start(host.address(), OTHERS, "/fine", |answer| {
            match (answer.status.as_u16(), answer.header("x-seen"), answer.text().as_str()) {
                (200, Some("200"), "ok") => Ok(()),
                (status, seen, text) => Err(format!("{status}, seen {seen:?}: {text}")),
            }
        });
        load.more(50).await;
        let memory = host.rss();
        Self { host, origin, load, names, memory }
    }

    /// The origin of all flows.
    #[must_use]
    pub const fn origin(&self) -> &RawOrigin {
        &self.origin
    }

    /// The flows of others.
    #[must_use]
    pub const fn load(&self) -> &Load {
        &self.load
    }

    /// What a client gets whose flow this guest is shown.
    pub async fn ask(&self, name: &str) -> Answer {
        self.host.post(&format!("/{name}"), "hello").await
    }

    /// Panics unless a flow that this guest is shown ends in the answer of a failed addon, the counter goes up by one, and the
    /// log tells both addon and reason.
    pub async fn repels(&self, name: &str, counter: &str, said: &str) {
        let before = self.host.admin().counter(name, counter).await;
        let answer = self.ask(name).await;
        let error = json!({"errcode": "M_UNKNOWN", "error": format!("addon {name} failed")});
        assert_eq!((answer.status.as_u16(), answer.json()), (503, error), "{name}");
        assert_eq!(self.host.admin().counter(name, counter).await, before + 1, "{name}: {counter}");
        self.tells(name, said).await;
    }

    /// Waits until a line of the log names this guest and holds this text.
    pub async fn tells(&self, name: &str, said: &str) {
        let mark = format!("addon.name=\"{name}\"");
        let lines = || self.host.logs().lines().filter(|line| line.contains(&mark)).map(cut).collect::<Vec<_>>();
        let is_told = async {
            while !lines().iter().any(|line| line.contains(said)) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(timeout(PATIENCE, is_told).await.is_ok(), "nothing in the log of {name} says {said:?}: {:#?}", lines());
    }

    /// Ends it, and panics if anybody else's flow was harmed, or if an instance or memory is left.
    pub async fn is_lifted(self) {
        self.load.more(20).await;
        self.load.stop_unharmed().await;
        self.origin.assert_strict();
        for name in &self.names {
            self.host.admin().until(name, |status| status["instances_live"].as_u64().is_none_or(|live| live == 0)).await;
        }
        eventually(async || self.host.rss() < self.memory + SLACK).await;
    }
}

/// As much of a line as anybody wants to read.
fn cut(line: &str) -> String {
    line.chars().take(20 << 10).collect()
}

impl Deref for Siege {
    type Target = Hosted;

    fn deref(&self) -> &Hosted {
        &self.host
    }
}
