//! Which flows come here.
//!
//! Filters only spare work: hooks decide by what they see, so nothing is kept because a filter let it pass.

use tollgate_sdk::{Event, OverCap, Subscription};

use crate::options::{Mode, Settings};

/// Index of the subscription to requests that may be answered: those with content are none.
pub(crate) const READ: u32 = 0;
/// Index of the subscription that shows the body of a response that may be kept.
pub(crate) const WHOLE: u32 = 3;

const READING: &str = "~m \"^(?-i:GET|HEAD)$\"";
const SAFE: &str = "~m \"^(?-i:GET|HEAD|OPTIONS|TRACE)$\"";

/// Requests that may be answered, requests that may change something, and responses to both.
pub(crate) fn of(settings: &Settings) -> Vec<Subscription> {
    let filter = if settings.filter.is_empty() { String::new() } else { format!(" & ({})", settings.filter) };
    let reads = format!("{READING}{filter}");
    let writes = format!("!{SAFE}");
    vec![
        // A request with content goes by unseen, however it is framed.
        Subscription::to(Event::Request).filter(&reads).with_body_up_to(0, OverCap::PassUnseen),
        Subscription::to(Event::Request).filter(&writes),
        Subscription::to(Event::Response).filter(&reads),
        Subscription::to(Event::Response)
            .filter(format!("{reads} & {}", keepable(settings)))
            .with_body_up_to(settings.max_body, OverCap::PassUnseen),
        Subscription::to(Event::Response).filter(&writes),
        Subscription::to(Event::UpstreamError).filter(&reads),
        Subscription::to(Event::Finish).filter(&reads),
    ]
}

/// What other responses can't be kept by their heads, so that they stream past.
fn keepable(settings: &Settings) -> String {
    let never = match settings.mode {
        Mode::Shared => "no-store|private",
        Mode::Private => "no-store",
    };
    let parts = "!~c 206 & !~c 304 & !~ts \"(?i)^text/event-stream\"";
    let never = format!("!~hs \"(?i)^cache-control:.*({never})\"");
    if settings.default_ttl.is_some() || settings.heuristics {
        return format!("{parts} & {never}");
    }
    format!("{parts} & {never} & ~hs \"(?i)^(cache-control:.*(max-?age|no-cache)|expires:)\"")
}
