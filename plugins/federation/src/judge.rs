//! What is checked of a request.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};
use tollgate_sdk::{Error, Request, log, serde_json};

use crate::{
    kept::Pointer,
    keys::{self, Found},
    options::{Settings, Supply},
    refresh::Had,
    refusal::{Refused, Stop},
    routes::{Place, Route, Side},
    server_name::ServerName,
    signature,
    target::{Answer, Target},
    x_matrix::{self, Credentials, Trouble},
};

/// The checks of one request.
#[derive(Debug)]
pub(crate) struct Judge<'a> {
    settings: &'a Settings,
    side: Side,
    request: &'a Request<'a>,
    /// Of a list that is kept; known from the first question on.
    pointer: Option<Pointer>,
    /// Whether it is time to ask for the next list.
    pub(crate) is_due: bool,
}

#[derive(Deserialize)]
struct Room {
    #[serde(default)]
    invite: Option<Vec<String>>,
    #[serde(default)]
    invite_3pid: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    initial_state: Option<Vec<State>>,
}

#[derive(Deserialize)]
struct State {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    state_key: Option<String>,
}

/// By user or, where one of the others is there, by what an identity server knows somebody by.
#[derive(Deserialize)]
struct Invitation {
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "there")]
    medium: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "there")]
    address: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "there")]
    id_server: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "there")]
    id_access_token: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Membership {
    #[serde(default)]
    membership: Option<String>,
}

#[derive(Deserialize)]
struct ServerInvitation {
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    state_key: String,
    sender: String,
}

/// Of events that say who is in a room, who is invited, and who is banned.
const MEMBER: &str = "m.room.member";

/// What is there, be it null.
fn there<'de, D: Deserializer<'de>>(value: D) -> Result<Option<IgnoredAny>, D::Error> {
    IgnoredAny::deserialize(value).map(Some)
}

impl Invitation {
    /// None where it names none, or somebody else beside.
    fn user(self) -> Option<String> {
        let others = [self.medium, self.address, self.id_server, self.id_access_token];
        self.user_id.filter(|_| others.iter().all(Option::is_none))
    }
}

impl<'a> Judge<'a> {
    pub(crate) const fn new(settings: &'a Settings, side: Side, request: &'a Request<'a>) -> Self {
        Self { settings, side, request, pointer: None, is_due: false }
    }

    pub(crate) fn check(&mut self) -> Result<(), Stop> {
        let segments: Vec<_> =
            self.request.path_segments().iter().map(|segment| segment.to_string_lossy().into_owned()).collect();
        match Route::of(self.side, &self.request.method(), &segments) {
            Route::Free => Ok(()),
            _ if self.is_let_off()? => Ok(()),
            Route::Server => self.server(),
            Route::Invite(place) => {
                self.server()?;
                let event = match place {
                    Place::Body => self.body()?,
                    Place::Event => self.body::<ServerInvitation>()?.event,
                };
                self.user(&event.state_key)?;
                self.user(&event.sender)
            }
            Route::Media { server, is_signed } => self.media(&server, is_signed),
            Route::CreateRoom => {
                let room: Room = self.body()?;
                if room.invite_3pid.is_some_and(|invited| !invited.is_empty()) {
                    return Err(Refused::NoUser.into());
                }
                self.own()?;
                let mut invited = room.invite.unwrap_or_default();
                for event in room.initial_state.unwrap_or_default() {
                    if event.kind.as_deref() == Some(MEMBER) {
                        invited.push(event.state_key.ok_or(Refused::BadBody)?);
                    }
                }
                invited.iter().try_for_each(|user| self.user(user))
            }
            Route::ClientInvite => {
                let invitation: Invitation = self.body()?;
                let user = invitation.user().ok_or(Refused::NoUser)?;
                self.own()?;
                self.user(&user)
            }
            Route::Member { user } => {
                let membership: Membership = self.body()?;
                if membership.membership.as_deref() == Some("invite") { self.user(&user) } else { Ok(()) }
            }
        }
    }

    /// Whether the configuration says that nothing is checked of it.
    fn is_let_off(&self) -> Result<bool, Stop> {
        if self.side == Side::Inbound {
            return Ok(false);
        }
        let path = self.request.path();
        let is_free = |free: &String| if free.ends_with('/') { path.starts_with(free.as_str()) } else { path == *free };
        // With dot segments it would be another one.
        if self.settings.unchecked_paths.iter().any(is_free)
            && !path.contains("/.")
            && !path.contains('%')
            && !path.contains("//")
        {
            return Ok(true);
        }
        let target = self.target()?;
        Ok(self.settings.unchecked_hosts.contains(&target.host))
    }

    fn target(&self) -> Result<Target, Stop> {
        let upstream = self.request.upstream();
        Target::of(&upstream).ok_or_else(|| Error::new(format!("the upstream {upstream} has no host that servers have")).into())
    }

