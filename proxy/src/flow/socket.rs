//! WebSockets whose messages hooks decide about.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{failure, filters, record::Record};
use crate::{
    hooks::{
        Addon, Call, Change, Close, Event, FailureKind, Hook, Instance, MessageCounts, MessageKind, OverCap, SocketMessage,
        SocketVerdict, UpstreamFailure, Verdict,
    },
    http::Headers,
    websocket::{
        Bounds, Message,
        close::NONE,
        handshake::{self, Deflate},
    },
};

/// A WebSocket whose messages hooks decide about, and what both sides agreed on.
pub struct Socket {
    record: Arc<Record>,
    /// In the order of messages from the client.
    hooks: Vec<Messages>,
    agreed: Agreed,
}

/// What the core asked the upstream for.
pub(super) struct Offer {
    key: Option<Vec<u8>>,
    deflate: Option<Deflate>,
}

/// What came of it.
pub(super) struct Agreed {
    deflate: Option<Deflate>,
    /// For the client.
    extensions: Vec<crate::http::Field>,
}

/// What becomes of a message.
#[derive(Debug)]
pub enum Decided {
    /// It goes on; with these bytes, if hooks have changed it.
    Pass(Option<Bytes>),
    /// Nothing of it goes on.
    Drop,
    /// Both sides are closed; with why it was a failure.
    Close(Close, Option<String>),
}

/// A hook with all that its calls need.
struct Messages {
    index: usize,
    /// Subscriptions that matched, each with its cap.
    matched: Vec<(u32, usize, OverCap)>,
    // Held while it is asked: the second side waits, also for a second try.
    turn: tokio::sync::Mutex<Turn>,
    // It failed, and its policy is open.
    is_over: AtomicBool,
    counts: [Mutex<Counts>; 2],
}

/// Who is asked next.
struct Turn {
    /// A fresh one, if the first message took a second try.
    instance: Arc<dyn Instance>,
    is_begun: bool,
}

/// What a hook made of the messages of one side.
#[derive(Default)]
struct Counts {
    bytes_in: u64,
    bytes_out: u64,
    edited: u64,
    dropped: u64,
}

const EXTENSIONS: &str = "sec-websocket-extensions";

/// Puts the core's offer into the staged request if it asks for a WebSocket whose messages an addon may want to see. Where it
/// asks for one in a form that is none, the protocol is taken off the offer: no upstream is to switch past the hooks.
pub(super) fn offer(record: &Record, protocols: &mut Option<Bytes>) -> Option<Offer> {
    if !record.chain.events.contains(Event::WebsocketMessage) {
        return None;
    }
    let offered = protocols.as_ref()?;
    let is_handshake = {
        let head = &record.exchange.lock().request.head;
        handshake::is_request(&head.method, offered, &head.headers)
    };
    let may_match = record.chain.addons.iter().any(|addon| {
        let subscriptions = addon.subscriptions();
        let mut messages = subscriptions.iter().filter(|subscription| subscription.event == Event::WebsocketMessage);
        messages.any(|subscription| filters::can_match_later(record, subscription))
    });
    if may_match && !is_handshake {
        *protocols = handshake::without_websocket(offered).map(Bytes::from);
    }
    (may_match && is_handshake).then(|| {
        let request = &mut record.exchange.lock().request;
        let deflate = handshake::offer(&mut request.head.headers);
        Offer { key: request.head.headers.get("sec-websocket-key").map(<[u8]>::to_vec), deflate }
    })
}

/// Holds the staged 101 against what was offered: by the client, and where there is an offer, by the core.
pub(super) fn agree(record: &Record, protocols: &[u8], offer: Option<Offer>) -> Result<Option<Agreed>, UpstreamFailure> {
    let mut messages = record.exchange.lock();
    let upstream = Arc::clone(&messages.request.upstream);
    let failed = |why: String| UpstreamFailure {
        kind: FailureKind::Protocol,
        message: format!("{upstream} switched {why}"),
        reason: format!("it switched {why}"),
    };
    let broken = |why: &str| failed(format!("to no WebSocket: {why}"));
    let Some(response) = &mut messages.response else { return Err(broken("there is no response")) };
    let headers = &mut response.head.headers;
    let Some(offer) = offer else {
        let is_offered = handshake::is_offered(protocols, headers);
        return if is_offered { Ok(None) } else { Err(failed("to a protocol that was not offered".to_owned())) };
    };
    let deflate = handshake::agree(offer.key.as_deref(), offer.deflate, headers).map_err(broken)?;
    Ok(Some(Agreed { deflate, extensions: headers.iter().filter(|field| field.is(EXTENSIONS)).cloned().collect() }))
}

