//! Messages of WebSockets, and events of streams, as hooks of a test see them.

use super::{Request, TestFlow, View, rules};
use crate::{
    Addon, EditError, Event, MessageCounts, OverCap, SseEvent, SseVerdict, WebsocketKind, WebsocketMessage, WebsocketVerdict,
    testing::HookFailure,
};

/// Code that is told where a message is over its cap.
const TOO_LARGE: u16 = 1009;

impl<A: Addon> TestFlow<A> {
    /// An event of an event stream arrived.
    ///
    /// # Errors
    ///
    /// Why the hook has no verdict; [`HookFailure::OverCap`] with status 502 where the stream would be broken off.
    pub fn sse_event(&mut self, event: SseEvent) -> Result<SseVerdict, HookFailure> {
        let matched = self.of_size(Event::SseEvent, event.data.len(), 502)?;
        let verdict = self.call_matched(Event::SseEvent, matched, View::editing_notes(), check_event, |addon, flow, lent| {
            addon.sse_event(flow, &Request::new(&lent.request), event)
        })?;
        let counts = self.counts.get_or_insert_default();
        counts.from_upstream += 1;
        counts.saw(matches!(verdict, SseVerdict::Replace(_)), verdict == SseVerdict::Drop);
        Ok(verdict)
    }

    /// Whether an event's hook has ended the stream.
    #[must_use]
    pub fn has_ended_events(&self) -> bool {
        self.end.get()
    }

    /// A WebSocket message arrived.
    ///
    /// # Errors
    ///
    /// Why the hook has no verdict; [`HookFailure::OverCap`] with 1009 where the socket would be closed.
    pub fn websocket_message(&mut self, message: WebsocketMessage) -> Result<WebsocketVerdict, HookFailure> {
        let matched = self.of_size(Event::WebsocketMessage, message.data.len(), TOO_LARGE)?;
        let (is_from_client, is_text) = (message.is_from_client, message.kind == WebsocketKind::Text);
        let check = |verdict: &WebsocketVerdict| check_message(verdict, is_text);
        let verdict =
            self.call_matched(Event::WebsocketMessage, matched, View::editing_notes(), check, |addon, flow, lent| {
                addon.websocket_message(flow, &Request::new(&lent.request), message)
            })?;
        let counts = self.counts.get_or_insert_default();
        *(if is_from_client { &mut counts.from_client } else { &mut counts.from_upstream }) += 1;
        counts.saw(matches!(verdict, WebsocketVerdict::Replace(_)), verdict == WebsocketVerdict::Drop);
        if let WebsocketVerdict::Close { code, .. } = verdict {
            counts.close_code.get_or_insert(code);
        }
        Ok(verdict)
    }

    /// The matched subscriptions without those that something of this size passes unseen.
    fn of_size(&self, event: Event, size: usize, refusal: u16) -> Result<Vec<u32>, HookFailure> {
        let mut kept = Vec::new();
        for index in self.matched(event) {
            match self.cap(index).unwrap_or((rules::MAX_BODY, OverCap::Refuse)) {
                (cap, OverCap::PassUnseen) if size > cap => {}
                (cap, _) if size > cap => return Err(HookFailure::OverCap(refusal)),
                _ => kept.push(index),
            }
        }
        Ok(kept)
    }
}

impl MessageCounts {
    const fn saw(&mut self, is_edited: bool, is_dropped: bool) {
        self.edited += is_edited as u64;
        self.dropped += is_dropped as u64;
    }
}

fn check_event(verdict: &SseVerdict) -> Result<(), EditError> {
    let SseVerdict::Replace(event) = verdict else { return Ok(()) };
    let has_break = |text: &String| text.contains(['\r', '\n']);
    if event.event.as_ref().is_some_and(has_break) || event.id.as_ref().is_some_and(|id| has_break(id) || id.contains('\0')) {
        return Err(EditError::Invalid("a type or an ID of an event that is not one line, or an ID with NUL".to_owned()));
    }
    Ok(())
}

