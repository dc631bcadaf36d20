//! Streams and polling; every wait ends at the deadline of the call.

use tokio::time::{Instant, timeout_at};
use wasmtime::{
    Result,
    component::{HasData, Linker, Resource, ResourceTable},
};
use wasmtime_wasi::p2::{
    DynPollable,
    bindings::io::{error, poll, streams},
};

use super::{super::budget::Over, HostState};

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

struct Waiting;

impl HasData for Waiting {
    type Data<'a> = Wait<'a>;
}

/// The table, with the end of all waits.
struct Wait<'a> {
    table: &'a mut ResourceTable,
    deadline: Instant,
    over: Over,
}

pub(super) fn add_to_linker(linker: &mut Linker<HostState>) -> Result<()> {
    error::add_to_linker::<_, Table>(linker, |state| &mut state.wasi().table)?;
    // Output is always ready and input at its end, so streams never wait.
    streams::add_to_linker::<_, Table>(linker, |state| &mut state.wasi().table)?;
    poll::add_to_linker::<_, Waiting>(linker, |state| {
        let (deadline, over) = (state.budget.deadline(), state.budget.over_wall());
        Wait { table: &mut state.wasi().table, deadline, over }
    })
}

impl Wait<'_> {
    async fn until<T>(deadline: Instant, over: Over, wait: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout_at(deadline, wait).await {
            Ok(answer) if Instant::now() < deadline => answer,
            // An alarm that is set beyond the deadline rings with it: that is no reason to let the guest go on.
            _ => Err(wasmtime::Error::new(over)),
        }
    }
}

impl poll::Host for Wait<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        Self::until(self.deadline, self.over, poll::Host::poll(self.table, pollables)).await
    }
}

impl poll::HostPollable for Wait<'_> {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        poll::HostPollable::ready(self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        Self::until(self.deadline, self.over, poll::HostPollable::block(self.table, pollable)).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        poll::HostPollable::drop(self.table, pollable)
    }
}