impl Socket {
    /// None if no hook of the addons before `from` wants to see the messages, and nothing was agreed on that stands in the way
    /// of a tunnel.
    pub(super) fn new(record: &Arc<Record>, from: usize, agreed: Agreed) -> Option<Self> {
        let hook = |index: usize| {
            let addon = record.chain.addons.get(index)?;
            let matched = filters::matched(record, index, Event::WebsocketMessage);
            let caps = matched.into_iter().filter_map(|matched| {
                let (cap, over_cap) = filters::cap(addon.subscriptions(), matched)?;
                Some((matched, cap, over_cap))
            });
            let matched: Vec<_> = caps.collect();
            if matched.is_empty() {
                return None;
            }
            let turn = tokio::sync::Mutex::new(Turn { instance: record.instance(index)?, is_begun: false });
            Some(Messages { index, matched, turn, is_over: AtomicBool::new(false), counts: Default::default() })
        };
        let hooks: Vec<_> = (0..from).filter_map(hook).collect();
        if !hooks.is_empty() {
            record.counts.lock().get_or_insert_default();
        }
        let is_needed = !hooks.is_empty() || agreed.deflate.is_some();
        is_needed.then(|| Self { record: Arc::clone(record), hooks, agreed })
    }

    /// Tells the client what was agreed on, whatever hooks made of the fields.
    pub(super) fn describe(&self, headers: &mut Headers) {
        headers.replace(EXTENSIONS, self.agreed.extensions.iter().cloned());
    }

    /// The flow.
    #[must_use]
    pub const fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// The compression that was agreed on with both sides.
    #[must_use]
    pub const fn deflate(&self) -> Option<Deflate> {
        self.agreed.deflate
    }

    /// How much of a message from one side is held.
    #[must_use]
    pub fn bounds(&self, is_from_client: bool) -> Bounds {
        let caps = || self.hooks.iter().flat_map(|hook| &hook.matched);
        let refused = caps().filter(|(_, _, over_cap)| *over_cap == OverCap::Refuse).map(|(_, cap, _)| *cap).min();
        let cap = refused.or_else(|| caps().map(|(_, cap, _)| *cap).max()).unwrap_or_default();
        let window = self.agreed.deflate.filter(|_| !is_from_client).map_or(usize::MAX, Deflate::window);
        Bounds { cap, refuses: refused.is_some(), ratio: self.record.site.limits.decode_ratio as u64, window }
    }

    /// Asks the hooks about a message: from the client first addon to last, else last to first.
    pub async fn decide(&self, is_from_client: bool, message: &Message) -> Decided {
        self.count(|counts| {
            *(if is_from_client { &mut counts.from_client } else { &mut counts.from_upstream }) += 1;
        });
        let mut data = message.data.clone();
        let mut is_edited = false;
        for place in 0..self.hooks.len() {
            let place = if is_from_client { place } else { self.hooks.len() - 1 - place };
            let Some(hook) = self.hooks.get(place) else { continue };
            let asked = SocketMessage { is_from_client, is_text: message.is_text, data: data.clone() };
            match hook.ask(&self.record, asked).await {
                Ok(None | Some(SocketVerdict::Pass)) => {}
                Ok(Some(SocketVerdict::Replace(replaced))) => {
                    data = self.record.exchange.holdings().count(replaced);
                    is_edited = true;
                }
                Ok(Some(SocketVerdict::Drop)) => {
                    self.count(|counts| counts.dropped += 1);
                    return Decided::Drop;
                }
                Ok(Some(SocketVerdict::Close(close))) => {
                    if let Some(addon) = hook.addon(&self.record) {
                        let change = Change::Closed(close.code);
                        self.record.exchange.lock().ledger.push(addon.name(), Event::WebsocketMessage, change);
                    }
                    return Decided::Close(close, None);
                }
                Err(why) => {
                    let close = Close { code: crate::websocket::close::INTERNAL, reason: why.clone() };
                    return Decided::Close(close, Some(why));
                }
            }
        }
        if is_edited {
            self.count(|counts| counts.edited += 1);
        }
        Decided::Pass(is_edited.then_some(data))
    }

