//! Where a configuration comes from, and how that becomes one.

use std::{env, ffi::OsString, path::PathBuf};

use serde_json::Map;
use toml::{Table, Value};

use super::{
    Config, ConfigErrors, addon, address, admin,
    check::Check,
    dependency, expression, files,
    key::Key,
    limits::{self, GRACE, GUEST_MEMORY, GUEST_STACK, HELD_BODIES, INSTANCES, usize_of},
    listener::{Ground, listener},
    nameservers,
    raw::Raw,
    recording, state,
    tree::{Source, Tree},
    units::{Count, Size, Span},
};
use crate::options::core::{Options, Refused};

/// Flags, variables and the name of a file: read again, they give the configuration as it is then.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// A file of TOML.
    pub file: Option<PathBuf>,
    /// What goes over the file, the later over the earlier.
    pub overrides: Vec<Override>,
}

/// A change by a flag or a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// How errors name it: `--set`, `TOLLGATE_SET`.
    pub source: String,
    /// What it changes.
    pub change: Change,
}

/// What a flag or a variable changes.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// `key.path=value`; see `tollgate run --help`.
    Set(String),
    /// `UPSTREAM@[HOST:]PORT`: one more listener, named `reverse-PORT`.
    Reverse(String),
    /// `[HOST:]PORT`: one more forward listener, named `forward-PORT`.
    Forward(String),
    /// `NAME=a,b`: adds to `addon.NAME.http`.
    Grant(String),
    /// The value of `admin.controller_host`. Where nothing else of `admin` is set, the admin listener stays off.
    ControllerHost(String),
    /// The value of `plugins`.
    Plugins(String),
    /// The value of `cache`.
    Cache(String),
    /// The value of `admin.listen`.
    Admin(String),
    /// The value of `log.level`.
    Log(String),
    /// The value of `record.file`.
    Record(String),
    /// `record.secrets` is true.
    RecordSecrets,
}

impl Sources {
    /// Reads, merges and checks everything.
    ///
    /// # Errors
    /// All that is wrong, in one go; only a file that cannot be read or parsed hides what else it may hold.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        self.load_for(true)
    }

    /// The same for those who serve nothing and want to know about addons: there may be no listener.
    ///
    /// # Errors
    /// As those of [`Sources::load`].
    pub fn load_addons(&self) -> Result<Config, ConfigErrors> {
        self.load_for(false)
    }

    fn load_for(&self, needs_listeners: bool) -> Result<Config, ConfigErrors> {
        let (table, base) = self.base()?;
        let mut tree = Tree::new(table, base);
        let mut broken = Vec::new();
        for change in &self.overrides {
            if let Err(problem) = apply(&mut tree, change) {
                broken.push((change.source.clone(), problem));
            }
        }
        let mut check = Check::new(tree);
        for (source, problem) in broken {
            check.fail_source(source, problem);
        }
        let config = config(&mut check, needs_listeners);
        check.finish(config)
    }

    fn base(&self) -> Result<(Table, Source), ConfigErrors> {
        let Some(path) = &self.file else { return Ok((Table::new(), Source::Flag("command line".to_owned()))) };
        let source = Source::File(path.clone());
        let text = files::text(path, files::CONFIG_BYTES).map_err(|problem| ConfigErrors::one(source.label(), problem))?;
        match toml::from_str(&text) {
            Ok(table) => Ok((table, source)),
            Err(error) => {
                let place = error.span().map_or_else(String::new, |span| place_of(&text, span.start));
                // Only the first line: the others quote the file, and there may be secrets in it.
                let problem = error.message().lines().next().unwrap_or("not TOML").to_owned();
                Err(ConfigErrors::one(format!("{}{place}", source.label()), problem))
            }
        }
    }
}

/// `:line:column`, both from 1.
fn place_of(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!(":{line}:{column}")
}

