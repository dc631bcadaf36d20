//! Certificates as openssl judges them.

use std::{path::Path, process::Stdio};

use tokio::process::Command;
use tollgate_e2e::Federation;
use tollgate_tests::within;

/// What `openssl s_client` says of a handshake with this server through this proxy, if it trusts this file alone.
async fn judged(proxy: &str, server: &str, host: &str, trusted: &Path) -> String {
    let mut command = Command::new("openssl");
    let (kind, name) = if host.parse::<std::net::IpAddr>().is_ok() { ("-verify_ip", host) } else { ("-verify_hostname", host) };
    command.args(["s_client", "-proxy", proxy, "-connect", server, kind, name, "-no-CApath", "-no-CAstore", "-CAfile"]);
    command.arg(trusted).args(["-verify_return_error", "-x509_strict", "-showcerts"]);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = within(output).await.expect("openssl is there");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) async fn openssl_trusts_what_is_minted(federation: &Federation) {
    let [one, other] = &federation.homes;
    for (through, to) in [(one, other), (other, one)] {
        let host = to.name.split(':').next().expect("a host");
        let proxy = through.tollgate.address_of("outbound").to_string();
        let told = judged(&proxy, &to.name, host, &through.authority()).await;
        assert!(told.contains("Verify return code: 0 (ok)"), "{told}");
        // Whom the internet trusts is nobody here, and the other way round.
        let told = judged(&proxy, &to.name, host, through.internet()).await;
        assert!(told.contains("verify error"), "{told}");
        let told = judged(&proxy, &to.name, "other.test", &through.authority()).await;
        assert!(told.contains("ostname mismatch"), "{told}");
    }
}
