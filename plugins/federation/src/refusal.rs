//! Why a request goes no further, and how that is told.

use serde::Deserialize;
use tollgate_sdk::{Error, Refusal, kv};

use crate::server_name::ServerName;

/// Why a request goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No X-Matrix with an origin.
    NoOrigin,
    /// No X-Matrix with a destination.
    NoDestination,
    /// X-Matrix that cannot be read.
    Malformed(&'static str),
    /// The server is not on the list.
    Server(ServerName),
    /// The server of media, or of a user, is not on the list; as it was written.
    Domain(String),
    /// There has never been a list.
    NoList,
    /// The body is not what it has to be.
    BadBody,
    /// An invitation of nobody, or by e-mail.
    NoUser,
    /// The body has a content coding.
    Coded,
    /// The request goes elsewhere than to the server.
    Target(ServerName),
    /// The server has not signed the request.
    Signature(ServerName, &'static str),
    /// It cannot be told now where the server is.
    Lost(ServerName),
}

/// Refused, or a hook that fails.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(Refused),
    Failed(Error),
}

/// What people read. `{domain}` is the server, `{reason}` what is wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Texts {
    /// 401, inbound.
    pub no_origin: String,
    /// 401, outbound.
    pub no_destination: String,
    /// 401; has `{reason}`.
    pub malformed: String,
    /// 403 for the server of X-Matrix; has `{domain}`.
    pub not_listed: String,
    /// 403 for servers of users and media; has `{domain}`.
    pub domain_not_listed: String,
    /// 503.
    pub no_list: String,
    /// 400.
    pub bad_body: String,
    /// 400.
    pub no_user: String,
    /// 415.
    pub coded: String,
    /// 403, outbound; has `{domain}`.
    pub wrong_target: String,
    /// 503, outbound; has `{domain}`.
    pub lost: String,
    /// 401, inbound; has `{domain}` and `{reason}`.
    pub bad_signature: String,
}

/// Of what is quoted, in characters.
const MAX_SHOWN: usize = 255;

impl Default for Texts {
    fn default() -> Self {
        Self {
            no_origin: "missing X-Matrix authorization header with origin field".to_owned(),
            no_destination: "missing X-Matrix authorization header with destination field".to_owned(),
            malformed: "malformed X-Matrix authorization header: {reason}".to_owned(),
            not_listed: "not part of federation".to_owned(),
            domain_not_listed: "{domain} is not part of the federation".to_owned(),
            no_list: "the federation list is not available".to_owned(),
            bad_body: "Failed to deserialize request body".to_owned(),
            no_user: "InviteUser.Request.userId is missing".to_owned(),
            coded: "a body with a Content-Encoding is not taken here".to_owned(),
            wrong_target: "the request is for {domain} and goes elsewhere".to_owned(),
            lost: "cannot find out where {domain} is".to_owned(),
            bad_signature: "no good signature of {domain}: {reason}".to_owned(),
        }
    }
}

impl Texts {
    /// All of them, for checks.
    pub(crate) fn empty(&self) -> Option<&'static str> {
        let all = [
            ("no_origin", &self.no_origin),
            ("no_destination", &self.no_destination),
            ("malformed", &self.malformed),
            ("not_listed", &self.not_listed),
            ("domain_not_listed", &self.domain_not_listed),
            ("no_list", &self.no_list),
            ("bad_body", &self.bad_body),
            ("no_user", &self.no_user),
            ("coded", &self.coded),
            ("wrong_target", &self.wrong_target),
            ("lost", &self.lost),
            ("bad_signature", &self.bad_signature),
        ];
        all.into_iter().find(|(_, text)| text.is_empty()).map(|(name, _)| name)
    }
}

impl Refused {
    pub(crate) fn told(&self, texts: &Texts) -> Refusal {
        let domain = |text: &str, domain: &str| text.replace("{domain}", &domain.chars().take(MAX_SHOWN).collect::<String>());
        let (status, errcode, text) = match self {
            Self::NoOrigin => (401, "M_UNAUTHORIZED", texts.no_origin.clone()),
            Self::NoDestination => (401, "M_UNAUTHORIZED", texts.no_destination.clone()),
            Self::Malformed(reason) => (401, "M_UNAUTHORIZED", texts.malformed.replace("{reason}", reason)),
            Self::Server(name) => (403, "M_FORBIDDEN", domain(&texts.not_listed, &name.to_string())),
            Self::Domain(name) => (403, "M_FORBIDDEN", domain(&texts.domain_not_listed, name)),
            Self::NoList => (503, "M_UNKNOWN", texts.no_list.clone()),
            Self::BadBody => (400, "M_BAD_JSON", texts.bad_body.clone()),
            Self::NoUser => (400, "M_BAD_JSON", texts.no_user.clone()),
            Self::Coded => (415, "M_UNRECOGNIZED", texts.coded.clone()),
            Self::Target(name) => (403, "M_FORBIDDEN", domain(&texts.wrong_target, &name.to_string())),
            Self::Lost(name) => (503, "M_UNKNOWN", domain(&texts.lost, &name.to_string())),
            Self::Signature(name, reason) => {
                (401, "M_UNAUTHORIZED", domain(&texts.bad_signature, &name.to_string()).replace("{reason}", reason))
            }
        };
        Refusal::new(status, errcode, text)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<kv::Error> for Stop {
    fn from(error: kv::Error) -> Self {
        Self::Failed(error.into())
    }
}
