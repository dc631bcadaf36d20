//! `mastodon-sample [PORT]`: serves on 127.0.0.1 until it is killed. Default 3000; port 0 lets the system choose.

use std::io::Write;

use anyhow::{Context, bail};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().unwrap_or_else(|| "3000".to_owned());
    if arguments.next().is_some() {
        bail!("usage: mastodon-sample [PORT]");
    }
    let port: u16 = port.parse().with_context(|| format!("{port:?} is no port from 0 to 65535"))?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("cannot listen on port {port}"))?;
    writeln!(std::io::stdout(), "listening on http://{}", listener.local_addr()?)?;
    mastodon_sample::serve(listener, mastodon_sample::HEARTBEAT).await;
    Ok(())
}
