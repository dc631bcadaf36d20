//! Authorities in PKCS#12, as openssl reads them.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use tollgate_tests::{Ended, Tollgate};

use crate::intercepting::Ca;

/// What `openssl pkcs12` says of a file; none: it cannot be read.
fn openssl(file: &Path, password: &str, arguments: &[&str]) -> Option<String> {
    let mut command = std::process::Command::new("openssl");
    command.args(["pkcs12", "-passin", &format!("pass:{password}"), "-in"]).arg(file).args(arguments);
    let output = command.output().expect("openssl");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn block(text: &str, kind: &str) -> Option<String> {
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let start = text.find(&begin)?;
    let length = text.get(start..)?.find(&end)? + end.len();
    text.get(start..start + length).map(|block| block.lines().collect())
}

async fn export(ca: &Ca, out: &str, arguments: &[&str], input: &str) -> Ended {
    let (from, to) = (ca.path("ca.pem"), ca.path(out));
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    let command = ["ca", "export", &from, "--format", "p12", "--out", &to];
    Tollgate::run_with(&[&command[..], arguments].concat(), input.as_bytes()).await
}

#[tokio::test]
async fn the_certificate_alone_is_for_trust() {
    let ca = Ca::new().await;
    let ended = export(&ca, "ca.p12", &["--password-file", "-"], "p\u{e4}ss word\nmore\n").await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let file = ca.path("ca.p12");
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let pem = std::fs::read_to_string(ca.path("ca.pem")).expect("a file");
    let all = openssl(&file, "p\u{e4}ss word", &["-nodes"]).expect("a p12");
    assert_eq!(block(&all, "CERTIFICATE"), block(&pem, "CERTIFICATE"));
    assert!(!all.contains("PRIVATE KEY"), "{all}");
    for wrong in ["", "p\u{e4}ss", "more"] {
        assert!(openssl(&file, wrong, &["-nodes"]).is_none(), "{wrong}");
    }
    let again = export(&ca, "ca.p12", &["--password-file", "-"], "other\n").await;
    assert!(!again.status.success() && openssl(&file, "p\u{e4}ss word", &[]).is_some(), "not replaced");
}

#[tokio::test]
async fn the_key_goes_along_where_it_is_named() {
    let ca = Ca::new().await;
    let (key, password) = (ca.path("ca.key"), ca.path("password"));
    std::fs::write(&password, "secret\r\n").expect("a file");
    let (key, password) = (key.to_string_lossy(), password.to_string_lossy());
    let ended = export(&ca, "both.p12", &["--key", &key, "--password-file", &password], "").await;
    assert!(ended.status.success(), "{}", ended.stderr);
    let file = ca.path("both.p12");
    assert_eq!(std::fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    let all = openssl(&file, "secret", &["-nodes"]).expect("a p12");
    let (pem, own) = (std::fs::read_to_string(ca.path("ca.pem")), std::fs::read_to_string(ca.path("ca.key")));
    assert_eq!(block(&all, "CERTIFICATE"), block(&pem.expect("a file"), "CERTIFICATE"));
    assert_eq!(block(&all, "PRIVATE KEY"), block(&own.expect("a file"), "PRIVATE KEY"));
}

#[tokio::test]
async fn what_cannot_be_exported_leaves_no_file() {
    let (ca, other) = (Ca::new().await, Ca::new().await);
    let key = other.path("ca.key");
    let key = key.to_string_lossy();
    let pem = ca.path("ca.pem");
    let pem = pem.to_string_lossy();
    let long = "x".repeat(1025);
    for (arguments, input, expected) in [
        (&[][..], "", "--password-file"),
        (&["--password-file", "-"], "", "1 to 1024 bytes"),
        (&["--password-file", "-"], "\n", "1 to 1024 bytes"),
        (&["--password-file", "-"], &long, "1 to 1024 bytes"),
        (&["--password-file", "/nowhere/at/all"], "", "cannot be read"),
        (&["--password-file", "-", "--key", &key], "a\n", "does not belong to the certificate"),
        (&["--password-file", "-", "--key", &pem], "a\n", "PKCS#8"),
    ] {
        let ended = export(&ca, "none.p12", arguments, input).await;
        assert!(!ended.status.success() && ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
        assert!(!ca.path("none.p12").exists());
    }
    let own = ca.path("ca.key");
    let (own, out) = (own.to_string_lossy(), ca.path("none.pem"));
    let pem_with_key = ["ca", "export", &pem, "--key", &own, "--out", &out.to_string_lossy()].map(str::to_owned);
    let arguments: Vec<&str> = pem_with_key.iter().map(String::as_str).collect();
    let ended = Tollgate::run(&arguments).await;
    assert!(!ended.status.success() && ended.stderr.contains("are for --format p12"), "{}", ended.stderr);
}
