//! Event hooks for every request and response of a Matrix homeserver, by a policy file.

mod checks;
mod identity;
mod managed;

use tollgate_sdk::{Addon, NoOptions, OptionErrors, Subscription};

/// The addon.
#[derive(Debug)]
pub struct Policy;

impl Addon for Policy {
    type Options = NoOptions;

    fn configure(_options: NoOptions) -> Result<Self, OptionErrors> {
        Ok(Self)
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        Vec::new()
    }
}

tollgate_sdk::export!(Policy);