    /// Takes note of the first close, without a code where it had none.
    pub fn closed(&self, code: Option<u16>) {
        self.count(|counts| {
            counts.close_code.get_or_insert(code.unwrap_or(NONE));
        });
    }

    fn count(&self, work: impl FnOnce(&mut MessageCounts)) {
        if let Some(counts) = self.record.counts.lock().as_mut() {
            work(counts);
        }
    }
}

impl Drop for Socket {
    /// Writes down what hooks have changed, before the flow ends.
    fn drop(&mut self) {
        let mut messages = self.record.exchange.lock();
        for hook in &self.hooks {
            let Some(addon) = hook.addon(&self.record) else { continue };
            for (counts, message) in hook.counts.iter().zip([MessageKind::Request, MessageKind::Response]) {
                let Counts { bytes_in, bytes_out, edited, dropped } = *counts.lock();
                if edited == 0 && dropped == 0 {
                    continue;
                }
                let event = Event::WebsocketMessage;
                messages.ledger.push(addon.name(), event, Change::Streamed { message, bytes_in, bytes_out });
                messages.ledger.push(addon.name(), event, Change::Messages { message, edited, dropped });
            }
        }
    }
}

impl Messages {
    fn addon<'a>(&self, record: &'a Record) -> Option<&'a Arc<dyn Addon>> {
        record.chain.addons.get(self.index)
    }

    /// The verdict; none: the hook is not asked any more, or not about a message of this size. Fails where both sides are to be
    /// closed, with what they are told.
    async fn ask(&self, record: &Record, message: SocketMessage) -> Result<Option<SocketVerdict>, String> {
        let size = message.data.len();
        let matched: Vec<u32> = self.matched.iter().filter(|(_, cap, _)| size <= *cap).map(|(index, ..)| *index).collect();
        if matched.is_empty() {
            return Ok(None);
        }
        let mut turn = self.turn.lock().await;
        if self.is_over.load(Relaxed) {
            return Ok(None);
        }
        let Some(addon) = self.addon(record) else { return Ok(None) };
        let side = usize::from(!message.is_from_client);
        let call = Call { matched, hook: Hook::WebsocketMessage(message), body_cap: None };
        let result = if turn.is_begun {
            turn.instance.call(call, Arc::clone(&record.exchange)).await
        } else {
            let (result, fresh) = failure::attempt(record, self.index, Event::WebsocketMessage, &turn.instance, call).await;
            if let Some(fresh) = fresh {
                turn.instance = fresh;
            }
            turn.is_begun = true;
            result
        };
        match result {
            Ok(Verdict::Socket(verdict)) => {
                self.count(side, size, &verdict);
                Ok(Some(verdict))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                let why = failure::closed(record, addon.as_ref(), Event::WebsocketMessage, &error, true);
                why.map_or_else(
                    || {
                        self.is_over.store(true, Relaxed);
                        Ok(None)
                    },
                    Err,
                )
            }
        }
    }

    fn count(&self, side: usize, size: usize, verdict: &SocketVerdict) {
        let Some(counts) = self.counts.get(side) else { return };
        let mut counts = counts.lock();
        counts.bytes_in += size as u64;
        match verdict {
            SocketVerdict::Pass => counts.bytes_out += size as u64,
            SocketVerdict::Replace(data) => {
                counts.bytes_out += data.len() as u64;
                counts.edited += 1;
            }
            SocketVerdict::Drop | SocketVerdict::Close(_) => counts.dropped += 1,
        }
    }
}
