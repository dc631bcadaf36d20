//! What the configuration grants an addon, held against what the addon asks for when it is loaded and does when it runs.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::stage::EditError;
use crate::{
    filter::Filter,
    hooks::{BodyMode, ChunkAction, Event, Events, SocketVerdict, StreamAction, Subscription, Verdict},
    http::headers::is_token,
    outbound::HttpGrants,
};

/// What an addon may ask for and do. Default: everything that there is in a flow, and nothing outside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub struct Grants {
    /// Events that it may subscribe to. Default all.
    pub events: Events,
    /// Whether it may edit messages, leave notes and give verdicts other than to go on. Default yes.
    pub edit: bool,
    /// Whether it may see bodies, whole or in pieces, or have filters look at them. Default yes.
    pub bodies: bool,
    /// Header fields whose values it may read, of requests and of responses. Default all.
    pub read_headers: Names,
    /// Header fields that it may set, add, remove, or put into a response that it makes. Default all.
    pub write_headers: Names,
    /// Header fields whose values it may not read, whatever `read_headers` says. Default none.
    pub withhold_headers: Names,
    /// What it may send requests of its own to. Default nothing.
    pub http: HttpGrants,
    /// Where it may send flows besides the upstream that is configured. Default nowhere.
    pub upstreams: HttpGrants,
    /// What it may have requests of its own sent to later. Default nothing.
    pub outbox: HttpGrants,
    /// Whether it may keep keys and values between flows. Default no.
    pub kv: bool,
    /// Whether it may ask the domain name system. Default no.
    pub dns: bool,
}

/// Names of header fields, compared without case; one that ends with `*` stands for all that begin so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Names(Vec<String>);

/// Something that an addon asks for and is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Index of the subscription.
    pub subscription: usize,
    /// Its event.
    pub event: Event,
    /// Which part of it asks.
    pub part: Asked,
    /// What is not granted, with the key that would.
    pub reason: &'static str,
}

/// Part of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To be called for this event.
    Event,
    /// That the core looks at this.
    Filter,
    /// To see the body.
    Body,
}

/// What a guest sees in place of a value that is withheld from it.
pub(super) const WITHHELD: &[u8] = b"[withheld]";

impl Grants {
    /// Whether the values of all header fields may be read.
    pub(super) fn reads_all(&self) -> bool {
        self.read_headers.is_all() && self.withhold_headers.is_none()
    }

    /// Whether the values of fields of this name may be read.
    #[must_use]
    pub fn may_read(&self, name: &str) -> bool {
        self.reads_all() || (self.read_headers.contains(name) && !self.withhold_headers.contains(name))
    }

