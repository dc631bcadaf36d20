//! What addons call.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use parking_lot::Mutex;
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
/// - `/told/N` is the document that [`told`](Self::told) was given, `/held/N` the same when released, `/flaky/N` the same each
///   third time and 500 before, `/status/STATUS/N` the same with this status,
/// - all else shows method, target and body, as `POST /a body`.
pub struct Service {
    origin: RawOrigin,
    release: watch::Sender<bool>,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    documents: Mutex<Vec<String>>,
    flaky: AtomicUsize,
}

impl Service {
    /// On a port of 127.0.0.1.
    pub async fn start() -> Self {
        let (release, released) = watch::channel(false);
        let told = Arc::new(Told::default());
        let shared = Arc::clone(&told);
        let origin = RawOrigin::start(move |mut conversation| {
            let (mut released, told) = (released.clone(), Arc::clone(&shared));
            async move {
                while let Some(request) = conversation.request().await {
                    if !answer(&mut conversation, &request, &mut released, &told).await {
                        return;
                    }
                }
            }
        });
        Self { origin: origin.await, release, told }
    }

    /// The number of an answer with this text.
    #[allow(clippy::needless_pass_by_value, reason = "reads better with json!")]
    pub fn told(&self, document: impl ToString) -> usize {
        let mut documents = self.told.documents.lock();
        documents.push(document.to_string());
        documents.len() - 1
    }

    /// A URL that answers with this text.
    pub fn telling(&self, document: impl ToString) -> String {
        self.at(&format!("/told/{}", self.told(document)))
    }

    /// Bodies of the requests to this path, as JSON.
    #[must_use]
    pub fn asked(&self, path: &str) -> Vec<serde_json::Value> {
        let requests = self.origin.requests().into_iter().filter(|request| request.target == path);
        requests.map(|request| serde_json::from_slice(&request.body).unwrap_or_default()).collect()
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

impl Told {
    /// Status and body, if the target asks for what was told.
    fn answer(&self, target: &str) -> Option<(u16, String)> {
        let (path, number) = target.rsplit_once('/')?;
        let document = self.documents.lock().get(number.parse::<usize>().ok()?).cloned()?;
        let status = match path {
            "/told" | "/held" => 200,
            "/flaky" => {
                if self.flaky.fetch_add(1, SeqCst) % 3 == 2 {
                    200
                } else {
                    500
                }
            }
            _ => path.strip_prefix("/status/")?.parse().ok()?,
        };
        Some((status, document))
    }
}

/// Whether the connection goes on.
async fn answer(conversation: &mut Conversation, request: &Request, released: &mut watch::Receiver<bool>, told: &Told) -> bool {
    let target = request.target.as_str();
    if let Some((status, document)) = told.answer(target) {
        if target.starts_with("/held/") {
            let _ = released.wait_for(|is_released| *is_released).await;
        }
        let length = document.len();
        return conversation.send(format!("HTTP/1.1 {status} Told\r\nContent-Length: {length}\r\n\r\n{document}")).await.is_ok();
    }
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
