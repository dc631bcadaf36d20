//! Routes among addons, options and reloads.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;
use tollgate_tests::{Client, RawOrigin, Version, addons::Hosted, eventually};

use crate::common::{answering, before};

#[tokio::test]
async fn addons_see_requests_as_they_came() {
    let (origin, other) = (answering("origin").await, answering("other").await);
    let script = json!({"rules": [
        {"on": "request", "do": [{"set": ["X-Told", "{target}"]}]},
        {"on": "response", "filter": "~p ^/here", "do": [{"set": ["X-Seen", "{target} {origin}"]}]},
    ]});
    let routes = format!(
        "[[listener.route]]\npath = '/here/{{x}}'\nupstream = '{}'\ntarget = '/there/{{x}}'\non_status = {{ 404 = {{ body = 'd' }} }}\n\
         [[listener.route]]\npath = '/here'\nanswer = {{ body = 'answer' }}\n",
        other.url()
    );
    let host = Hosted::before(&origin.url()).with(|builder| builder.config_toml(&routes)).scripted("a", &script).start().await;
    let answer = host.get("/here/a").await;
    assert_eq!((answer.text().as_str(), answer.header("x-seen")), ("other", Some("/here/a upstream")));
    let sent = other.only_request();
    assert_eq!((sent.target.as_str(), sent.fields.get("x-told")), ("/there/a", Some("/here/a")));
    // What is answered here passes hooks of the response.
    let answer = host.get("/here").await;
    assert_eq!((answer.text().as_str(), answer.header("x-seen")), ("answer", Some("/here core")));
}

#[tokio::test]
async fn what_addons_edit_is_what_is_routed() {
    let (origin, other) = (answering("origin").await, answering("other").await);
    let script = json!({"rules": [
        {"on": "request", "filter": "~p ^/edited", "do": [{"set-target": "/routed"}]},
        {"on": "request", "filter": "~p ^/away", "do": [{"set-target": "/plain"}]},
        {"on": "request", "filter": "~p ^/chosen", "do": [{"set-upstream": "other"}, {"set-target": "/onward"}]},
        {"on": "request", "filter": "~p ^/answered", "do": [{"respond": [200, [], "addon"]}]},
    ]});
    let routes = format!(
        "upstreams = [{{ name = 'other', url = '{}' }}]\n[[listener.route]]\npath = '/routed'\nanswer.body = 'route'\n\
         [[listener.route]]\npath = '/away'\nanswer.body = 'route'\n[[listener.route]]\npath = '/answered'\nanswer.body = 'route'\n\
         [[listener.route]]\npath = '/onward'\nupstream = '{}'\n",
        other.url(),
        origin.url()
    );
    let host = Hosted::before(&origin.url()).with(|builder| builder.config_toml(&routes)).scripted("a", &script).start().await;
    for (path, expected) in
        [("/edited", "route"), ("/away", "origin"), ("/answered", "addon"), ("/chosen", "origin"), ("/routed", "route")]
    {
        assert_eq!(host.get(path).await.text(), expected, "{path}");
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn what_options_map_is_not_routed() {
    let (origin, other) = (answering("origin").await, answering("other").await);
    let routes = "[[listener.route]]\npath = '/mapped'\nanswer.body = 'route'\n[[listener.route]]\npath = '/old'\nanswer.body = 'old'\n\
        [[listener.route]]\npath = '/field'\ntarget = '/sent'\n";
    let tollgate = before(&origin, routes).start().await;
    let get = async |target: &str| Client::fetch(Version::Http1, tollgate.address(), target).await.text();
    assert_eq!(get("/old").await, "old");
    tollgate
        .set_options(&format!("map_remote = ['|^http://[^/]+/old|{}/mapped']\nmodify_headers = ['/X-Added/1']", other.url()))
        .await;
    assert_eq!(get("/old").await, "other");
    assert_eq!(get("/mapped").await, "route");
    // Fields are modified whatever routes do.
    assert_eq!(get("/field").await, "origin");
    let sent = origin.only_request();
    assert_eq!((sent.target.as_str(), sent.fields.get("x-added")), ("/sent", Some("1")));
}

#[tokio::test]
async fn flows_keep_the_routes_that_they_began_with() {
    let release = Arc::new(Notify::new());
    let gate = Arc::clone(&release);
    let origin = RawOrigin::start(move |mut conversation| {
        let gate = Arc::clone(&gate);
        async move {
            while let Some(request) = conversation.request().await {
                if request.target == "/held" {
                    gate.notified().await;
                }
                let _ = conversation.send("HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno").await;
            }
        }
    })
    .await;
    let routes = "[[listener.route]]\npath = '/{x}'\non_status = { 404 = { body = 'before' } }\n";
    let tollgate = before(&origin, routes).start().await;
    let address = tollgate.address();
    let held = tokio::spawn(async move { Client::fetch(Version::Http1, address, "/held").await });
    let mut kept = Client::connect(Version::Http1, address).await;
    assert_eq!(kept.get("/a").await.text(), "before");
    eventually(async || origin.targets().contains(&"/held".to_owned())).await;
    tollgate.change_config("body = 'before'", "body = 'after'").await;
    // The next request of the same connection has the new ones.
    assert_eq!(kept.get("/a").await.text(), "after");
    // A broken one changes nothing.
    tollgate.change_config("path = '/{x}'", "path = '/{x'").await;
    tollgate.logged("listener.0.route.0.path").await;
    assert_eq!(kept.get("/a").await.text(), "after");
    release.notify_one();
    assert_eq!(held.await.expect("an answer").text(), "before");
}

#[tokio::test]
async fn recordings_tell_what_became_of_requests() {
    let (origin, other) = (answering("origin").await, answering("other").await);
    let routes = format!(
        "[[listener.route]]\npath = '/here/{{x}}'\nupstream = '{}'\ntarget = '/there/{{x}}'\n[[listener.route]]\npath = '/answer'\nanswer.body = 'a'\n",
        other.url()
    );
    let tollgate = before(&origin, &routes).record().start().await;
    for path in ["/here/a?b", "/answer"] {
        Client::fetch(Version::Http1, tollgate.address(), path).await;
    }
    let entries = tollgate.recorded(2).await;
    let [routed, answered] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!(routed["request"]["url"], format!("{}/here/a?b", tollgate.url()));
    assert_eq!(routed["_upstream"]["url"], format!("{}/there/a?b", other.url()));
    assert_eq!((&answered["response"]["content"]["text"], &answered["_upstream"]), (&json!("a"), &json!(null)));
}
