//! Tollgate itself.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{http::ask, process::command, servers::GLANCE};

use super::{
    Bench,
    proxy::{CONNECTIONS, Place, Proxy, Wants},
};

/// How long addons may take until instances are copies.
const PATIENCE: Duration = Duration::from_mins(2);

/// An addon and its options.
pub(crate) struct Addon {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) options: Value,
}

impl Addon {
    /// That of `tests/bench/addon`, which does this to flows that match the filter.
    pub(crate) fn that(bench: &Bench, name: &str, does: &str, filter: &str) -> Self {
        Self { name: name.to_owned(), file: bench.addon.clone(), options: json!({"does": does, "filter": filter}) }
    }

    /// A bundled one, as it is without options, with what it needs.
    pub(crate) fn bundled(bench: &Bench, name: &str) -> Self {
        Self { name: name.to_owned(), file: bench.plugins.join(name).with_extension("wasm"), options: json!({}) }
    }
}

/// Starts Tollgate before the upstream with these addons, and waits until instances of each are copies of a configured one.
///
/// The log is as it is by default: nothing of single flows. The flows that `GET /flows` remembers, which is what there is of a
/// log of requests then, are off as such logs are off everywhere; counters and the ledger are on.
pub(crate) fn start(bench: &Bench, wants: &Wants<'_>, addons: &[Addon]) -> Result<Proxy> {
    let place = Place::reserve(bench, wants.label)?;
    let config = configure(&place, &bench.home.join("cache"), wants, addons)?;
    let mut program = command(&bench.tollgate);
    program.arg("run").arg("--config").arg(config);
    let proxy = Proxy::start(place, wants, true, &program)?;
    if let Some(admin) = proxy.admin {
        until(admin, "all addons are snapshots", |status| {
            addons.iter().all(|addon| of_addon(status, &addon.name, "state") == Some(&json!("snapshot")))
        })?;
    }
    Ok(proxy)
}

/// Writes the configuration, and addons into a directory of their own; where it is.
pub(crate) fn configure(place: &Place, cache: &Path, wants: &Wants<'_>, addons: &[Addon]) -> Result<PathBuf> {
    let plugins = place.folder.join("plugins");
    fs::create_dir_all(&plugins).with_context(|| format!("cannot make {}", plugins.display()))?;
    for addon in addons {
        install(&addon.file, &plugins, &addon.name)?;
    }
    place.write("tollgate.toml", text(place.address, place.admin, &plugins, cache, wants, addons)?)
}

/// Puts an addon into a directory, at once.
pub(crate) fn install(file: &Path, plugins: &Path, name: &str) -> Result<()> {
    let temporary = plugins.join(format!(".{name}"));
    fs::copy(file, &temporary).with_context(|| format!("cannot copy {}", file.display()))?;
    fs::rename(&temporary, plugins.join(format!("{name}.wasm"))).context("cannot rename an addon")
}

fn text(
    address: SocketAddr,
    admin: SocketAddr,
    plugins: &Path,
    cache: &Path,
    wants: &Wants<'_>,
    addons: &[Addon],
) -> Result<String> {
    let limits = if wants.is_crowd {
        format!("[limits]\nconnections = {CONNECTIONS}\ninstances = {CONNECTIONS}\nguest_memory = \"64GiB\"\n")
    } else {
        String::new()
    };
    let (plugins, cache, upstream) = (plugins.display(), cache.display(), wants.upstream);
    let mut text = format!(
        "plugins = \"{plugins}\"\ncache = \"{cache}\"\nstate = \"memory:\"\n\
         [admin]\nlisten = \"{admin}\"\nrecent_flows = 0\n\
         {limits}\
         [timeouts]\nidle = \"1h\"\n\
         [[listener]]\nname = \"bench\"\nmode = \"reverse\"\nbind = \"{address}\"\nupstream = \"http://{upstream}\"\n"
    );
    if let Some(certificate) = wants.certificate {
        let (chain, key) = (certificate.chain.display(), certificate.key.display());
        writeln!(text, "tls = {{ cert = \"{chain}\", key = \"{key}\" }}")?;
    }
    for addon in addons {
        // As a literal string of TOML, which has no escapes.
        writeln!(text, "[addon.{}]\nkv = true\noptions = {}", addon.name, inline(&addon.options)?)?;
    }
    Ok(text)
}

/// A flat object of strings as an inline table.
fn inline(options: &Value) -> Result<String> {
    let options = options.as_object().context("options are an object")?;
    let pairs = options.iter().map(|(key, value)| {
        let value = value.as_str().with_context(|| format!("{key} is no string"))?;
        Ok(format!("{key} = '{value}'"))
    });
    Ok(format!("{{ {} }}", pairs.collect::<Result<Vec<_>>>()?.join(", ")))
}

/// What is said of an addon in `GET /addons`.
pub(crate) fn of_addon<'a>(status: &'a Value, name: &str, key: &str) -> Option<&'a Value> {
    let addons = status.get("addons")?.as_array()?;
    addons.iter().find(|addon| addon.get("name").and_then(Value::as_str) == Some(name))?.get(key)
}

/// Why the first addon that is not in force is not.
fn error_of(status: &Value) -> Option<&str> {
    status.get("addons")?.as_array()?.iter().find_map(|addon| addon.get("error")?.as_str())
}

/// `GET /addons` of the admin listener.
pub(crate) fn addons(admin: SocketAddr) -> Result<Value> {
    let (status, body) = ask(admin, "GET", "/addons")?;
    anyhow::ensure!(status == 200, "GET /addons is answered {status}");
    Ok(serde_json::from_str(&body)?)
}

/// Calls of an addon's hooks until now; 0 if there is none of this name.
pub(crate) fn calls(proxy: &Proxy, name: &str) -> Result<u64> {
    let status = addons(proxy.admin.context("no admin listener")?)?;
    Ok(of_addon(&status, name, "calls").and_then(Value::as_u64).unwrap_or(0))
}

/// Waits until `GET /addons` is as wanted.
pub(crate) fn until(admin: SocketAddr, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<()> {
    let start = Instant::now();
    loop {
        let status = addons(admin)?;
        if is_wanted(&status) {
            return Ok(());
        }
        if let Some(error) = error_of(&status) {
            bail!("an addon is refused: {error}");
        }
        if start.elapsed() > PATIENCE {
            bail!("not so after {} s: {what}: {status:#}", PATIENCE.as_secs());
        }
        sleep(GLANCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addons_are_found_by_name() {
        let status = json!({"addons": [{"name": "a", "state": "replay"}, {"name": "b", "state": "snapshot"}]});
        assert_eq!(of_addon(&status, "b", "state"), Some(&json!("snapshot")));
        assert_eq!(of_addon(&status, "c", "state"), None);
    }

    #[test]
    fn refused_addons_are_told() {
        let fine = json!({"addons": [{"name": "a", "error": null}]});
        assert_eq!(error_of(&fine), None);
        let refused = json!({"addons": [{"name": "a", "error": null}, {"name": "b", "error": "no"}]});
        assert_eq!(error_of(&refused), Some("no"));
    }

    #[test]
    fn options_are_literal() {
        let options = json!({"does": "rules", "filter": "~p \"^/\\\\d\""});
        assert_eq!(inline(&options).expect("a table"), "{ does = 'rules', filter = '~p \"^/\\\\d\"' }");
        assert!(inline(&json!({"a": 1})).is_err());
    }
}
