//! The options: rules, each a subscription and what its hook does.

use serde::Deserialize;
use tollgate_sdk::{Event, OverCap, Subscription};

use crate::{connects::Ruling, fetch::Fetch, kept::Kv, messages::Message, pieces::Piece};

/// Everything that the guest is told.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Script {
    /// Shown by `{tag}`.
    pub(crate) tag: String,
    /// Shown by `{token}`: a secret by its name.
    pub(crate) token: String,
    /// Entries of the table that `configure` builds: shown by `{table}` and `{order}`.
    pub(crate) table: u64,
    /// Done by `configure`.
    pub(crate) configure: Vec<Action>,
    /// Options that `configure` refuses: path and message of each.
    pub(crate) refused: Vec<(String, String)>,
    /// In order: the subscriptions.
    pub(crate) rules: Vec<Rule>,
    /// How often the rules are subscribed to, if not once: what is over the first time does nothing.
    pub(crate) copies: usize,
}

/// A subscription with what is done when it matches.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Rule {
    on: On,
    #[serde(default)]
    filter: String,
    body: Option<Body>,
    #[serde(default, rename = "do")]
    pub(crate) actions: Vec<Action>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum On {
    Connect,
    Request,
    RequestChunk,
    Response,
    ResponseChunk,
    SseEvent,
    WebsocketMessage,
    UpstreamError,
    Finish,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Body {
    Full,
    Refuse(u64),
    PassUnseen(u64),
    Truncate(u64),
}

/// What can be done. Texts are templates.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Sets a field.
    Set(String, String),
    /// Adds a field.
    Append(String, String),
    /// Removes a field.
    Remove(String),
    /// Adds so many fields of so many bytes each.
    Flood(usize, usize),
    /// Replaces the body.
    SetBody(String),
    /// Replaces the body by so many bytes.
    FillBody(usize),
    SetMethod(String),
    SetTarget(String),
    SetUpstream(String),
    SetStatus(u16),
    /// Leaves a note.
    Note(String, String),
    /// Leaves so many notes.
    Notes(usize),
    /// Something about a piece of a body.
    Piece(Piece),
    /// Something about a message of a WebSocket or an event of a stream.
    Message(Message),
    /// Keeps how the edit ends, to be shown by `{tried}`, and goes on.
    Try(Box<Action>),
    /// Writes a line.
    Log(String),
    /// Writes so many lines.
    LogFlood(usize),
    /// Prints to standard output.
    Print(String),
    /// Waits for so many milliseconds.
    Wait(u64),
    /// Makes a request of its own: what it came to is shown by `{fetched}`. In `configure` it has to succeed.
    Fetch(Fetch),
    /// Has a request sent later: how that ended is shown by `{tried}`. In `configure` it has to succeed.
    Post(Fetch),
    /// Keeps something or looks at it: what it came to is shown by `{kv}`. In `configure` it has to succeed.
    Kv(Kv),
    /// Takes so many bytes of memory, and keeps them.
    Take(usize),
    /// Asks for so many random bytes.
    Random(usize),
    /// Computes for ever.
    Spin,
    /// Keeps nothing for later hooks.
    LetGo,
    /// Does this half of the times, by chance.
    Sometimes(Box<Action>),
    /// Ends the instance without a word.
    Trap,
    /// Panics with this message.
    Panic(String),
    /// Recurses for ever.
    Recurse,
    /// Recurses so deep.
    Descend(u64),
    /// Holds so many handles of the host at one time.
    Hold(usize),
    /// Returns an error.
    Fail(String),
    /// Answers with status, fields and body.
    Respond(u16, Vec<(String, String)>, String),
    /// Answers with status, fields and these bytes.
    RespondBytes(u16, Vec<(String, String)>, Vec<u8>),
    /// Answers with status, code and text.
    Refuse(u16, String, String),
    /// Decides about a CONNECT.
    Rule(Ruling),
    EndChain,
    Drop,
}

impl Rule {
    pub(crate) fn subscription(&self) -> Subscription {
        let event = match self.on {
            On::Connect => Event::Connect,
            On::Request => Event::Request,
            On::RequestChunk => Event::RequestChunk,
            On::Response => Event::Response,
            On::ResponseChunk => Event::ResponseChunk,
            On::SseEvent => Event::SseEvent,
            On::WebsocketMessage => Event::WebsocketMessage,
            On::UpstreamError => Event::UpstreamError,
            On::Finish => Event::Finish,
        };
        let subscription = Subscription::to(event).filter(self.filter.clone());
        match self.body {
            None => subscription,
            Some(Body::Full) => subscription.with_body(),
            Some(Body::Refuse(cap)) => subscription.with_body_up_to(cap, OverCap::Refuse),
            Some(Body::PassUnseen(cap)) => subscription.with_body_up_to(cap, OverCap::PassUnseen),
            Some(Body::Truncate(cap)) => subscription.with_body_up_to(cap, OverCap::Truncate),
        }
    }
}