fn apply(tree: &mut Tree, change: &Override) -> Result<(), String> {
    let source = || Source::Flag(change.source.clone());
    let mut put = |path: &[&str], text: &str| {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        tree.set(&path, Value::String(text.to_owned()), source()).map(drop)
    };
    match &change.change {
        Change::Plugins(text) => put(&["plugins"], text),
        Change::Cache(text) => put(&["cache"], text),
        Change::Admin(text) => put(&["admin", "listen"], text),
        Change::Log(text) => put(&["log", "level"], text),
        Change::Record(text) => put(&["record", "file"], text),
        Change::RecordSecrets => tree.set(&["record".to_owned(), "secrets".to_owned()], Value::Boolean(true), source()).map(drop),
        Change::Set(text) => {
            let (path, value) = expression::parse(text)?;
            tree.set(&path, value, source()).map(drop)
        }
        Change::Reverse(text) => {
            let (upstream, bind) = address::reverse(text)?;
            add_listener(tree, "reverse", bind, ("upstream", upstream), source())
        }
        Change::Forward(bind) => add_listener(tree, "forward", bind, ("mode", "forward"), source()),
        Change::ControllerHost(text) => {
            let is_alone = tree.get(&Key::root().join("admin")).is_none();
            let path = |name: &str| ["admin".to_owned(), name.to_owned()];
            tree.set(&path("controller_host"), Value::String(text.to_owned()), source())?;
            if is_alone {
                tree.set(&path("listen"), Value::String("none".to_owned()), source())?;
            }
            Ok(())
        }
        Change::Grant(text) => {
            let grants = text.split_once('=').filter(|(name, grants)| !name.is_empty() && !grants.is_empty());
            let (name, grants) = grants.ok_or("must be NAME=GRANT,GRANT, like \"callback=*,private\"")?;
            let path = ["addon".to_owned(), name.to_owned(), "http".to_owned()];
            let key = path.iter().fold(Key::root(), |key, segment| key.join(segment));
            let count = match tree.get(&key) {
                None => tree.set(&path, Value::Array(Vec::new()), source()).map(|_| 0)?,
                Some(Value::Array(items)) => items.len(),
                Some(_) => return Err(format!("{key} is no array, and nothing can be added to it")),
            };
            for (place, grant) in (count..).zip(grants.split(',')) {
                let path: Vec<String> = path.iter().cloned().chain([place.to_string()]).collect();
                tree.set(&path, Value::String(grant.trim().to_owned()), source())?;
            }
            Ok(())
        }
    }
}

/// One more listener of a kind, with what is special about it.
fn add_listener(tree: &mut Tree, kind: &str, bind: &str, (name, value): (&str, &str), source: Source) -> Result<(), String> {
    let listener = Table::from_iter([
        ("name".to_owned(), Value::String(free_name(tree, kind, bind))),
        ("bind".to_owned(), Value::String(bind.to_owned())),
        (name.to_owned(), Value::String(value.to_owned())),
    ]);
    let place = tree.get(&Key::root().join("listener")).and_then(Value::as_array).map_or(0, Vec::len);
    tree.set(&["listener".to_owned(), place.to_string()], Value::Table(listener), source).map(drop)
}

/// `KIND-PORT`, with a number where that is taken.
fn free_name(tree: &Tree, kind: &str, bind: &str) -> String {
    let port: String = bind.rsplit(':').next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    let listeners = tree.get(&Key::root().join("listener")).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_taken = |name: &str| listeners.iter().any(|other| other.get("name").and_then(Value::as_str) == Some(name));
    let first = format!("{kind}-{port}");
    if !is_taken(&first) {
        return first;
    }
    (2..=listeners.len() + 1).map(|number| format!("{first}-{number}")).find(|name| !is_taken(name)).unwrap_or(first)
}

