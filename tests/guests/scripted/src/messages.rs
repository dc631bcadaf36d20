//! What is done with messages of WebSockets and events of streams.

use serde::Deserialize;
use tollgate_sdk::{Error, Flow, Request, SseEvent, SseVerdict, WebsocketKind, WebsocketMessage, WebsocketVerdict};

use crate::{Done, Given, Scripted, script::Action};

/// What can be done with a message or an event. Texts are templates.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Message {
    /// Its letters become capitals.
    Upper,
    /// This text comes in its place; as data of an event.
    Text(String),
    /// These bytes come in its place.
    Bytes(Vec<u8>),
    /// So many bytes come in its place.
    Fill(usize),
    /// Type, ID and retry of an event become these.
    Fields(Option<String>, Option<String>, Option<u64>),
    /// Nothing comes in its place.
    Discard,
    /// Both sides are closed with this code and reason.
    Close(u16, String),
    /// The stream ends after this event.
    End,
    /// Does this with the message of this number, from 1, alone: those of both sides count.
    Nth(u64, Vec<Action>),
    /// Does this with messages of the client alone.
    FromClient(Vec<Action>),
    /// Does this with messages of the upstream alone.
    FromUpstream(Vec<Action>),
    /// Does this with messages or events whose data holds this text.
    Holding(String, Vec<Action>),
}

/// What is asked about.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    Message(&'a WebsocketMessage),
    Event(&'a SseEvent),
}

/// What came of it.
enum Became {
    Same,
    Bytes(Vec<u8>),
    Event(SseEvent),
    Nothing,
    Closed(u16, String),
}

impl Asked<'_> {
    fn data(self) -> Vec<u8> {
        match self {
            Self::Message(message) => message.data.clone(),
            Self::Event(event) => event.data.clone().into_bytes(),
        }
    }

    fn is_from_client(self) -> bool {
        matches!(self, Self::Message(message) if message.is_from_client)
    }

    /// What a template shows of it.
    pub(crate) fn value(self, name: &str) -> Option<String> {
        let some = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        Some(match (name, self) {
            ("data", _) => String::from_utf8_lossy(&self.data()).into_owned(),
            ("size", _) => self.data().len().to_string(),
            ("side", _) => if self.is_from_client() { "client" } else { "upstream" }.to_owned(),
            ("kind", Self::Message(message)) => if message.kind == WebsocketKind::Text { "text" } else { "binary" }.to_owned(),
            ("event", Self::Event(event)) => some(event.event.clone()),
            ("event-id", Self::Event(event)) => some(event.id.clone()),
            ("retry", Self::Event(event)) => some(event.retry.map(|retry| retry.to_string())),
            _ => return None,
        })
    }
}

impl Scripted {
    pub(crate) fn message(
        &mut self,
        flow: &Flow,
        request: &Request<'_>,
        message: &WebsocketMessage,
    ) -> Result<WebsocketVerdict, Error> {
        Ok(match self.ask(flow, request, Asked::Message(message))? {
            Became::Same => WebsocketVerdict::Pass,
            Became::Bytes(data) => WebsocketVerdict::Replace(data),
            Became::Event(event) => WebsocketVerdict::Replace(event.data.into_bytes()),
            Became::Nothing => WebsocketVerdict::Drop,
            Became::Closed(code, reason) => WebsocketVerdict::Close { code, reason },
        })
    }

    pub(crate) fn event(&mut self, flow: &Flow, request: &Request<'_>, event: &SseEvent) -> Result<SseVerdict, Error> {
        Ok(match self.ask(flow, request, Asked::Event(event))? {
            Became::Same => SseVerdict::Pass,
            Became::Bytes(data) => {
                let data = String::from_utf8(data).map_err(|_| Error::new("events are text"))?;
                SseVerdict::Replace(SseEvent { data, ..event.clone() })
            }
            Became::Event(event) => SseVerdict::Replace(event),
            Became::Nothing => SseVerdict::Drop,
            Became::Closed(..) => return Err(Error::new("an event closes nothing")),
        })
    }

    fn ask(&mut self, flow: &Flow, request: &Request<'_>, asked: Asked<'_>) -> Result<Became, Error> {
        self.response.seen += 1;
        let mut became = Became::Same;
        for &index in flow.matched() {
            let actions: Vec<Action> = self.script.rules.get(index as usize).map(|rule| rule.actions.clone()).unwrap_or_default();
            self.treat(&actions, flow, request, asked, &mut became)?;
        }
        Ok(became)
    }

    fn treat(
        &mut self,
        actions: &[Action],
        flow: &Flow,
        request: &Request<'_>,
        asked: Asked<'_>,
        became: &mut Became,
    ) -> Result<(), Error> {
        for action in actions {
            let mut given = Given::Message(request, asked);
            let Action::Message(message) = action else {
                match self.act(action, flow, &mut given)? {
                    Done::Next => continue,
                    _ => return Err(Error::new("a message has no such verdict")),
                }
            };
            match message {
                Message::Upper => *became = Became::Bytes(asked.data().to_ascii_uppercase()),
                Message::Text(text) => *became = Became::Bytes(self.fill(text, flow, &given).into_bytes()),
                Message::Bytes(bytes) => *became = Became::Bytes(bytes.clone()),
                Message::Fill(bytes) => *became = Became::Bytes(vec![b'm'; *bytes]),
                Message::Fields(event, id, retry) => {
                    let data = String::from_utf8_lossy(&asked.data()).into_owned();
                    *became = Became::Event(SseEvent { event: event.clone(), id: id.clone(), data, retry: *retry });
                }
                Message::Discard => *became = Became::Nothing,
                Message::Close(code, reason) => *became = Became::Closed(*code, self.fill(reason, flow, &given)),
                Message::End => flow.end_events()?,
                Message::Nth(number, then) => {
                    if self.response.seen == *number {
                        self.treat(then, flow, request, asked, became)?;
                    }
                }
                Message::FromClient(then) => {
                    if asked.is_from_client() {
                        self.treat(then, flow, request, asked, became)?;
                    }
                }
                Message::FromUpstream(then) => {
                    if !asked.is_from_client() {
                        self.treat(then, flow, request, asked, became)?;
                    }
                }
                Message::Holding(text, then) => {
                    if String::from_utf8_lossy(&asked.data()).contains(text.as_str()) {
                        self.treat(then, flow, request, asked, became)?;
                    }
                }
            }
        }
        Ok(())
    }
}
