//! Certificates as openssl judges them.

use std::{path::Path, process::Stdio};

use tokio::process::Command;
use tollgate_e2e::Federation;
use tollgate_tests::{Tollgate, within};

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

/// The commands of the messenger-proxy's own manual, in a folder with `ca.conf`.
const COMMANDS: &str = "\
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -new -x509 -days 3650 -config ca.conf -key ca.key -out ca.crt
cat ca.key > key.pem
cat ca.crt >> key.pem
";

pub(crate) async fn files_that_openssl_makes_will_do(_federation: &Federation) {
    let folder = tempfile::tempdir().expect("a directory");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tim/certificates/ca.conf");
    std::fs::copy(config, folder.path().join("ca.conf")).expect("a copy");
    let made = Command::new("sh").args(["-e", "-c", COMMANDS]).current_dir(folder.path()).output();
    let made = within(made).await.expect("a shell");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = |name: &str| folder.path().join(name);
    let tls = format!("{{ca = {:?}}}", file("key.pem").to_string_lossy());
    let tollgate = Tollgate::builder().forward("main").set("listener.main.tls", tls).start().await;
    let proxy = tollgate.address().to_string();
    let told = judged(&proxy, "localhost:443", "localhost", &file("ca.crt")).await;
    assert!(told.contains("Verify return code: 0 (ok)"), "{told}");
}