fn config(check: &mut Check, needs_listeners: bool) -> Option<Config> {
    let raw: Raw = check.read();
    let root = Key::root();
    let state = state::state(check, &root, &raw);
    let plugins = plugins(check, &root.join("plugins"), raw.plugins.as_deref());
    let cache = match &raw.cache {
        Some(text) => Some(check.path(&root.join("cache"), text)),
        None => default_cache(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")),
    };
    let nameservers = nameservers::nameservers(check, &root.join("nameservers"), raw.nameservers.as_deref());
    let mut ground = Ground::default();
    let admin = raw.admin.as_ref().and_then(|raw| admin::admin(check, &root.join("admin"), raw));
    if let Some(listen) = admin.as_ref().and_then(|admin| admin.listen) {
        ground.take_address(check, root.join("admin").join("listen"), listen);
    }
    let (key, outer) = (root.join("limits"), &raw.limits);
    ground.limits = limits::limits(check, &key, outer, &ground.limits);
    let instances = check.number(&key.join("instances"), outer.instances.as_ref(), &INSTANCES, Count(2000));
    let guest_stack = check.number(&key.join("guest_stack"), outer.guest_stack.as_ref(), &GUEST_STACK, Size(512 << 10));
    let guest_memory = check.number(&key.join("guest_memory"), outer.guest_memory.as_ref(), &GUEST_MEMORY, Size(4 << 30));
    let held_bodies = check.number(&key.join("held_bodies"), outer.held_bodies.as_ref(), &HELD_BODIES, Size(512 << 20));
    let (key, outer) = (root.join("timeouts"), &raw.timeouts);
    ground.timeouts = limits::timeouts(check, &key, outer, &ground.timeouts);
    let grace = check.number(&key.join("grace"), outer.grace.as_ref(), &GRACE, Span(std::time::Duration::from_secs(30)));
    let log = admin::log(check, &root.join("log"), &raw.log);
    let dependencies = dependency::dependencies(check, &root.join("dependency"), &raw.dependency);
    let record = raw.record.as_ref().map(|raw| recording::recording(check, &root.join("record"), raw));
    let key = root.join("listener");
    if raw.listener.is_empty() && needs_listeners {
        check.fail_missing(&key, "is missing: there must be at least one [[listener]], --reverse or --forward");
    }
    let listeners: Vec<_> =
        raw.listener.into_iter().enumerate().map(|(place, raw)| listener(check, &key.join(place), raw, &mut ground)).collect();
    if let Some(admin) = admin.as_ref().filter(|_| needs_listeners) {
        admin::controller(check, &root.join("admin"), admin, &listeners);
    }
    let options = options(check, &root.join("options"), &raw.options);
    let key = root.join("addon");
    let addons = raw.addon.into_iter().map(|(name, raw)| (name.clone(), addon::addon(check, &key.join(name), raw))).collect();
    Some(Config {
        plugins: plugins?,
        cache,
        state: state?,
        nameservers,
        admin,
        instances: usize_of(instances.0),
        guest_stack: usize_of(guest_stack.0),
        guest_memory: usize_of(guest_memory.0),
        held_bodies: usize_of(held_bodies.0),
        grace: grace.0,
        log,
        dependencies,
        record: record.flatten(),
        listeners: listeners.into_iter().collect::<Option<_>>()?,
        options,
        addons,
    })
}

/// Options of the core; one that is wrong fails by its name.
fn options(check: &mut Check, key: &Key, raw: &Map<String, serde_json::Value>) -> Options {
    Options::default().with(raw).unwrap_or_else(|refused| {
        for Refused { name, why } in refused {
            check.fail(&key.join(name), why);
        }
        Options::default()
    })
}

fn plugins(check: &mut Check, key: &Key, text: Option<&str>) -> Option<PathBuf> {
    let path = check.path(key, text.unwrap_or("plugins"));
    // A default that is not there is a proxy without addons, until somebody makes the directory.
    if path.is_dir() || (text.is_none() && !path.exists()) {
        return Some(path);
    }
    check.fail(key, format!("must be a directory; {} is none", path.display()));
    None
}

/// The user's own directory: the system's for temporary files is no place for code that will be run.
fn default_cache(cache_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(cache_home).or_else(|| absolute(home).map(|home| home.join(".cache"))).map(|cache| cache.join("tollgate"))
}

impl std::fmt::Debug for Change {
    /// Names the kind only: a value may be a secret.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Set(_) => "Set(…)",
            Self::Reverse(_) => "Reverse(…)",
            Self::Forward(_) => "Forward(…)",
            Self::Grant(_) => "Grant(…)",
            Self::ControllerHost(_) => "ControllerHost(…)",
            Self::Plugins(_) => "Plugins(…)",
            Self::Cache(_) => "Cache(…)",
            Self::Admin(_) => "Admin(…)",
            Self::Log(_) => "Log(…)",
            Self::Record(_) => "Record(…)",
            Self::RecordSecrets => "RecordSecrets",
        })
    }
}
