//! Apps, and who they log in: RFC 6749 without passwords, since people choose who they are.

use std::{collections::HashMap, fmt::Write as _};

use hyper::StatusCode;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::{
    answer::{Answer, Refused, redirect, text},
    people::Person,
    request::Arrived,
    status::escaped,
    world::KEPT,
};

/// For apps that no browser can lead back to: the code is shown.
const SHOWN: &str = "urn:ietf:wg:oauth:2.0:oob";

/// Behind the name of somebody it is a token that is always good.
const ALWAYS: &str = "-token";

/// Apps, codes and tokens.
#[derive(Default)]
pub(crate) struct Logins {
    apps: HashMap<String, App>,
    codes: HashMap<String, Code>,
    /// Those of apps alone are of nobody.
    tokens: HashMap<String, Option<&'static Person>>,
}

struct App {
    secret: String,
    redirects: Vec<String>,
}

struct Code {
    app: String,
    redirect: String,
    person: &'static Person,
}

impl Logins {
    /// Whose token this is; none: of an app alone.
    pub(crate) fn who(&self, token: &str) -> Result<Option<&'static Person>, Refused> {
        let always = token.strip_suffix(ALWAYS).and_then(|name| Person::locals().find(|person| person.name == name));
        if let Some(person) = always {
            return Ok(Some(person));
        }
        self.tokens.get(token).copied().ok_or(Refused::NO_TOKEN)
    }

    /// `POST /api/v1/apps`.
    pub(crate) fn register(&mut self, request: &Arrived) -> Result<Value, Refused> {
        let name = needed(request, "client_name")?;
        let redirects: Vec<String> = needed(request, "redirect_uris")?.split_whitespace().map(str::to_owned).collect();
        if self.apps.len() >= KEPT {
            return Err(Refused::FULL);
        }
        let (id, secret) = (secret()?, secret()?);
        let document = json!({
            "id": (self.apps.len() + 1).to_string(),
            "name": name,
            "website": request.parameter("website"),
            "scopes": request.parameter("scopes").unwrap_or("read").split_whitespace().collect::<Vec<_>>(),
            "redirect_uri": redirects.join("\n"),
            "redirect_uris": redirects,
            "client_id": id,
            "client_secret": secret,
            "vapid_key": "",
        });
        self.apps.insert(id, App { secret, redirects });
        Ok(document)
    }

    /// `GET /oauth/authorize`: a page that asks who it is, then back to the app with a code.
    pub(crate) fn authorize(&mut self, request: &Arrived) -> Result<Answer, Refused> {
        let app = needed(request, "client_id")?;
        let redirects = &self.apps.get(app).ok_or(Refused(StatusCode::UNAUTHORIZED, "No such app"))?.redirects;
        let target = needed(request, "redirect_uri")?;
        if !redirects.iter().any(|known| known == target) {
            return Err(Refused(StatusCode::BAD_REQUEST, "The app did not register this redirect_uri"));
        }
        let Some(name) = request.query("person") else { return Ok(text("text/html; charset=utf-8", question(request))) };
        let person = Person::locals().find(|person| person.name == name);
        let person = person.ok_or(Refused(StatusCode::BAD_REQUEST, "Nobody of this name can log in"))?;
        if self.codes.len() >= KEPT {
            return Err(Refused::FULL);
        }
        let code = secret()?;
        self.codes.insert(code.clone(), Code { app: app.to_owned(), redirect: target.to_owned(), person });
        if target == SHOWN {
            return Ok(text("text/plain; charset=utf-8", format!("{code}\n")));
        }
        let mut url = Url::parse(target).map_err(|_| Refused(StatusCode::BAD_REQUEST, "redirect_uri is no URL"))?;
        url.query_pairs_mut().append_pair("code", &code);
        if let Some(state) = request.query("state") {
            url.query_pairs_mut().append_pair("state", state);
        }
        redirect(url.as_str())
    }

    /// `POST /oauth/token`: for a code, or for the app alone.
    pub(crate) fn token(&mut self, request: &Arrived) -> Result<Value, Refused> {
        let id = needed(request, "client_id")?;
        let app = self.apps.get(id).ok_or(Refused(StatusCode::UNAUTHORIZED, "No such app"))?;
        if request.parameter("client_secret") != Some(&*app.secret) {
            return Err(Refused(StatusCode::UNAUTHORIZED, "The secret is not that of the app"));
        }
        let person = match needed(request, "grant_type")? {
            "client_credentials" => None,
            "authorization_code" => {
                // Good for one try.
                let code = self.codes.remove(needed(request, "code")?);
                let code = code.filter(|code| code.app == id && request.parameter("redirect_uri") == Some(&*code.redirect));
                Some(code.ok_or(Refused(StatusCode::BAD_REQUEST, "The code is not good"))?.person)
            }
            _ => return Err(Refused(StatusCode::BAD_REQUEST, "grant_type is neither authorization_code nor client_credentials")),
        };
        if self.tokens.len() >= KEPT {
            return Err(Refused::FULL);
        }
        let token = secret()?;
        self.tokens.insert(token.clone(), person);
        let scope = request.parameter("scope").unwrap_or("read write follow push");
        Ok(json!({"access_token": token, "token_type": "Bearer", "scope": scope, "created_at": 1_768_464_000}))
    }

    /// `POST /oauth/revoke`.
    pub(crate) fn revoke(&mut self, request: &Arrived) -> Result<Value, Refused> {
        self.tokens.remove(needed(request, "token")?);
        Ok(json!({}))
    }
}

fn needed<'a>(request: &'a Arrived, name: &'static str) -> Result<&'a str, Refused> {
    let found = request.parameter(name).filter(|value| !value.is_empty());
    found.ok_or(Refused(
        StatusCode::BAD_REQUEST,
        match name {
            "client_id" => "client_id is missing",
            "redirect_uri" => "redirect_uri is missing",
            "client_name" => "client_name is missing",
            "redirect_uris" => "redirect_uris is missing",
            "grant_type" => "grant_type is missing",
            "code" => "code is missing",
            _ => "a parameter is missing",
        },
    ))
}

fn question(request: &Arrived) -> String {
    let mut page = "<!doctype html><title>Sample</title><h1>Who are you?</h1><ul>".to_owned();
    for person in Person::locals() {
        let others = request.query_without(&["person"]);
        let query =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(others).append_pair("person", person.name).finish();
        let _ = write!(page, "<li><a href=\"?{}\">{}</a>", escaped(&query), person.name);
    }
    page + "</ul>"
}

/// 128 bits in hexadecimal.
fn secret() -> Result<String, Refused> {
    let unavailable = |_| Refused(StatusCode::SERVICE_UNAVAILABLE, "The system has no randomness");
    Ok(format!("{:016x}{:016x}", getrandom::u64().map_err(unavailable)?, getrandom::u64().map_err(unavailable)?))
}
