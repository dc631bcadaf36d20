//! The authority: which files are refused, how it is handed out, and its replacement.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use tollgate_tests::{Authority, Curl, RawClient, Tollgate, eventually};

use crate::common::{Ca, connect, refused, tls};

/// Starts with these files; how that ended.
async fn start_with(cert: &str, key: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("ca.pem"), cert).expect("a file");
    std::fs::write(path("ca.key"), key).expect("a file");
    let text = |name: &str| format!("{:?}", path(name).to_string_lossy());
    let builder = Tollgate::builder().forward("main").set("listener.main.tls.ca", text("ca.pem"));
    let ended = builder.set("listener.main.tls.key", text("ca.key")).run().await;
    assert!(!ended.status.success() && !ended.stdout.contains("ready"), "{}", ended.stdout);
    ended.stderr
}

#[tokio::test]
async fn bad_authorities_are_refused_at_the_start() {
    let now = time::OffsetDateTime::now_utc();
    let make = |is_ca: IsCa, end: time::OffsetDateTime| {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate().expect("a key"));
        (params.is_ca, params.not_after) = (is_ca, end);
        (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
    };
    let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
    let (good, key) = make(ca(), now + time::Duration::days(1));
    let (expired, its_key) = make(ca(), now - time::Duration::days(1));
    let (plain, of_plain) = make(IsCa::NoCa, now + time::Duration::days(1));
    for (cert, key, file, expected) in [
        (&expired, &its_key, "ca.pem", "has expired"),
        (&plain, &of_plain, "ca.pem", "CA:TRUE"),
        (&good, &of_plain, "ca.key", "does not belong to the certificate"),
        (&good, &good, "ca.key", "holds no private key"),
        (&key, &key, "ca.pem", "holds no certificate"),
    ] {
        let said = start_with(cert, key).await;
        assert!(said.contains("listener main") && said.contains(file) && said.contains(expected), "{expected}: {said}");
    }
}

#[tokio::test]
async fn the_page_hands_out_the_certificate() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let tollgate = ca.before(&upstreams).start().await;
    let pem = std::fs::read_to_string(ca.path("ca.pem")).expect("a file");
    let get = async |method: &str, path: &str| {
        let request = format!("{method} http://tollgate.ca{path} HTTP/1.1\r\nHost: tollgate.ca\r\n\r\n");
        let mut client = RawClient::connect(tollgate.address()).await;
        client.send(request).await;
        client.response_to(method).await
    };
    let shown = Tollgate::run(&["ca", "show", &ca.path("ca.pem").to_string_lossy()]).await.stdout;
    let fingerprint = shown.lines().find_map(|line| line.strip_prefix("SHA-256      ")).expect("a fingerprint").to_owned();
    let page = get("GET", "/").await;
    assert!(page.status == 200 && page.text().contains(&fingerprint), "{page:?}");
    assert_eq!(page.fields.get("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(get("GET", "/ca.pem").await.text().trim(), pem.trim());
    let der = get("GET", "/ca.der").await;
    assert_eq!(der.fields.get("content-type"), Some("application/x-x509-ca-cert"));
    let export = Tollgate::run(&["ca", "export", &ca.path("ca.pem").to_string_lossy()]).await.stdout;
    assert_eq!(export.trim(), pem.trim());
    for (method, path, status) in [("HEAD", "/", 200), ("GET", "/ca.key", 404), ("POST", "/", 405)] {
        let answer = get(method, path).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(!answer.text().contains("PRIVATE"), "{answer:?}");
    }
    assert_eq!(refused(tollgate.address(), "tollgate.ca:443").await.status, 403);
}

#[tokio::test]
async fn without_interception_there_is_no_page() {
    let tollgate = Tollgate::builder().forward("main").set("listener.main.targets.deny", "[\"tollgate.ca\"]").start().await;
    let request = "GET http://tollgate.ca/ HTTP/1.1\r\nHost: tollgate.ca\r\n\r\n";
    assert_eq!(RawClient::ask(tollgate.address(), request).await.status, 403);
}

#[tokio::test]
async fn a_changed_authority_is_taken_over() {
    let (ca, next, upstreams) = (Ca::new().await, Ca::new().await, Authority::new());
    let tollgate = ca.before(&upstreams).start().await;
    let handshake = async |config| tls(connect(tollgate.address(), "a.test:443").await, "a.test", config).await.is_ok();
    // Read before its file is that of another.
    let old = ca.trusted(&[]);
    assert!(handshake(old.clone()).await);
    for name in ["ca.pem", "ca.key"] {
        std::fs::copy(next.path(name), ca.path(name)).expect("a file");
    }
    tollgate.reload().await;
    eventually(async || handshake(next.trusted(&[])).await).await;
    assert!(!handshake(old).await);
    // A broken one is not.
    std::fs::write(ca.path("ca.key"), "nothing").expect("a file");
    tollgate.reload().await;
    tollgate.logged("holds no private key").await;
    assert!(handshake(next.trusted(&[])).await);
}

#[tokio::test]
async fn keys_are_written_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let ca = Ca::new().await;
    let mode = std::fs::metadata(ca.path("ca.key")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let path = |name: &str| ca.path(name).to_string_lossy().into_owned();
    let again = Tollgate::run(&["ca", "init", "--ca", &path("new.pem"), "--key", &path("ca.key")]).await;
    assert!(!again.status.success() && again.stderr.contains("is not overwritten"), "{}", again.stderr);
    assert!(!ca.path("new.pem").exists());
}

#[tokio::test]
async fn the_exported_certificate_is_what_clients_take() {
    let (ca, upstreams) = (Ca::new().await, Authority::new());
    let origin = tollgate_tests::Echo::tls(&upstreams.localhost(), &["http/1.1"]).await;
    let tollgate = ca.before(&upstreams).start().await;
    let out = ca.path("exported.der").to_string_lossy().into_owned();
    let from = ca.path("ca.pem").to_string_lossy().into_owned();
    assert!(Tollgate::run(&["ca", "export", &from, "--format", "der", "--out", &out]).await.status.success());
    let pem = std::process::Command::new("openssl").args(["x509", "-inform", "der", "-in", &out]).output().expect("openssl");
    std::fs::write(ca.path("again.pem"), pem.stdout).expect("a file");
    let url = format!("https://localhost:{}/", origin.address().port());
    let curl =
        |trust: &str| Curl::new(&url).args(&["--noproxy", "", "--proxy", &tollgate.url(), "--cacert"]).arg(ca.path(trust)).run();
    assert_eq!(curl("again.pem").await.status, 200);
    std::fs::copy(upstreams.ca(), ca.path("other.pem")).expect("a file");
    let other = curl("other.pem").await;
    assert_eq!((other.code, other.status), (60, 0), "{}", other.stderr);
}
