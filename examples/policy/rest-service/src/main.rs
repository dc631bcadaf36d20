//! `hook-rest-service`: answers consultations of event hooks until it is killed.

use std::{io::Write, net::SocketAddr};

use anyhow::Context;
use clap::Parser;
use hook_rest_service::Settings;
use tokio::net::TcpListener;

/// A service for event hooks to consult: one route for each way to answer.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address and port; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Answers 401 to requests without `Authorization: Bearer TOKEN`. Default: answers everybody.
    #[arg(long, value_name = "TOKEN", env = "HOOK_REST_SERVICE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Makes chances come the same way each time. Default: another way each time.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { listen, token, seed } = Arguments::parse();
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    let settings = Settings { token, seed };
    hook_rest_service::serve(listener, settings).await?;
    Ok(())
}
