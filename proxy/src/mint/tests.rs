use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use time::Duration;

use super::{authority::AuthorityError, certificate, *};

/// Files of a test, and openssl beside them.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), text).expect("a file");
        self.path(name)
    }

    /// Runs openssl in the directory; whether it went well, and what it said.
    fn openssl(&self, arguments: &str) -> (bool, String) {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(self.0.path()).output().expect("openssl");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    fn must(&self, arguments: &str) -> String {
        let (is_good, said) = self.openssl(arguments);
        assert!(is_good, "openssl {arguments}: {said}");
        said
    }

    /// A certificate with its key, as `change` wants it, in `name.pem` and `name.key`.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (now - Duration::days(2), now + Duration::days(2));
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        (self.write(&format!("{name}.pem"), certificate.pem()), self.write(&format!("{name}.key"), key.serialize_pem()))
    }
}

fn read(certificate: &Path, key: Option<&Path>) -> Result<Authority, AuthorityError> {
    Authority::read(certificate, key, OffsetDateTime::now_utc())
}

fn usual(files: &Files) -> Authority {
    let (ca, key) = files.issue("ca", |_| ());
    read(&ca, Some(&key)).expect("an authority")
}

fn subject(host: &str) -> Subject {
    Subject::of(&Target::of(&format!("https://{host}").parse().expect("an origin")).expect("a target"))
}

fn mint(authority: &Authority, host: &str) -> Leaf {
    Leaf::mint(authority, &subject(host), OffsetDateTime::now_utc()).expect("a certificate")
}

#[test]
fn keys_are_read_in_every_shape() {
    let files = Files::new();
    for (shape, make) in [
        ("SEC1 with parameters", "ecparam -name prime256v1 -genkey -out key"),
        ("SEC1", "ecparam -name prime256v1 -genkey -noout -out key"),
        ("PKCS#8, P-384", "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out key"),
        ("SEC1, P-384", "ecparam -name secp384r1 -genkey -noout -out key"),
        ("PKCS#8, RSA", "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key"),
        ("PKCS#1", "genrsa -traditional -out key 2048"),
        ("Ed25519", "genpkey -algorithm ed25519 -out key"),
    ] {
        files.must(make);
        files.must(
            "req -new -x509 -days 30 -key key -out crt -subj /C=DE/O=Test/CN=an-authority -addext keyUsage=critical,keyCertSign",
        );
        let both = [fs::read(files.path("key")).expect("a key"), fs::read(files.path("crt")).expect("a certificate")].concat();
        files.write("both", both);
        // As messenger-proxy has it: the file of the key holds the certificate, too.
        for (certificate, key) in [("crt", Some("key")), ("both", None), ("crt", Some("both"))] {
            let key = key.map(|key| files.path(key));
            let authority = read(&files.path(certificate), key.as_deref()).unwrap_or_else(|error| panic!("{shape}: {error}"));
            files.write("leaf", pem(mint(&authority, "a.test").certificate()));
            files.must("verify -x509_strict -purpose sslserver -verify_hostname a.test -CAfile crt leaf");
            assert!(!files.openssl("verify -verify_hostname b.test -CAfile crt leaf").0, "{shape}");
        }
    }
}

