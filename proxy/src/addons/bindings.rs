//! The world as Rust: generated from `wit/`, and how its resources and functions reach the host's state.

use wasmtime::component::{HasSelf, Linker};

use super::state::HostState;

pub(super) use generated::{
    exports::tollgate::addon::hooks, tollgate::addon::dns, tollgate::addon::flow, tollgate::addon::http_client,
    tollgate::addon::kv, tollgate::addon::log, tollgate::addon::outbox,
};

/// Marks handles of the flow's request. There is one request a flow, so every handle has the same number and no table.
#[allow(unreachable_pub, reason = "generated code re-exports it")]
pub enum RequestHandle {}
/// Marks handles of the flow's response.
#[allow(unreachable_pub, reason = "generated code re-exports it")]
pub enum ResponseHandle {}
/// Marks handles of the flow's outcome.
#[allow(unreachable_pub, reason = "generated code re-exports it")]
pub enum OutcomeHandle {}

/// Interfaces of the contract, without version, that a component may import.
pub(super) const IMPORTS: [&str; 6] = [
    "tollgate:addon/dns",
    "tollgate:addon/flow",
    "tollgate:addon/http-client",
    "tollgate:addon/kv",
    "tollgate:addon/log",
    "tollgate:addon/outbox",
];

/// Whether an import, with its version, is of keys and values.
pub(super) fn is_kv(import: &str) -> bool {
    import.split('@').next() == Some("tollgate:addon/kv")
}

/// Whether an import, with its version, is of the domain name system.
pub(super) fn is_dns(import: &str) -> bool {
    import.split('@').next() == Some("tollgate:addon/dns")
}

/// Whether an import, with its version, is of requests that are sent later.
pub(super) fn is_outbox(import: &str) -> bool {
    import.split('@').next() == Some("tollgate:addon/outbox")
}

/// The interface that it has to export.
pub(super) const EXPORT: &str = "tollgate:addon/hooks@0.1.0";

pub(super) use borrowed::{Piece, Whole};

#[allow(unsafe_code, reason = "what the derive macros of wasmtime make")]
mod borrowed {
    use wasmtime::component::{ComponentType, Lower};

    use super::hooks::WebsocketKind;
    use crate::hooks::{Chunk, SocketMessage};

    /// The record `chunk`, without a copy of its bytes.
    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(in crate::addons) struct Piece<'a> {
        data: &'a [u8],
        #[component(name = "is-last")]
        is_last: bool,
    }

    /// The record `websocket-message`, without a copy of its bytes.
    #[derive(ComponentType, Lower)]
    #[component(record)]
    pub(in crate::addons) struct Whole<'a> {
        #[component(name = "is-from-client")]
        is_from_client: bool,
        kind: WebsocketKind,
        data: &'a [u8],
    }

    impl<'a> From<&'a SocketMessage> for Whole<'a> {
        fn from(message: &'a SocketMessage) -> Self {
            let kind = if message.is_text { WebsocketKind::Text } else { WebsocketKind::Binary };
            Self { is_from_client: message.is_from_client, kind, data: &message.data }
        }
    }

    impl<'a> From<&'a Chunk> for Piece<'a> {
        fn from(chunk: &'a Chunk) -> Self {
            Self { data: &chunk.data, is_last: chunk.last.is_some() }
        }
    }
}

#[allow(missing_docs, unreachable_pub, clippy::pedantic, clippy::indexing_slicing)]
mod generated {
    pub use super::{OutcomeHandle, RequestHandle, ResponseHandle};

    wasmtime::component::bindgen!({
        path: "../wit",
        world: "tollgate:addon/addon",
        imports: {
            "tollgate:addon/dns.srv": async | trappable,
            "tollgate:addon/http-client.send": async | trappable,
            "tollgate:addon/kv.get": async | trappable,
            "tollgate:addon/kv.get-many": async | trappable,
            "tollgate:addon/kv.set": async | trappable,
            "tollgate:addon/kv.insert": async | trappable,
            "tollgate:addon/kv.insert-many": async | trappable,
            "tollgate:addon/kv.swap": async | trappable,
            "tollgate:addon/kv.delete": async | trappable,
            "tollgate:addon/kv.increment": async | trappable,
            "tollgate:addon/kv.scan": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        additional_derives: [PartialEq],
        with: {
            "tollgate:addon/flow.request": RequestHandle,
            "tollgate:addon/flow.response": ResponseHandle,
            "tollgate:addon/flow.outcome": OutcomeHandle,
        },
    });
}

/// Links the interfaces of the contract.
pub(super) fn add_to_linker(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    dns::add_to_linker::<_, HasSelf<HostState>>(linker, |state| state)?;
    flow::add_to_linker::<_, HasSelf<HostState>>(linker, |state| state)?;
    http_client::add_to_linker::<_, HasSelf<HostState>>(linker, |state| state)?;
    kv::add_to_linker::<_, HasSelf<HostState>>(linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<HostState>>(linker, |state| state)?;
    outbox::add_to_linker::<_, HasSelf<HostState>>(linker, |state| state)
}
