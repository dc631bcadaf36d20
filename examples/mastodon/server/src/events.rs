//! A stream as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::{sync::broadcast, time::timeout};

use crate::{
    answer::{Answer, streamed},
    people::Person,
    streams::{Channel, News},
};

/// Begins with a greeting, and beats where nothing happens for so long: both are comments.
pub(crate) fn answer(
    channel: Channel,
    person: &'static Person,
    news: broadcast::Receiver<Arc<News>>,
    heartbeat: Duration,
) -> Answer {
    let body = stream::unfold((news, true), move |(mut news, is_first)| {
        let channel = channel.clone();
        async move {
            if is_first {
                return Some((frame(":)\n".to_owned()), (news, false)));
            }
            loop {
                match timeout(heartbeat, news.recv()).await {
                    Err(_) => return Some((frame(":thump\n".to_owned()), (news, false))),
                    Ok(Err(_)) => return None,
                    Ok(Ok(one)) if one.is_for(&channel, person) => {
                        let event = format!("event: {}\ndata: {}\n\n", one.event, one.payload);
                        return Some((frame(event), (news, false)));
                    }
                    Ok(Ok(_)) => {}
                }
            }
        }
    });
    streamed("text/event-stream", StreamBody::new(body.map(Ok::<_, Infallible>)).boxed_unsync())
}

fn frame(text: String) -> Frame<Bytes> {
    Frame::data(Bytes::from(text))
}
