//! `http://tollgate.ca/`: the authority of an intercepting listener, for machines that are to trust it.

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::{
    flow::refuse,
    http::{Authority, Body, Field, RequestHead, ResponseHead},
    mint,
};

/// The name. It is answered here and never looked up.
pub(super) const HOST: &str = "tollgate.ca";

/// Whether this is the page's name, at whatever port.
pub(super) fn is_named(authority: &Authority) -> bool {
    let host = authority.host();
    host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(HOST)
}

/// Answers a request: `/` tells how to trust the authority, `/ca.pem` and `/ca.der` are its certificate. The key is nowhere.
pub(super) fn answer(head: &RequestHead, authority: &mint::Authority) -> (ResponseHead, Body) {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return refuse(&head.method, StatusCode::METHOD_NOT_ALLOWED, "there is nothing to do here but to look");
    }
    let path = head.target_str().split('?').next().unwrap_or_default();
    let (kind, name, content) = match path {
        "/" => ("text/html; charset=utf-8", None, Bytes::from(instructions(authority))),
        "/ca.pem" => ("application/x-pem-file", Some("tollgate-ca.pem"), Bytes::from(authority.pem())),
        "/ca.der" => ("application/x-x509-ca-cert", Some("tollgate-ca.cer"), Bytes::copy_from_slice(authority.certificate())),
        _ => return refuse(&head.method, StatusCode::NOT_FOUND, "there are /, /ca.pem and /ca.der"),
    };
    let mut response = ResponseHead::new(StatusCode::OK);
    response.headers.push(Field::from_static("Content-Type", kind));
    response.headers.push(Field::from_static("Cache-Control", "no-store"));
    response.headers.push(Field::from_static("X-Content-Type-Options", "nosniff"));
    response.headers.push(Field::from_static("Content-Security-Policy", "default-src 'none'"));
    if let Some(name) = name {
        response.headers.extend(Field::new("Content-Disposition", format!("attachment; filename=\"{name}\"")).ok());
    }
    response.with_content(&head.method, content)
}

fn instructions(authority: &mint::Authority) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><title>The authority of this proxy</title>\n\
         <h1>The authority of this proxy</h1>\n\
         <p>Connections through this proxy are decrypted here. Programs that should take that trust this certificate: \
         <a href=\"/ca.pem\">PEM</a>, <a href=\"/ca.der\">DER</a>. Compare its SHA-256 fingerprint with the one that the proxy's \
         operator gets from <code>tollgate ca show</code>:</p>\n<p><code>{}</code></p>\n<dl>\n\
         <dt>Debian, Ubuntu, Alpine</dt><dd><code>cp tollgate-ca.pem /usr/local/share/ca-certificates/tollgate-ca.crt &amp;&amp; \
         update-ca-certificates</code></dd>\n\
         <dt>Fedora, RHEL</dt><dd><code>cp tollgate-ca.pem /etc/pki/ca-trust/source/anchors/ &amp;&amp; update-ca-trust</code></dd>\n\
         <dt>macOS</dt><dd><code>sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain \
         tollgate-ca.pem</code></dd>\n\
         <dt>Windows</dt><dd><code>certutil -addstore root tollgate-ca.cer</code></dd>\n\
         <dt>iOS</dt><dd>Open the DER file, install the profile, then trust it under Settings, General, About, Certificate Trust \
         Settings.</dd>\n\
         <dt>Android</dt><dd>Settings, Security, Encryption and credentials, Install a certificate, CA certificate.</dd>\n\
         <dt>Firefox</dt><dd>Settings, Privacy and Security, View Certificates, Authorities, Import.</dd>\n\
         <dt>Python, Node.js, curl</dt><dd><code>REQUESTS_CA_BUNDLE</code>, <code>NODE_EXTRA_CA_CERTS</code>, \
         <code>curl --cacert</code>, each with the PEM file.</dd>\n\
         <dt>Java</dt><dd><code>keytool -importcert -cacerts -file tollgate-ca.pem -alias tollgate</code></dd>\n\
         <dt>Synapse</dt><dd><code>federation_custom_ca_list: [tollgate-ca.pem]</code></dd>\n</dl>\n</html>\n",
        authority.fingerprint()
    )
}
