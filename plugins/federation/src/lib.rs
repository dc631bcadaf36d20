//! Lets a Matrix homeserver federate with servers that are on a list, and with no others.
//!
//! README.md is the manual. Which requests are checked is in `routes.rs`, how in `judge.rs`. The list is read in `list.rs`, asked
//! for in `refresh.rs` and kept in `kept.rs`; where servers are is found out in `target.rs`, their keys in `keys.rs`. Signatures are
//! in `signature.rs`.

mod canonical;
mod hash;
mod judge;
mod kept;
mod keys;
mod list;
mod once;
mod options;
mod refresh;
mod refusal;
mod routes;
mod server_name;
mod signature;
mod target;
mod x_matrix;

use tollgate_sdk::{Addon, Error, Flow, OptionErrors, Outcome, Request, RequestVerdict, Subscription, log};

use crate::{
    judge::Judge,
    options::{Settings, Supply},
    refusal::Stop,
};
pub use crate::{options::Options, refusal::Texts};

/// The addon.
#[derive(Debug)]
pub struct Federation {
    /// None where nothing is checked.
    settings: Option<Settings>,
    /// Whether this flow found that it is time to ask for the list.
    is_due: bool,
}

impl Addon for Federation {
    type Options = Options;

    fn configure(options: Options) -> Result<Self, OptionErrors> {
        let has_listeners = !(options.inbound.is_empty() && options.outbound.is_empty());
        let settings = options.check()?;
        if has_listeners && settings.is_none() {
            log::warn!("enforce is false: the homeserver federates with everybody");
        }
        Ok(Self { settings, is_due: false })
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        self.settings.as_ref().map(Settings::subscriptions).unwrap_or_default()
    }

    fn request(&mut self, flow: &Flow, request: &mut Request) -> Result<RequestVerdict, Error> {
        let Some(settings) = &self.settings else { return Ok(RequestVerdict::Next) };
        let Some(side) = settings.side(&flow.listener()) else { return Ok(RequestVerdict::Next) };
        let mut judge = Judge::new(settings, side, request);
        let checked = judge.check();
        self.is_due = judge.is_due;
        if !self.is_due {
            // Its answer may take long, and there is nothing more to do.
            flow.let_go();
        }
        match checked {
            Ok(()) => Ok(RequestVerdict::Next),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Refused(refused)) => {
                let refusal = refused.told(&settings.texts);
                log::info!(status = refusal.status, why = refusal.error.as_str(), listener = flow.listener().as_str(); "refused");
                Ok(refusal.into())
            }
        }
    }

    /// The client has its answer: now there is time for the list.
    fn finish(&mut self, _flow: &Flow, _request: &Request, _outcome: &Outcome) -> Result<(), Error> {
        match &self.settings {
            Some(Settings { supply: Supply::Service(source), .. }) if self.is_due => Ok(source.refresh()?),
            _ => Ok(()),
        }
    }
}

tollgate_sdk::export!(Federation);