    /// The value of a field as the guest sees it.
    pub(super) fn shown<'a>(&self, name: &str, value: &'a [u8]) -> &'a [u8] {
        if self.may_read(name) { value } else { WITHHELD }
    }

    /// Whether fields of this name may be set to these values. A guest that copies what it was shown would put the mark of
    /// withholding in place of the value, so that is refused.
    pub(super) fn check_field<'a>(&self, name: &str, values: impl IntoIterator<Item = &'a [u8]>) -> Result<(), EditError> {
        if !self.write_headers.contains(name) {
            return Err(EditError::Forbidden(format!("{}, which is not granted", name.to_ascii_lowercase())));
        }
        let is_mark = |value: &[u8]| value.windows(WITHHELD.len()).any(|part| part == WITHHELD);
        if !self.may_read(name) && values.into_iter().any(is_mark) {
            return Err(EditError::Invalid(format!("value of {name}: it holds the mark of a withheld one")));
        }
        Ok(())
    }

    /// Whether a verdict may be carried out; else why not.
    pub(super) fn check_verdict(&self, verdict: &Verdict) -> Result<(), String> {
        let is_to_go_on = match verdict {
            Verdict::Next => true,
            // To want no more of a body changes nothing of it.
            Verdict::Chunk(chunk) => chunk.action == ChunkAction::Pass && chunk.trailers.is_none(),
            Verdict::Stream(event) => event.action == StreamAction::Pass && !event.is_last,
            Verdict::Socket(message) => *message == SocketVerdict::Pass,
            _ => false,
        };
        if !self.edit && !is_to_go_on {
            return Err("to do anything but to go on is not granted (edit)".to_owned());
        }
        let Verdict::Respond(made) = verdict else { return Ok(()) };
        let checked = made.headers.iter().try_for_each(|field| self.check_field(field.name_str(), [field.value()]));
        checked.map_err(|error| match error {
            EditError::Forbidden(name) => format!("a response with the field {name} (write_headers)"),
            EditError::Invalid(text) | EditError::TooLarge(text) => format!("invalid {text}"),
            EditError::ReadOnly => "read-only".to_owned(),
        })
    }

    /// All that these subscriptions ask for and that is not granted.
    #[must_use]
    pub fn violations(&self, subscriptions: &[Subscription]) -> Vec<Violation> {
        let each = subscriptions.iter().enumerate().flat_map(|(subscription, wanted)| {
            let reasons = [
                self.refuse_event(wanted.event).map(|reason| (Asked::Event, reason)),
                self.refuse_filter(&wanted.filter).map(|reason| (Asked::Filter, reason)),
                self.refuse_body(wanted.event, wanted.body).map(|reason| (Asked::Body, reason)),
            ];
            let violation = move |(part, reason)| Violation { subscription, event: wanted.event, part, reason };
            reasons.into_iter().flatten().map(violation)
        });
        each.collect()
    }

    fn refuse_event(&self, event: Event) -> Option<&'static str> {
        if !self.events.contains(event) {
            Some("the event is not granted (events)")
        } else if is_piece(event) && !self.bodies {
            Some("the event brings pieces of bodies, which are not granted (bodies)")
        } else {
            None
        }
    }

    fn refuse_filter(&self, filter: &Filter) -> Option<&'static str> {
        if !self.bodies && (filter.needs_request_body() || filter.needs_response_body()) {
            Some("the filter looks at bodies (~b, ~bq, ~bs), which are not granted (bodies)")
        } else if !self.reads_all() && filter.looks_at_fields() {
            Some(
                "the filter looks at header fields (~h, ~hq, ~hs), and values of some are withheld (read_headers, \
                 withhold_headers): what matches would tell them",
            )
        } else if !self.may_read("content-type") && filter.looks_at_types() {
            Some(
                "the filter looks at content types (~t, ~tq, ~ts, ~a), and Content-Type is withheld (read_headers, \
                 withhold_headers): what matches would tell it",
            )
        } else {
            None
        }
    }

    fn refuse_body(&self, event: Event, body: BodyMode) -> Option<&'static str> {
        if body == BodyMode::None || matches!(event, Event::SseEvent | Event::WebsocketMessage) {
            // Of messages and events it is but the cap.
            None
        } else if !self.bodies {
            Some("bodies are not granted (bodies)")
        } else if !self.edit && is_piece(event) {
            Some("pieces without content codings change the message, which is not granted (edit)")
        } else {
            None
        }
    }
}

/// Whether the event brings a piece of a body.
const fn is_piece(event: Event) -> bool {
    matches!(event, Event::RequestChunk | Event::ResponseChunk | Event::SseEvent | Event::WebsocketMessage)
}

impl Names {
    /// These names; `*` may stand at the end of one.
    ///
    /// # Errors
    /// The place of the first that is no name.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, usize> {
        let check = |(place, name): (usize, String)| {
            let start = name.strip_suffix('*').unwrap_or(&name);
            let is_legal = (start.is_empty() || is_token(start.as_bytes())) && !start.contains('*') && !name.is_empty();
            if is_legal { Ok(name.to_ascii_lowercase()) } else { Err(place) }
        };
        names.into_iter().enumerate().map(check).collect::<Result<_, _>>().map(Self)
    }

    /// Every name.
    #[must_use]
    pub fn all() -> Self {
        Self(vec!["*".to_owned()])
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.get(..start.len()).is_some_and(|part| part.eq_ignore_ascii_case(start)),
            None => name.eq_ignore_ascii_case(known),
        })
    }

    fn is_all(&self) -> bool {
        self.0.iter().any(|known| known == "*")
    }

    fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl Default for Grants {
    fn default() -> Self {
        let mut events = Events::default();
        for event in Event::ALL {
            events.insert(event);
        }
        Self {
            events,
            edit: true,
            bodies: true,
            read_headers: Names::all(),
            write_headers: Names::all(),
            withhold_headers: Names::default(),
            http: HttpGrants::default(),
            upstreams: HttpGrants::default(),
            outbox: HttpGrants::default(),
            kv: false,
            dns: false,
        }
    }
}

