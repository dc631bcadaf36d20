//! Two real Synapses that federate, each through a Tollgate of its own as `examples/tim` configures it.
//!
//! Homeservers are named by the ports of their proxies, so that all tests share both pairs: they end with the program, which a
//! static value would not, and so there is a main function in place of the usual harness.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what tests share fails as they do: by panicking"
)]

mod certificates;
mod conversation;
mod pages;
mod refusals;

use std::{pin::Pin, process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial};
use tokio::{runtime::Runtime, sync::OnceCell};
use tollgate_e2e::Federation;

/// What all tests share. The first one starts it.
struct Shared {
    federation: OnceCell<Federation>,
    runtime: Runtime,
}

type Test = for<'a> fn(&'a Federation) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($name)), (|federation| Box::pin($module::$name(federation))) as Test)),*]
    };
}

fn main() -> ExitCode {
    let tests = tests![
        certificates::openssl_trusts_what_is_minted,
        certificates::files_that_openssl_makes_will_do,
        conversation::a_message_passes_both_proxies,
        conversation::rooms_are_joined_by_alias,
        conversation::media_cross,
        conversation::names_are_asked_for_across,
        pages::probes_name_listeners_and_dependencies,
        pages::versions_end_with_the_fence,
        pages::well_known_pages_are_not_the_homeserver_s,
        pages::reports_reach_the_service,
        pages::readiness_knows_what_is_missing,
        refusals::rules_hold_for_clients,
        refusals::strangers_in_disguise_are_not_spoken_with,
        refusals::paths_outside_of_the_table_go_nowhere,
        refusals::unlisted_servers_are_not_asked,
        refusals::unlisted_servers_are_not_heard,
        refusals::claims_lead_nowhere,
        refusals::who_leaves_the_list_is_heard_no_more,
    ];
    let shared = Arc::new(Shared { federation: OnceCell::new(), runtime: Runtime::new().expect("a runtime") });
    let trial = |(name, test): (&str, Test)| {
        let shared = Arc::clone(&shared);
        Trial::test(name, move || {
            shared.runtime.block_on(async { test(shared.federation.get_or_init(Federation::start).await).await });
            Ok(())
        })
    };
    // One after the other: who is listed is so for all of them.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let conclusion = libtest_mimic::run(&arguments, tests.map(trial).into());
    if let (true, Some(federation)) = (conclusion.has_failed(), shared.federation.get()) {
        federation.show_logs();
    }
    conclusion.exit_code()
}