#[test]
fn what_is_wrong_with_files_is_told() {
    let files = Files::new();
    let (ca, key) = files.issue("ca", |_| ());
    let (plain, of_plain) = files.issue("plain", |params| params.is_ca = IsCa::NoCa);
    let (unable, of_unable) = files.issue("unable", |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    let (late, of_late) = files.issue("late", |params| params.not_after = OffsetDateTime::now_utc() - Duration::hours(1));
    let (early, of_early) = files.issue("early", |params| params.not_before = OffsetDateTime::now_utc() + Duration::hours(1));
    files.must("ecparam -name secp521r1 -genkey -noout -out odd.key");
    files.must("req -new -x509 -key odd.key -out odd.pem -subj /CN=odd");
    files.must("ec -in ca.key -aes128 -passout pass:hunter22 -out locked.key");
    files.must("pkcs8 -topk8 -in ca.key -passout pass:hunter22 -out locked8.key");
    files.must("x509 -in ca.pem -outform der -out ca.der");
    let at = |name: &str| files.path(name);
    let (empty, broken) =
        (files.write("empty", ""), files.write("broken", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"));
    let garbage = files.write("garbage", pem(b"garbage"));
    for (certificate, key, blamed, expected) in [
        (&at("nowhere"), Some(&key), &at("nowhere"), "cannot be read"),
        (&ca, Some(&at("nowhere")), &at("nowhere"), "cannot be read"),
        (&empty, Some(&key), &empty, "holds no certificate"),
        (&key, Some(&key), &key, "holds no certificate"),
        (&broken, Some(&key), &broken, "is no PEM"),
        (&garbage, Some(&key), &garbage, "a certificate that cannot be read"),
        (&ca, Some(&ca), &ca, "holds no private key"),
        (&ca, None, &ca, "holds no private key: name the file of the key"),
        (&ca, Some(&of_plain), &of_plain, "does not belong to the certificate"),
        (&plain, Some(&of_plain), &plain, "CA:TRUE"),
        (&unable, Some(&of_unable), &unable, "keyCertSign"),
        (&late, Some(&of_late), &late, "has expired"),
        (&early, Some(&of_early), &early, "not yet valid"),
        (&at("odd.pem"), Some(&at("odd.key")), &at("odd.key"), "must be ECDSA P-256 or P-384"),
        (&ca, Some(&at("locked.key")), &at("locked.key"), "is encrypted"),
        (&ca, Some(&at("locked8.key")), &at("locked8.key"), "is encrypted"),
        (&at("ca.der"), Some(&key), &at("ca.der"), "is DER"),
    ] {
        let error = read(certificate, key.map(PathBuf::as_path)).err().unwrap_or_else(|| panic!("{expected}: no error"));
        assert!(error.why.contains(expected) && error.path == *blamed, "{expected}: {error}");
        assert!(!error.to_string().contains("hunter22"));
    }
}

#[test]
fn files_are_read_up_to_their_limit() {
    let files = Files::new();
    let (ca, key) = files.issue("ca", |_| ());
    let text = fs::read_to_string(ca).expect("a file");
    for (length, is_read) in [((1 << 20) - 1, true), (1 << 20, true), ((1 << 20) + 1, false)] {
        let padded = files.write("padded", format!("{}\n{text}", "#".repeat(length - text.len() - 1)));
        assert_eq!(read(&padded, Some(&key)).is_ok(), is_read, "{length}");
    }
}

#[test]
fn names_that_cannot_be_repeated_are_refused() {
    let files = Files::new();
    files.must("ecparam -name prime256v1 -genkey -noout -out key");
    for (name, is_good) in [("/CN=a/OU=b/O=c/emailAddress=d@e", true), ("/OU=a/OU=b/CN=c", false), ("/CN=a+OU=b", false)] {
        files.must(&format!("req -new -x509 -key key -out crt -multivalue-rdn -subj {name}"));
        assert_eq!(read(&files.path("crt"), Some(&files.path("key"))).is_ok(), is_good, "{name}");
    }
}

#[test]
fn the_certificate_that_the_key_fits_signs() {
    let files = Files::new();
    let ((ca, key), (other, _)) = (files.issue("ca", |_| ()), files.issue("other", |_| ()));
    let both = files.write("both", [fs::read(other).expect("a file"), fs::read(&ca).expect("a file")].concat());
    let authority = read(&both, Some(&key)).expect("an authority");
    assert_eq!(pem(authority.certificate()).trim(), fs::read_to_string(ca).expect("a file").trim());
    assert_eq!(authority.chain().len(), 2);
}

#[test]
fn certificates_are_short_and_unpredictable() {
    let files = Files::new();
    let (ca, key) = files.issue("ca", |params| params.not_after = OffsetDateTime::now_utc() + Duration::days(30));
    let authority = read(&ca, Some(&key)).expect("an authority");
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).expect("a time");
    let [one, two] = [0, 1].map(|_| Leaf::mint(&authority, &subject("a.test"), now).expect("a certificate"));
    let [one, two] = [one, two].map(|leaf| certificate::read(leaf.certificate()).expect("a certificate"));
    assert_eq!((one.begin, one.end), (now - Duration::days(1), now + Duration::days(7)));
    assert_ne!((one.serial.clone(), one.key), (two.serial, two.key));
    assert!(one.serial.len() == 20 && !one.is_authority, "{:?}", one.serial);
}

#[test]
fn no_certificate_outlives_its_authority() {
    let files = Files::new();
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).expect("a time");
    let (begin, end) = (now - Duration::hours(1), now + Duration::hours(1));
    let (ca, key) = files.issue("ca", |params| (params.not_before, params.not_after) = (begin, end));
    let authority = read(&ca, Some(&key)).expect("an authority");
    let leaf = Leaf::mint(&authority, &subject("a.test"), now).expect("a certificate");
    let parsed = certificate::read(leaf.certificate()).expect("a certificate");
    assert_eq!((parsed.begin, parsed.end), (begin, end));
    for moment in [begin - Duration::seconds(1), end] {
        assert!(matches!(Leaf::mint(&authority, &subject("a.test"), moment), Err(MintError::Authority(_))));
    }
    assert!(leaf.is_fresh(now) && !leaf.is_fresh(end + Duration::seconds(1)));
}

#[test]
fn addresses_and_long_names_have_theirs() {
    let files = Files::new();
    let authority = usual(&files);
    let long = format!("{}.{}.test", "a".repeat(60), "b".repeat(60));
    for (host, check) in [
        ("192.0.2.7", "-verify_ip 192.0.2.7".to_owned()),
        ("[2001:DB8::1]", "-verify_ip 2001:db8::1".to_owned()),
        ("A.Test.", "-verify_hostname a.test".to_owned()),
        ("a_b.test", "-verify_hostname a_b.test".to_owned()),
        (&long, format!("-verify_hostname {long}")),
    ] {
        files.write("leaf", pem(mint(&authority, host).certificate()));
        files.must(&format!("verify -x509_strict -purpose sslserver {check} -CAfile ca.pem leaf"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_is_minted_once_however_many_ask() {
    let files = Files::new();
    let mint = Arc::new(Mint::new(usual(&files), NonZeroUsize::MIN, Counts::default()));
    let crowd = (0..64).map(|_| {
        let mint = Arc::clone(&mint);
        tokio::spawn(async move { mint.leaf(&subject("a.test")).await.expect("a certificate") })
    });
    let leaves = futures_util::future::join_all(crowd).await;
    let first = leaves.first().expect("one").as_ref().expect("a task");
    assert!(leaves.iter().all(|leaf| Arc::ptr_eq(leaf.as_ref().expect("a task"), first)));
    assert_eq!(mint.counts.minted.get(), 1);
}

#[tokio::test]
async fn as_many_are_kept_as_there_is_room_for() {
    let files = Files::new();
    // Its authority ends before they would be renewed.
    let mint = Mint::new(usual(&files), NonZeroUsize::new(3).expect("a number"), Counts::default());
    let ask = async |host: &str| drop(mint.leaf(&subject(host)).await.expect("a certificate"));
    for (host, kept, minted) in [
        ("a.test", 1, 1),
        ("b.test", 2, 2),
        ("c.test", 3, 3),
        ("A.TEST", 3, 3),
        // In place of b, for which nobody has asked for longest.
        ("d.test", 3, 4),
        ("a.test", 3, 4),
        ("b.test", 3, 5),
    ] {
        ask(host).await;
        assert_eq!((mint.counts.kept.get(), mint.counts.minted.get()), (kept, minted), "{host}");
    }
}

#[tokio::test]
async fn stale_ones_are_minted_anew() {
    let files = Files::new();
    let (ca, key) = files.issue("ca", |params| params.not_before = OffsetDateTime::now_utc() - Duration::days(30));
    let mint = Mint::new(read(&ca, Some(&key)).expect("an authority"), NonZeroUsize::MIN, Counts::default());
    let old =
        Leaf::mint(&mint.authority, &subject("a.test"), OffsetDateTime::now_utc() - Duration::days(6)).expect("a certificate");
    let old = Arc::new(old);
    assert!(mint.slot(&subject("a.test"), None).set(Arc::clone(&old)).is_ok());
    let fresh = mint.leaf(&subject("a.test")).await.expect("a certificate");
    assert!(!Arc::ptr_eq(&fresh, &old) && Arc::ptr_eq(&fresh, &mint.leaf(&subject("a.test")).await.expect("a certificate")));
    assert_eq!((mint.counts.minted.get(), mint.counts.kept.get()), (1, 1));
}

#[test]
fn new_authorities_are_of_use_and_replace_nothing() {
    let files = Files::new();
    let new = |certificate: &str, key: &str| {
        let new = New { name: "An authority".to_owned(), days: 30, certificate: files.path(certificate), key: files.path(key) };
        create(&new, OffsetDateTime::now_utc())
    };
    new("ca.pem", "ca.key").expect("an authority");
    let mode = |name: &str| fs::metadata(files.path(name)).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode("ca.key"), 0o600);
    let authority = read(&files.path("ca.pem"), Some(&files.path("ca.key"))).expect("an authority");
    files.write("leaf", pem(mint(&authority, "a.test").certificate()));
    files.must("verify -x509_strict -purpose sslserver -verify_hostname a.test -CAfile ca.pem leaf");
    assert_eq!(authority.key_kind(), "ECDSA P-256");
    for (certificate, key, left) in
        [("ca.pem", "new.key", "new.key"), ("new.pem", "ca.key", "new.pem"), ("nowhere/a", "b.key", "b.key")]
    {
        assert!(new(certificate, key).is_err());
        assert!(!files.path(left).exists(), "{left} is left");
    }
    assert!(read(&files.path("ca.pem"), Some(&files.path("ca.key"))).is_ok());
}

#[test]
fn certificates_are_described() {
    let files = Files::new();
    let (ca, _) = files.issue("ca", |params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "a\u{1b}b");
    });
    let (description, _) = Description::read(&ca).expect("a description");
    assert_eq!((&*description.subject, description.is_authority), ("CN=a\\u{1b}b", true));
    let expected = files.must("x509 -in ca.pem -noout -fingerprint -sha256");
    assert!(expected.trim().ends_with(&description.fingerprint), "{expected}");
}