fn check_message(verdict: &WebsocketVerdict, is_text: bool) -> Result<(), EditError> {
    match verdict {
        WebsocketVerdict::Replace(data) if is_text && std::str::from_utf8(data).is_err() => {
            Err(EditError::Invalid("a message of text that is not UTF-8".to_owned()))
        }
        WebsocketVerdict::Close { code, .. } if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) => {
            Err(EditError::Invalid(format!("close code {code}, which may not be sent")))
        }
        WebsocketVerdict::Close { reason, .. } if reason.len() > 123 => {
            Err(EditError::TooLarge(format!("{} bytes in the reason of a close, limit 123", reason.len())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Addon, Error, Event, Flow, MessageCounts, NoOptions, OptionErrors, Outcome, OverCap, Request, SseEvent, SseVerdict,
        Subscription, WebsocketKind, WebsocketMessage, WebsocketVerdict,
        testing::{Harness, HookFailure, TestRequest},
    };

    #[derive(Default)]
    struct Obeys {
        told: Option<MessageCounts>,
    }

    impl Addon for Obeys {
        type Options = NoOptions;

        fn configure(_: NoOptions) -> Result<Self, OptionErrors> {
            Ok(Self::default())
        }

        fn subscriptions(&self) -> Vec<Subscription> {
            let messages = Subscription::to(Event::WebsocketMessage);
            vec![
                messages.clone().with_body_up_to(8, OverCap::Refuse),
                Subscription::to(Event::SseEvent).with_body_up_to(8, OverCap::PassUnseen),
                Subscription::to(Event::Finish),
            ]
        }

        fn sse_event(&mut self, flow: &Flow, _: &Request<'_>, event: SseEvent) -> Result<SseVerdict, Error> {
            match &*event.data {
                "end" => flow.end_events()?,
                "fail" => {
                    flow.end_events()?;
                    return Err(Error::new("on purpose"));
                }
                "break" => return Ok(SseVerdict::Replace(SseEvent { id: Some("a\nb".to_owned()), ..event })),
                "drop" => return Ok(SseVerdict::Drop),
                _ => {}
            }
            Ok(SseVerdict::Pass)
        }

        fn websocket_message(
            &mut self,
            flow: &Flow,
            _: &Request<'_>,
            message: WebsocketMessage,
        ) -> Result<WebsocketVerdict, Error> {
            Ok(match &*message.data {
                b"end" => {
                    flow.end_events()?;
                    WebsocketVerdict::Pass
                }
                b"bytes" => WebsocketVerdict::Replace(vec![0xff]),
                b"1000" => WebsocketVerdict::Close { code: 1000, reason: "r".repeat(123) },
                b"1005" => WebsocketVerdict::Close { code: 1005, reason: String::new() },
                b"long" => WebsocketVerdict::Close { code: 1000, reason: "r".repeat(124) },
                _ => WebsocketVerdict::Pass,
            })
        }

        fn finish(&mut self, _: &Flow, _: &Request<'_>, outcome: &Outcome<'_>) -> Result<(), Error> {
            self.told = outcome.messages();
            Ok(())
        }
    }

    fn harness() -> Harness<Obeys> {
        Harness::configure(crate::serde_json::json!({})).expect("an addon")
    }

    fn message(data: &str, kind: WebsocketKind) -> WebsocketMessage {
        WebsocketMessage { is_from_client: true, kind, data: data.into() }
    }

    fn event(data: &str) -> SseEvent {
        SseEvent { data: data.to_owned(), ..SseEvent::default() }
    }

    #[test]
    fn verdicts_upon_messages_are_checked() {
        let ask = |data, kind| harness().flow(TestRequest::get("/")).websocket_message(message(data, kind));
        assert_eq!(ask("bytes", WebsocketKind::Binary), Ok(WebsocketVerdict::Replace(vec![0xff])));
        assert!(matches!(ask("1000", WebsocketKind::Text), Ok(WebsocketVerdict::Close { code: 1000, .. })));
        for data in ["bytes", "1005", "long"] {
            assert!(matches!(ask(data, WebsocketKind::Text), Err(HookFailure::Verdict(_))), "{data}");
        }
        assert!(matches!(ask("end", WebsocketKind::Text), Err(HookFailure::Failed(_))));
        assert_eq!(ask("12345678", WebsocketKind::Text), Ok(WebsocketVerdict::Pass));
        assert_eq!(ask("123456789", WebsocketKind::Text), Err(HookFailure::OverCap(1009)));
    }

    #[test]
    fn events_end_streams_unless_their_hook_fails() {
        let mut flow = harness().flow(TestRequest::get("/"));
        assert_eq!((flow.sse_event(event("drop")), flow.has_ended_events()), (Ok(SseVerdict::Drop), false));
        assert_eq!((flow.sse_event(event("123456789")), flow.has_ended_events()), (Ok(SseVerdict::Pass), false));
        assert_eq!((flow.sse_event(event("end")), flow.has_ended_events()), (Ok(SseVerdict::Pass), true));
        for data in ["fail", "break"] {
            let mut flow = harness().flow(TestRequest::get("/"));
            assert!(flow.sse_event(event(data)).is_err() && !flow.has_ended_events(), "{data}");
        }
    }

    #[test]
    fn finish_is_told_how_many_messages_there_were() {
        let mut flow = harness().flow(TestRequest::get("/"));
        for (data, kind) in [("a", WebsocketKind::Text), ("bytes", WebsocketKind::Binary), ("1000", WebsocketKind::Text)] {
            assert!(flow.websocket_message(message(data, kind)).is_ok());
        }
        assert!(flow.finish(None).is_ok());
        let counts = MessageCounts { from_client: 3, edited: 1, close_code: Some(1000), ..MessageCounts::default() };
        assert_eq!(flow.addon().told, Some(counts));
    }
}