/// By the keys of the configuration.
impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let events: Vec<_> = Event::ALL.into_iter().filter(|event| self.events.contains(*event)).map(Event::as_str).collect();
        let mut fields = serializer.serialize_struct("Grants", 11)?;
        fields.serialize_field("events", &events)?;
        fields.serialize_field("edit", &self.edit)?;
        fields.serialize_field("bodies", &self.bodies)?;
        fields.serialize_field("read_headers", &self.read_headers)?;
        fields.serialize_field("write_headers", &self.write_headers)?;
        fields.serialize_field("withhold_headers", &self.withhold_headers)?;
        let shown = |grants: &HttpGrants| grants.iter().map(ToString::to_string).collect::<Vec<_>>();
        fields.serialize_field("http", &shown(&self.http))?;
        fields.serialize_field("upstreams", &shown(&self.upstreams))?;
        fields.serialize_field("outbox", &shown(&self.outbox))?;
        fields.serialize_field("kv", &self.kv)?;
        fields.serialize_field("dns", &self.dns)?;
        fields.end()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "[{}] {}: {}", self.subscription, self.event, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::{ChunkVerdict, MadeResponse, OverCap};
    use crate::http::{Field, Headers};
    use http::StatusCode;

    fn names(names: &[&str]) -> Names {
        Names::new(names.iter().map(|&name| name.to_owned())).expect("names")
    }

    fn subscription(event: Event, filter: &str, body: BodyMode) -> Subscription {
        Subscription { event, filter: Filter::parse(filter).expect(filter), filter_text: filter.to_owned(), body }
    }

    fn parts(grants: &Grants, subscriptions: &[Subscription]) -> Vec<(usize, Asked)> {
        grants.violations(subscriptions).iter().map(|violation| (violation.subscription, violation.part)).collect()
    }

    #[test]
    fn names_compare_without_case_and_by_their_start() {
        let some = names(&["X-One", "x-two-*"]);
        for (name, is_one) in [("x-one", true), ("X-ONE", true), ("x-one-more", false), ("X-Two-", true), ("x-two-a", true)] {
            assert_eq!(some.contains(name), is_one, "{name}");
        }
        assert!(!some.contains("x-two") && !some.contains("") && Names::all().contains("anything"));
        for bad in ["", "a b", "a*b", "**", "a:"] {
            assert_eq!(Names::new(["ok".to_owned(), bad.to_owned()]), Err(1), "{bad:?}");
        }
    }

    #[test]
    fn withholding_wins_over_reading() {
        let grants =
            Grants { read_headers: names(&["x-*", "cookie"]), withhold_headers: names(&["Cookie"]), ..Grants::default() };
        assert!(grants.may_read("X-A") && !grants.may_read("cookie") && !grants.may_read("accept"));
        assert_eq!((grants.shown("x-a", b"1"), grants.shown("COOKIE", b"1")), (&b"1"[..], WITHHELD));
    }

    #[test]
    fn the_mark_is_no_value_of_withheld_fields() {
        let grants =
            Grants { withhold_headers: names(&["cookie"]), write_headers: names(&["cookie", "x-*"]), ..Grants::default() };
        assert_eq!(grants.check_field("cookie", [&b"a=b"[..]]), Ok(()));
        assert!(matches!(grants.check_field("Cookie", [&b"a"[..], b"x [withheld] y"]), Err(EditError::Invalid(_))));
        assert_eq!(grants.check_field("x-a", [WITHHELD]), Ok(()));
        assert!(matches!(grants.check_field("accept", []), Err(EditError::Forbidden(text)) if text.starts_with("accept")));
    }

    #[test]
    fn ungranted_events_and_bodies_are_found() {
        let full = BodyMode::Full { cap: 1, over_cap: OverCap::Refuse };
        let asked = [
            subscription(Event::Request, "~bq x", full),
            subscription(Event::Response, "", BodyMode::None),
            subscription(Event::ResponseChunk, "", BodyMode::None),
        ];
        assert_eq!(parts(&Grants::default(), &asked), []);
        let mut events = Events::default();
        events.insert(Event::Request);
        let grants = Grants { events, ..Grants::default() };
        assert_eq!(parts(&grants, &asked), [(1, Asked::Event), (2, Asked::Event)]);
        let grants = Grants { bodies: false, ..Grants::default() };
        assert_eq!(parts(&grants, &asked), [(0, Asked::Filter), (0, Asked::Body), (2, Asked::Event)]);
        // Taking content codings away is an edit.
        let uncoded = [subscription(Event::ResponseChunk, "", full), subscription(Event::ResponseChunk, "", BodyMode::None)];
        assert_eq!(parts(&Grants::default(), &uncoded), []);
        assert_eq!(parts(&Grants { edit: false, ..Grants::default() }, &uncoded), [(0, Asked::Body)]);
    }

    #[test]
    fn filters_are_no_way_around_withholding() {
        let of = |filter| [subscription(Event::Response, filter, BodyMode::None)];
        let some = Grants { withhold_headers: names(&["authorization"]), ..Grants::default() };
        let types = Grants { withhold_headers: names(&["content-*"]), ..Grants::default() };
        let few = Grants { read_headers: names(&["content-type"]), ..Grants::default() };
        for (filter, is_free_of_some, is_free_of_types, is_free_of_few) in [
            ("~h x", false, false, false),
            ("~m GET & !(~hq x | ~m PUT)", false, false, false),
            ("~hs x", false, false, false),
            ("~t x", true, false, true),
            ("~tq x", true, false, true),
            ("~ts x", true, false, true),
            ("!~a", true, false, true),
            ("~u x ~m GET ~p y ~c 200 ~d z", true, true, true),
            ("", true, true, true),
        ] {
            assert_eq!(some.violations(&of(filter)).is_empty(), is_free_of_some, "{filter}");
            assert_eq!(types.violations(&of(filter)).is_empty(), is_free_of_types, "{filter}");
            assert_eq!(few.violations(&of(filter)).is_empty(), is_free_of_few, "{filter}");
        }
    }

    #[test]
    fn readers_can_only_go_on() {
        let made = |name| {
            let headers: Headers = [Field::from_static(name, "1")].into_iter().collect();
            Verdict::Respond(MadeResponse { status: StatusCode::OK, headers, body: bytes::Bytes::new() })
        };
        let reader = Grants { edit: false, ..Grants::default() };
        assert!(reader.check_verdict(&Verdict::Next).is_ok());
        for verdict in [Verdict::EndChain, Verdict::Drop, made("x-a")] {
            assert!(reader.check_verdict(&verdict).is_err(), "{verdict:?}");
            assert!(Grants::default().check_verdict(&verdict).is_ok(), "{verdict:?}");
        }
        let chunk = |action, trailers| Verdict::Chunk(ChunkVerdict { action, is_done: true, trailers });
        assert!(reader.check_verdict(&chunk(ChunkAction::Pass, None)).is_ok());
        for verdict in [
            chunk(ChunkAction::Drop, None),
            chunk(ChunkAction::Replace(bytes::Bytes::new()), None),
            chunk(ChunkAction::Pass, Some(Headers::new())),
        ] {
            assert!(reader.check_verdict(&verdict).is_err(), "{verdict:?}");
            assert!(Grants::default().check_verdict(&verdict).is_ok(), "{verdict:?}");
        }
        let writer = Grants { write_headers: names(&["x-*"]), ..Grants::default() };
        assert!(writer.check_verdict(&made("X-B")).is_ok() && writer.check_verdict(&made("Set-Cookie")).is_err());
    }

    #[test]
    fn grants_show_by_their_keys() {
        let shown = serde_json::to_value(Grants { edit: false, withhold_headers: names(&["Cookie"]), ..Grants::default() });
        let shown = shown.expect("JSON");
        assert_eq!(shown["events"].as_array().map(Vec::len), Some(Event::ALL.len()));
        assert_eq!((&shown["edit"], &shown["withhold_headers"][0]), (&false.into(), &"cookie".into()));
    }
}