    /// The server that X-Matrix names.
    fn server(&mut self) -> Result<(), Stop> {
        let missing = if self.side == Side::Inbound { Refused::NoOrigin } else { Refused::NoDestination };
        let all = match x_matrix::parse(&self.request.header_values("Authorization")) {
            Ok(all) => all,
            Err(Trouble::Missing) => return Err(missing.into()),
            Err(Trouble::Malformed(reason)) => return Err(Refused::Malformed(reason).into()),
        };
        let mut server: Option<ServerName> = None;
        for credentials in &all {
            let text = if self.side == Side::Inbound { &credentials.origin } else { &credentials.destination };
            let Some(text) = text else { return Err(missing.into()) };
            let name = ServerName::parse(text).ok_or(Refused::Malformed("the server is no server name"))?;
            if server.as_ref().is_some_and(|server| *server != name) {
                return Err(Refused::Malformed("two fields name two servers").into());
            }
            server = Some(name);
        }
        let Some(server) = server else { return Err(missing.into()) };
        if !self.is_listed(&server)? {
            return Err(Refused::Server(server).into());
        }
        match (self.side, &self.settings.verifies) {
            (Side::Inbound, Some(own)) => all.iter().try_for_each(|credentials| self.signature(&server, credentials, own)),
            (Side::Inbound, None) => Ok(()),
            (Side::Outbound, _) => self.goes_to(server),
        }
    }

    /// Whether the server has signed the request.
    fn signature(&self, server: &ServerName, credentials: &Credentials, own: &str) -> Result<(), Stop> {
        let refused = |reason| Stop::from(Refused::Signature(server.clone(), reason));
        let Credentials { origin: Some(origin), destination, key: Some(id), sig: Some(sig) } = credentials else {
            return Err(refused("there is no key or no sig"));
        };
        // Servers from before v1.3 name none, and sign that of the server which they mean.
        let destination = destination.as_deref().unwrap_or(own);
        if ServerName::parse(destination) != ServerName::parse(own) {
            return Err(refused("the destination is another server"));
        }
        let content = match self.request.body().ok_or_else(|| Error::new("the body was not asked for"))? {
            body if body.is_empty() => None,
            _ if self.is_coded() => return Err(Refused::Coded.into()),
            body => Some(serde_json::from_slice(&body).map_err(|_| Refused::BadBody)?),
        };
        let key = match keys::find(server, id, &self.request.upstream())? {
            Found::Key(key) => key,
            Found::None => return Err(refused("the server has no such key")),
            Found::Unknown => return Err(refused("the server's keys cannot be had")),
        };
        let (method, uri) = (self.request.method(), self.request.path_and_query());
        let signed = signature::of_request(&method, &uri, origin, destination, content);
        if key.has_signed(&signed, sig) { Ok(()) } else { Err(refused("it is not the request that was signed")) }
    }

    /// Whether the request goes where the server is.
    fn goes_to(&self, server: ServerName) -> Result<(), Stop> {
        if !self.settings.checks_targets {
            return Ok(());
        }
        let target = self.target()?;
        if !target.is_https && !self.settings.allows_http {
            return Err(Refused::Target(server).into());
        }
        match target.is_of(&server)? {
            Answer::Yes => Ok(()),
            Answer::No => Err(Refused::Target(server).into()),
            Answer::Unknown => Err(Refused::Lost(server).into()),
        }
    }

    fn media(&mut self, server: &str, is_signed: bool) -> Result<(), Stop> {
        if is_signed {
            self.server()?;
        }
        let name = ServerName::parse(server).ok_or_else(|| Refused::Domain(server.to_owned()))?;
        if !self.is_listed(&name)? {
            return Err(Refused::Domain(server.to_owned()).into());
        }
        if self.side == Side::Outbound && !is_signed { self.goes_to(name) } else { Ok(()) }
    }

    /// The server of a user.
    fn user(&mut self, id: &str) -> Result<(), Stop> {
        let name = ServerName::of_user(id).ok_or(Refused::BadBody)?;
        if self.is_listed(&name)? { Ok(()) } else { Err(Refused::Domain(name.to_string()).into()) }
    }

    /// The homeserver itself, if the options name it.
    fn own(&mut self) -> Result<(), Stop> {
        let Some(own) = &self.settings.server_name else { return Ok(()) };
        if self.is_listed(own)? { Ok(()) } else { Err(Refused::Domain(own.to_string()).into()) }
    }

    fn body<T: DeserializeOwned>(&self) -> Result<T, Stop> {
        if self.is_coded() {
            return Err(Refused::Coded.into());
        }
        let body = self.request.body().ok_or_else(|| Error::new("the body was not asked for"))?;
        // Serde would read a struct from an array too, by position.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(Refused::BadBody.into());
        }
        serde_json::from_slice(&body).map_err(|_| Refused::BadBody.into())
    }

    /// Whether the body goes on otherwise than it is read here. Homeservers do not look at Content-Encoding.
    fn is_coded(&self) -> bool {
        let is_none = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"identity") || coding.trim_ascii().is_empty();
        let fields = self.request.header_values("Content-Encoding");
        fields.iter().flat_map(|field| field.split(|byte| *byte == b',')).any(|coding| !is_none(coding))
    }

    fn is_listed(&mut self, name: &ServerName) -> Result<bool, Stop> {
        let source = match &self.settings.supply {
            Supply::Fixed(list) => return Ok(list.contains(name)),
            Supply::Service(source) => source,
        };
        if self.pointer.is_none() {
            let (had, is_due) = source.list()?;
            self.is_due = is_due;
            match had {
                Had::List(pointer) => self.pointer = Some(pointer),
                Had::Nothing(why) => {
                    log::warn!(why = why.as_str(); "there is no federation list: nobody is let through");
                    return Err(Refused::NoList.into());
                }
            }
        }
        match &self.pointer {
            Some(pointer) => Ok(source.kept.contains(pointer, name)?),
            None => Err(Refused::NoList.into()),
        }
    }
}
