//! Where services are, by the domain name system: asked for addons. Addresses of upstreams are looked up elsewhere.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData},
    },
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Asks servers, and keeps what they answer for as long as they say.
pub struct Names {
    servers: Option<Vec<SocketAddr>>,
    /// Made when it is first used: the system's configuration may be broken, and nobody mind.
    resolver: Mutex<Option<TokioResolver>>,
    under_way: Arc<Semaphore>,
}

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The lowest are tried first.
    pub priority: u16,
    /// Share of those of the same priority.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// In lower case, with a dot at the end.
    pub target: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a legal name.
    #[error("{0}")]
    Invalid(String),
    /// Not within the time.
    #[error("no answer within the timeout")]
    Timeout,
    /// No server answers, or none knows.
    #[error("{0}")]
    Failed(String),
    /// More records than this.
    #[error("more than {0} records")]
    TooLarge(u32),
    /// So many are under way.
    #[error("{0} lookups are under way")]
    Busy(u32),
}

/// Lookups at one time.
pub const MAX_UNDER_WAY: u32 = 64;
/// Records of one answer.
pub const MAX_RECORDS: u32 = 32;
/// Where nothing else is said.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Answers that are kept.
const KEPT: u64 = 1024;
const KEPT_FOR: Duration = Duration::from_hours(1);
const MAX_NAME: usize = 253;
const MAX_SHOWN: usize = 100;

impl Names {
    /// Asks these servers; without any those of the system.
    #[must_use]
    pub fn new(servers: Option<Vec<SocketAddr>>) -> Self {
        let under_way = Arc::new(Semaphore::new(MAX_UNDER_WAY as usize));
        Self { servers, resolver: Mutex::default(), under_way }
    }

    /// The SRV records of a whole name, by priority and then the heaviest first; none where it has none. Must be awaited within the
    /// runtime whose sockets are used.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// When nobody knows.
    pub async fn services(&self, name: &str, timeout: Duration) -> Result<Vec<Service>, Error> {
        let name = legal(name)?;
        let _permit = self.under_way.try_acquire().map_err(|_| Error::Busy(MAX_UNDER_WAY))?;
        let resolver = self.resolver()?;
        let lookup = match tokio::time::timeout(timeout, resolver.srv_lookup(name)).await {
            Err(_) | Ok(Err(NetError::Timeout)) => return Err(Error::Timeout),
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) => return if is_answer(&error) { Ok(Vec::new()) } else { Err(Error::Failed(error.to_string())) },
        };
        let mut found = Vec::new();
        for record in lookup.answers() {
            let RData::SRV(record) = &record.data else { continue };
            if found.len() == MAX_RECORDS as usize {
                return Err(Error::TooLarge(MAX_RECORDS));
            }
            let target = record.target.to_lowercase().to_ascii();
            found.push(Service { priority: record.priority, weight: record.weight, port: record.port, target });
        }
        found.sort_by_key(|service| (service.priority, u16::MAX - service.weight));
        Ok(found)
    }

    fn resolver(&self) -> Result<TokioResolver, Error> {
        let mut made = self.resolver.lock();
        if let Some(resolver) = &*made {
            return Ok(resolver.clone());
        }
        let failed = |error: NetError| Error::Failed(format!("no resolver: {error}"));
        let mut builder = match &self.servers {
            None => TokioResolver::builder_tokio().map_err(failed)?,
            Some(servers) => {
                let servers = servers.iter().map(|address| server(*address)).collect();
                let config = ResolverConfig::from_parts(None, Vec::new(), servers);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.cache_size = KEPT;
        options.positive_max_ttl = Some(KEPT_FOR);
        options.negative_max_ttl = Some(KEPT_FOR);
        let resolver = builder.build().map_err(failed)?;
        *made = Some(resolver.clone());
        Ok(resolver)
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// Whether the name has no such record, as those say who know.
fn is_answer(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return false };
    matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

fn legal(name: &str) -> Result<Name, Error> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let shown: String = name.chars().take(MAX_SHOWN).collect();
    let none = |why: &str| Error::Invalid(format!("{shown:?} is no name: {why}"));
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_legal) {
        return Err(none("1 to 253 letters, digits, \"-\", \"_\" and dots are"));
    }
    let mut parsed = Name::from_ascii(name).map_err(|error| none(&error.to_string()))?;
    parsed.set_fqdn(true);
    Ok(parsed)
}

#[cfg(test)]
mod tests;
