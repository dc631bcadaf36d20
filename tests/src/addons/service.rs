//! What addons call.

use tokio::sync::watch;

use crate::{
    origin::{Conversation, RawOrigin},
    wire::Request,
};

/// A service that answers as the target says:
///
/// - `/redirect/STATUS?URL` sends to this URL,
/// - `/length/N` and `/chunked/N` have a body of N bytes,
/// - `/closed` ends the connection, `/cut` does so within a body, `/garbage` is no HTTP,
/// - `/silent` never answers, `/stuck` begins a body and no more,
/// - `/held` waits for [`release`](Self::release),
/// - all else shows method, target and body, as `POST /a body`.
pub struct Service {
    origin: RawOrigin,
    release: watch::Sender<bool>,
}

impl Service {
    /// On a port of 127.0.0.1.
    pub async fn start() -> Self {
        let (release, released) = watch::channel(false);
        let origin = RawOrigin::start(move |mut conversation| {
            let mut released = released.clone();
            async move {
                while let Some(request) = conversation.request().await {
                    if !answer(&mut conversation, &request, &mut released).await {
                        return;
                    }
                }
            }
        });
        Self { origin: origin.await, release }
    }

    /// Answers what is held, and all that comes.
    pub fn release(&self) {
        self.release.send_replace(true);
    }

    /// A URL of it.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin.url())
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.origin.address().port()
    }

    /// What it saw.
    #[must_use]
    pub const fn origin(&self) -> &RawOrigin {
        &self.origin
    }
}

/// Whether the connection goes on.
async fn answer(conversation: &mut Conversation, request: &Request, released: &mut watch::Receiver<bool>) -> bool {
    let target = request.target.as_str();
    let number = |prefix: &str| target.strip_prefix(prefix).and_then(|number| number.parse::<usize>().ok());
    let is_head = request.method == "HEAD";
    let answer = if let Some(redirect) = target.strip_prefix("/redirect/") {
        let (status, location) = redirect.split_once('?').unwrap_or((redirect, ""));
        format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved")
    } else if let Some(count) = number("/length/") {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n{}", "l".repeat(count))
    } else if let Some(count) = number("/chunked/") {
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{count:x}\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
            "c".repeat(count)
        )
    } else {
        match target.split('?').next().unwrap_or_default() {
            "/closed" => return false,
            "/cut" => {
                let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut").await;
                return false;
            }
            "/garbage" => "SSH-2.0-garbage\r\n\r\n".to_owned(),
            "/silent" => {
                conversation.take_all().await;
                return false;
            }
            "/stuck" => {
                let _ = conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstuck").await;
                conversation.take_all().await;
                return false;
            }
            "/held" => {
                let _ = released.wait_for(|is_released| *is_released).await;
                "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nreleased".to_owned()
            }
            _ => {
                let text = format!("{} {target} {}", request.method, request.text());
                let body = if is_head { "" } else { &text };
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n{body}", text.len())
            }
        }
    };
    conversation.send(answer).await.is_ok()
}
