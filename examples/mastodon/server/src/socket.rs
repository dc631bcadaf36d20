//! Streams over WebSocket, several over one connection.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::{
    StatusCode,
    header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE},
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    sync::broadcast,
    time::{MissedTickBehavior, interval},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use crate::{
    answer::{Answer, Refused, text},
    people::Person,
    request::Arrived,
    streams::{Channel, News, channel},
};

/// Streams of one connection; more are refused.
const STREAMS: usize = 100;

/// Bytes of a message of a client; over it the connection ends.
const LARGEST: usize = 64 << 10;

/// A connection to be: it begins when the answer is sent.
pub(crate) struct Socket {
    upgrade: OnUpgrade,
    person: &'static Person,
    channels: Vec<Channel>,
    news: broadcast::Receiver<Arc<News>>,
    heartbeat: Duration,
}

impl Socket {
    /// The answer to a handshake, and what to run after it.
    pub(crate) fn accept(
        request: Arrived,
        person: &'static Person,
        news: broadcast::Receiver<Arc<News>>,
        heartbeat: Duration,
    ) -> Result<(Answer, Self), Refused> {
        let key = request.headers.get(SEC_WEBSOCKET_KEY).ok_or(Refused(StatusCode::BAD_REQUEST, "No WebSocket key"))?;
        let first = request.query("stream").filter(|name| !name.is_empty()).map(|name| {
            let unknown = Refused(StatusCode::BAD_REQUEST, "Unknown stream type");
            channel(name, request.query("tag"), request.query("list")).ok_or(unknown)
        });
        let channels = first.transpose()?.into_iter().collect();
        let mut answer = text("text/plain", Bytes::new());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.clear();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept.map_err(|_| Refused(StatusCode::BAD_REQUEST, "No WebSocket key"))?);
        let protocols = request.headers.get(SEC_WEBSOCKET_PROTOCOL).and_then(|protocols| protocols.to_str().ok());
        let protocol = protocols.and_then(|protocols| protocols.split(',').next());
        if let Some(Ok(protocol)) = protocol.map(|protocol| HeaderValue::try_from(protocol.trim())) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        Ok((answer, Self { upgrade: request.upgrade, person, channels, news, heartbeat }))
    }

    /// To the end of the connection, whosever it is.
    pub(crate) async fn run(mut self) {
        let Ok(upgraded) = (&mut self.upgrade).await else { return };
        let config = WebSocketConfig::default().max_message_size(Some(LARGEST));
        let mut stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        // How it ended is the client's affair.
        let _ = self.talk(&mut stream).await;
    }

    async fn talk(&mut self, stream: &mut WebSocketStream<TokioIo<Upgraded>>) -> Result<(), Error> {
        let mut beat = interval(self.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(Message::Text(wish))) => {
                        if let Some(error) = self.follow(&wish) {
                            stream.send(Message::text(error.to_string())).await?;
                        }
                    }
                    Some(Ok(Message::Binary(_))) => return close(stream, CloseCode::Unsupported).await,
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return Ok(()),
                },
                news = self.news.recv() => match news {
                    Ok(news) => {
                        for channel in self.channels.iter().filter(|channel| news.is_for(channel, self.person)) {
                            let message = json!({"stream": channel, "event": news.event, "payload": news.payload});
                            stream.feed(Message::text(message.to_string())).await?;
                        }
                        stream.flush().await?;
                    }
                    Err(_) => return close(stream, CloseCode::Again).await,
                },
                _ = beat.tick() => stream.send(Message::Ping(Bytes::new())).await?,
            }
        }
    }

    /// Does what a client asks for, or says why not.
    fn follow(&mut self, wish: &str) -> Option<Value> {
        let refused = |error: &str| Some(json!({"error": error, "status": 400}));
        let Ok(wish) = serde_json::from_str::<Value>(wish) else { return refused("No JSON") };
        let text = |name: &str| wish.get(name).and_then(Value::as_str);
        let Some(channel) = text("stream").and_then(|name| channel(name, text("tag"), text("list"))) else {
            return refused("Unknown stream type");
        };
        let is_known = self.channels.contains(&channel);
        match text("type") {
            Some("unsubscribe") => self.channels.retain(|known| *known != channel),
            Some("subscribe") if is_known => {}
            Some("subscribe") if self.channels.len() >= STREAMS => return refused("Too many streams"),
            Some("subscribe") => self.channels.push(channel),
            _ => return refused("Unknown type"),
        }
        None
    }
}

async fn close(stream: &mut WebSocketStream<TokioIo<Upgraded>>, code: CloseCode) -> Result<(), Error> {
    stream.close(Some(CloseFrame { code, reason: "".into() })).await
}
