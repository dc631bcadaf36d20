//! What is measured: a case for each row of targets.

mod bodies;
mod changes;
mod requests;
mod waiting;

use anyhow::Result;

use super::{Bench, data::Outcome};

/// Something to measure.
pub(crate) struct Case {
    /// As it is asked for.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) run: fn(&Bench) -> Result<Outcome>,
}

/// All of them, in the order in which they run.
pub(crate) const CASES: [Case; 15] = [
    Case { name: "plain-1k", title: "no addon, 1 KiB of JSON", run: requests::plain_small },
    Case { name: "plain-100k", title: "no addon, 100 KiB of JSON", run: requests::plain_large },
    Case { name: "idle-addons", title: "four addons loaded, none of which a flow matches", run: requests::idle_addons },
    Case { name: "rules", title: "an addon with four regular expressions and two header edits", run: requests::rules },
    Case { name: "hooks", title: "a fresh instance with a request and a response hook", run: requests::hooks },
    Case { name: "json", title: "10 KiB of JSON, read and written anew by an addon", run: requests::json },
    Case { name: "h2", title: "HTTP/2, 100 streams on one connection, no addon", run: requests::h2 },
    Case { name: "tls", title: "new TLS handshakes", run: requests::tls },
    Case { name: "scaling", title: "from one core to two", run: requests::scaling },
    Case { name: "big-body", title: "1 GiB through an addon that sees the head", run: bodies::huge },
    Case { name: "chunks", title: "1 GiB through a hook on each piece of 16 KiB", run: bodies::chunks },
    Case { name: "connections", title: "10,000 idle connections", run: waiting::connections },
    Case { name: "websockets", title: "10,000 idle WebSockets", run: waiting::websockets },
    Case { name: "start", title: "from start to ready, six addons, warm code cache", run: changes::start },
    Case { name: "drop", title: "from a file in plugins/ to its first flow", run: changes::dropped },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_have_names_of_their_own() {
        let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
    }
}
