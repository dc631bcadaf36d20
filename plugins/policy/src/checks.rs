//! Policy checks.
use crate::managed::Managed;

#[derive(Debug, Clone)]
pub(crate) struct Checked;

#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) status: u16,
    pub(crate) errcode: &'static str,
    pub(crate) message: String,
}

impl Checked {
    pub(crate) fn of(method: &str, path: &str) -> Option<Self> {
        (method == "POST" && path == "/_matrix/client/r0/createRoom").then_some(Self)
    }

    pub(crate) fn filters() -> Vec<String> {
        vec!["~m \"(?-i:^POST$)\" & ~p \"^/_matrix/client/r0/createRoom$\"".to_owned()]
    }

    pub(crate) fn needs_body(&self) -> bool {
        true
    }

    pub(crate) fn token_needed(&self) -> bool {
        true
    }

    pub(crate) fn judge(&self, _managed: &Managed, _asker: Option<&str>, _body: &[u8]) -> Result<(), Denied> {
        Ok(())
    }
}

pub(crate) fn api_version_refused(_path: &str) -> bool {
    false
}
