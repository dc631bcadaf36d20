//! A request on its way out, while its response may already come in.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http_body::Body as _;
use tokio::{
    sync::{Notify, oneshot},
    task::AbortHandle,
};

use super::{Marks, mark};
use crate::{
    http::{Body, BodyError, body::Peer},
    http1::{Framing, Writer, write::SendError},
};

/// How long a body waits for 100 (Continue) before it is sent without (RFC 9110, 10.1.1).
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// The request on its way out, while the response may already come in.
pub(super) struct Upload {
    state: Sending,
    /// Opened by 100 (Continue), if the body waits for that.
    pub gate: Option<Arc<Notify>>,
    /// Whether nothing of the request was taken by the stream.
    pub is_unsent: bool,
}

enum Sending {
    /// Without a body: what the writer holds is all of it.
    Head(Writer, Option<Arc<Marks>>),
    Going(Pin<Box<dyn Future<Output = Result<Writer, Unsent>> + Send>>),
    Done(Option<Writer>),
}

/// Why a request did not go out whole, and whether anything of it did.
struct Unsent {
    error: SendError,
    is_all: bool,
}

/// What became of an upload when the response's head was there.
pub(super) struct Detached {
    writer: Option<Writer>,
    task: Option<AbortHandle>,
    /// Gives the writer when the request went out after all.
    returned: Option<oneshot::Receiver<Writer>>,
}

impl Upload {
    /// Sends what the writer holds, and then the body; where it `waits`, not before the upstream has said 100 (Continue).
    pub(super) fn start(writer: Writer, body: Body, framing: Framing, waits: bool, marks: Option<Arc<Marks>>) -> Self {
        let gate = waits.then(|| Arc::new(Notify::new()));
        let state = if gate.is_none() && framing == Framing::None && body.is_end_stream() {
            Sending::Head(writer, marks)
        } else {
            Sending::Going(Box::pin(send(writer, body, framing, gate.clone(), marks)))
        };
        Self { state, gate, is_unsent: false }
    }

    /// Ready with an error when the body failed; when the stream failed, the response may tell why, so that is no error yet.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let sent = match &mut self.state {
            Sending::Done(_) => return Poll::Ready(Ok(())),
            Sending::Going(sending) => ready!(sending.as_mut().poll(context)),
            Sending::Head(writer, _) => {
                let flushed = ready!(writer.poll_flush(context));
                let Sending::Head(writer, marks) = std::mem::replace(&mut self.state, Sending::Done(None)) else {
                    return Poll::Ready(Ok(()));
                };
                settle(flushed.map_err(SendError::Io), writer, marks.as_deref())
            }
        };
        self.state = Sending::Done(None);
        Poll::Ready(match sent {
            Ok(writer) => {
                self.state = Sending::Done(Some(writer));
                Ok(())
            }
            Err(Unsent { error: SendError::Body(error), .. }) => Err(error),
            Err(Unsent { error: SendError::Length, .. }) => Err(BodyError::Malformed(Peer::Client, "not as long as announced")),
            Err(Unsent { error: SendError::Io(_), is_all }) => {
                self.is_unsent = is_all;
                Ok(())
            }
        })
    }

    /// Goes on without the exchange where it is not done yet.
    pub(super) fn detach(self) -> Detached {
        let sending = match self.state {
            Sending::Done(writer) => return Detached { writer, task: None, returned: None },
            Sending::Head(writer, marks) => Box::pin(send(writer, Body::empty(), Framing::None, None, marks)),
            Sending::Going(sending) => sending,
        };
        // The upstream answers early. What is left of the request must move even while the client does not read
        // the response, else both could wait for each other.
        let (give_back, returned) = oneshot::channel();
        let task = tokio::spawn(async move {
            match sending.await {
                // Kept for the response's sake: dropped here, it would tell the upstream that the client has left.
                Ok(writer) => drop(give_back.send(writer)),
                Err(Unsent { error, .. }) => {
                    tracing::debug!(%error, "a request did not go out whole after an early response");
                }
            }
        });
        Detached { writer: None, task: Some(task.abort_handle()), returned: Some(returned) }
    }

    /// The writer, if the request went out whole.
    pub(super) fn into_writer(self) -> Option<Writer> {
        match self.state {
            Sending::Done(writer) => writer,
            Sending::Head(..) | Sending::Going(_) => None,
        }
    }
}

async fn send(
    mut writer: Writer,
    mut body: Body,
    framing: Framing,
    gate: Option<Arc<Notify>>,
    marks: Option<Arc<Marks>>,
) -> Result<Writer, Unsent> {
    let sent = async {
        if let Some(gate) = gate {
            writer.flush().await?;
            // Without an answer the body goes out anyway: some upstreams know nothing of expectations.
            let _ = tokio::time::timeout(CONTINUE_PATIENCE, gate.notified()).await;
        }
        writer.send(&mut body, framing).await
    };
    let sent = sent.await;
    settle(sent, writer, marks.as_deref())
}

fn settle(sent: Result<(), SendError>, writer: Writer, marks: Option<&Marks>) -> Result<Writer, Unsent> {
    match sent {
        Ok(()) => {
            mark(marks, Marks::send);
            Ok(writer)
        }
        Err(error) => Err(Unsent { error, is_all: !writer.has_written() }),
    }
}

impl Detached {
    /// Whether the request went out before the response's head came.
    pub(super) const fn is_done(&self) -> bool {
        self.writer.is_some()
    }

    /// The writer, if the request went out whole.
    pub(super) fn take_writer(&mut self) -> Option<Writer> {
        self.writer.take().or_else(|| self.returned.take()?.try_recv().ok())
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
