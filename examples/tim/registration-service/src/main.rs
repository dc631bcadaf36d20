//! `tim-registration-service`: answers messenger services until it is killed.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use clap::Parser;
use tim_registration_service::{Data, Service};
use tokio::net::TcpListener;

/// A stand-in for the registration service of a TI-Messenger provider.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address and port; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// File with the federation list and the support pages; read anew for each request.
    #[arg(long, value_name = "FILE", default_value = "examples/tim/registration.json")]
    data: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { listen, data } = Arguments::parse();
    Data::read(&data).with_context(|| format!("cannot use {}", data.display()))?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    Service::new(data, true).serve(listener).await;
    Ok(())
}
