//! Several upstreams behind one listener: who goes where.
#![cfg(test)]

use http::Request;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tollgate_tests::{Builder, Client, RawOrigin, Tollgate, Version, addons::Hosted, empty};

/// Each answers with its name.
struct Servers {
    names: Vec<&'static str>,
    origins: Vec<RawOrigin>,
}

impl Servers {
    async fn new(names: &[&'static str]) -> Self {
        let mut origins = Vec::new();
        for name in names {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            origins.push(RawOrigin::answering(answer).await);
        }
        Self { names: names.to_vec(), origins }
    }

    fn origin(&self, name: &str) -> &RawOrigin {
        let place = self.names.iter().position(|other| *other == name).expect("a server of this name");
        &self.origins[place]
    }

    fn url(&self, name: &str) -> String {
        self.origin(name).url()
    }

    /// `upstream = …` and an entry for each of these: name and what else is in it.
    fn set(&self, builder: Builder, entries: &[(&str, &str)]) -> Builder {
        let entries: Vec<_> =
            entries.iter().map(|(name, more)| format!("{{ name = \"{name}\", url = \"{}\"{more} }}", self.url(name))).collect();
        builder.set("listener.main.upstreams", format!("[{}]", entries.join(", ")))
    }

    fn requests(&self) -> usize {
        self.origins.iter().map(|origin| origin.requests().len()).sum()
    }
}

fn hash(token: &str) -> String {
    Sha256::digest(token).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn request(target: &str, fields: &[(&str, &str)]) -> Request<tollgate_tests::BoxBody> {
    let request = fields.iter().fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
    request.body(empty()).expect("a request")
}

#[tokio::test]
async fn requests_go_where_they_belong() {
    let servers = Servers::new(&["otherwise", "named", "token", "host", "path"]).await;
    let token = format!(", token_sha256 = [\"{}\"]", hash("syt_secret"));
    let entries = [
        ("named", ", header = true"),
        ("token", token.as_str()),
        ("host", ", host = [\"social.test\"]"),
        ("path", ", path = \"/media\""),
    ];
    let tollgate = servers.set(Tollgate::builder().upstream(&servers.url("otherwise")), &entries).start().await;
    for version in Version::BOTH {
        let mut client = Client::connect(version, tollgate.address()).await;
        for (target, fields, expected) in [
            ("/", &[][..], "otherwise"),
            ("/", &[("X-Upstream-Server", "named")], "named"),
            ("/", &[("Authorization", "Bearer syt_secret")], "token"),
            ("/?access_token=syt_secret", &[], "token"),
            ("/", &[("Authorization", "Bearer syt_other")], "otherwise"),
            ("http://social.test/media", &[], "host"),
            ("/media/a.png", &[], "path"),
            ("/median", &[], "otherwise"),
        ] {
            let answer = client.ask(request(target, fields)).await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, expected), "{version:?} {target} {fields:?}");
            let sent = servers.origin(expected).requests().pop().expect("a request");
            assert_eq!(sent.fields.get("x-upstream-server"), None);
            let authority = servers.url(expected);
            assert_eq!(sent.fields.get("host"), authority.strip_prefix("http://"));
        }
    }
}

#[tokio::test]
async fn who_names_what_is_not_there_goes_nowhere() {
    let servers = Servers::new(&["a", "b"]).await;
    let tollgate = servers.set(Tollgate::builder().upstream(&servers.url("a")), &[("b", ", header = true")]).start().await;
    for version in Version::BOTH {
        let connect = || Client::connect(version, tollgate.address());
        for name in ["", "a", "c", "B", "http://127.0.0.1:1", "b, b"] {
            let answer = connect().await.ask(request("/", &[("X-Upstream-Server", name)])).await;
            assert_eq!(answer.status, 421, "{version:?} {name}");
            assert_eq!(answer.json()["error"], "X-Upstream-Server names no upstream of this listener");
        }
        let answer = connect().await.ask(request("/", &[("X-Upstream-Server", "b"), ("X-Upstream-Server", "b")])).await;
        assert_eq!((answer.status.as_u16(), servers.requests()), (421, 0), "{version:?}");
    }
}

#[tokio::test]
async fn without_another_place_only_what_is_taken_is_served() {
    let servers = Servers::new(&["a"]).await;
    let url = servers.url("a");
    let listener = format!(
        "[[listener]]\nname = \"main\"\nbind = \"127.0.0.1:0\"\n\
         [[listener.upstreams]]\nname = \"a\"\nurl = \"{url}\"\npath = \"/a\"\n"
    );
    let tollgate = Tollgate::builder().config_toml(&listener).start().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/a/b").await.text(), "a");
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/b").await.status, 421);
    assert_eq!(servers.requests(), 1);
}

/// No grant is needed for what the listener has; what it does not have is as forbidden as ever.
#[tokio::test]
async fn addons_choose_by_name() {
    let servers = Servers::new(&["a", "b"]).await;
    let rule = |path: &str, to: &str| json!({"on": "request", "filter": format!("~p ^{path}$"), "do": [{"try": {"set-upstream": to}}, {"set": ["X-Tried", "{tried}"]}]});
    let script = json!({"rules": [rule("/b", "b"), rule("/url", &servers.url("b")), rule("/unknown", "c")]});
    let host = Hosted::before(&servers.url("a"))
        .with(|builder| servers.set(builder, &[("b", "")]))
        .scripted("a", &script)
        .set("addon.a.upstreams", "[]")
        .start()
        .await;
    for (path, expected, tried) in
        [("/b", "b", "done"), ("/url", "a", "forbidden"), ("/unknown", "a", "not legal"), ("/", "a", "")]
    {
        assert_eq!(host.get(path).await.text(), expected, "{path}");
        let sent = servers.origin(expected).requests().pop().expect("a request");
        let said = sent.fields.get("x-tried").unwrap_or_default();
        assert!(said.starts_with(tried), "{path}: {said}");
    }
}

#[tokio::test]
async fn a_reload_changes_who_goes_where() {
    let servers = Servers::new(&["a", "b", "c"]).await;
    let entry = |name: &str| format!("[[listener.upstreams]]\nname = \"x\"\nurl = \"{}\"\npath = \"/x\"\n", servers.url(name));
    let listener = format!("[[listener]]\nname = \"main\"\nbind = \"127.0.0.1:0\"\nupstream = \"{}\"\n", servers.url("a"));
    let tollgate = Tollgate::builder().config_toml(&format!("{listener}{}", entry("b"))).start().await;
    let mut client = Client::connect(Version::Http1, tollgate.address()).await;
    assert_eq!(client.get("/x").await.text(), "b");
    let config = tollgate.config().replace(&servers.url("b"), &servers.url("c"));
    std::fs::write(tollgate.config_path(), config).expect("a file");
    tollgate.reload().await;
    assert_eq!(Client::fetch(Version::Http1, tollgate.address(), "/x").await.text(), "c");
    // The connection that is there, too.
    assert_eq!(client.get("/x").await.text(), "c");
    assert_eq!(client.get("/y").await.text(), "a");
}
