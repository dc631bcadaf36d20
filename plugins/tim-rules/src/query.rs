//! A query in the way in which homeservers read it.

use tollgate_sdk::{Query, Request};

/// The pairs of a query, decoded. Twisted, below Synapse, separates them by `&` and by `;`.
pub(crate) fn pairs(request: &Request) -> Vec<(String, String)> {
    let target = request.path_and_query();
    let query = target.split_once('?').map(|(_, query)| query.replace(';', "&")).unwrap_or_default();
    Query::parse(&query).iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
