//! Sees changes of the plugins directory and of options files, and waits until they have settled.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::{Notify, watch},
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use super::{
    changes::{Cause, Shared},
    component::LoadError,
    entry::Entry,
    settings::{OptionsSource, Settings},
};

/// Looks at the files, when it is told of a change and every few seconds.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    told: Arc<Notify>,
    notify: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Mark>,
    // As last acted upon; a file that is not in it is not there.
    known: BTreeMap<Watched, Mark>,
    unsettled: BTreeMap<Watched, (Option<Mark>, Instant)>,
    loads: JoinSet<()>,
    is_readable: bool,
    is_first: bool,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Watched {
    /// The component of the addon of this name.
    Component(String),
    /// An options file.
    Options(PathBuf),
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    len: u64,
    modified: Option<SystemTime>,
    place: (u64, u64),
}

/// What one look shows.
#[derive(Default)]
struct Look {
    marks: BTreeMap<Watched, Mark>,
    refused: BTreeMap<PathBuf, String>,
    // Directories to be told about.
    directories: BTreeMap<PathBuf, Mark>,
    error: Option<String>,
}

const MAX_NAME: usize = 100;
// How often a missing directory is looked for.
const MISSING: Duration = Duration::from_millis(500);

/// Whether something can have changed. Reading the directory is an event, too: to look because of it would never end.
const fn tells_of_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if !matches!(access, AccessKind::Close(AccessMode::Write)))
}

/// Until the first of what was seen at these times has been still for long enough.
fn until_settled(seen: impl Iterator<Item = Instant>, settle: Duration) -> Duration {
    seen.min().map_or(settle, |since| settle.saturating_sub(since.elapsed()))
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>, stopped: watch::Receiver<bool>) -> Self {
        let told = Arc::new(Notify::new());
        let teller = Arc::clone(&told);
        let notify = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_err() || event.is_ok_and(|event| tells_of_change(event.kind)) {
                teller.notify_one();
            }
        });
        if let Err(error) = &notify {
            tracing::warn!(%error, "the system does not tell of changed files; they are looked at every few seconds");
        }
        Self {
            shared,
            stopped,
            told,
            notify: notify.ok(),
            watched: BTreeMap::new(),
            known: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            loads: JoinSet::new(),
            is_readable: true,
            is_first: true,
        }
    }

    /// Loads all that is there, and waits for it.
    pub(super) async fn first_look(&mut self) {
        let settings = self.shared.settings();
        loop {
            self.look(&settings).await;
            if self.unsettled.is_empty() {
                break;
            }
            sleep(until_settled(self.unsettled.values().map(|(_, since)| *since), settings.settle)).await;
        }
        self.is_first = false;
        while self.loads.join_next().await.is_some() {}
    }

    /// Runs until it is stopped or its registry is gone.
    pub(super) async fn run(mut self) {
        loop {
            let settings = self.shared.settings();
            let wait = match (self.unsettled.is_empty(), self.is_readable) {
                (true, true) => settings.rescan,
                // Nobody tells that a directory is back, and what is in it does not settle.
                (_, false) => settings.rescan.min(MISSING),
                (false, true) => until_settled(self.unsettled.values().map(|(_, since)| *since), settings.settle),
            };
            tokio::select! {
                () = self.told.notified() => {}
                () = sleep(wait) => {}
                _ = self.stopped.changed() => break,
            }
            self.look(&settings).await;
            while self.loads.try_join_next().is_some() {}
        }
        while self.loads.join_next().await.is_some() {}
    }

    async fn look(&mut self, settings: &Arc<Settings>) {
        let of = Arc::clone(settings);
        let Ok(look) = spawn_blocking(move || Look::at(&of)).await else { return };
        self.watch(&look.directories);
        self.is_readable = look.error.is_none();
        self.shared.saw_directory(look.error, look.refused);
        let all: BTreeSet<Watched> = self.known.keys().chain(look.marks.keys()).cloned().collect();
        let (mut loads, mut removals) = (Vec::new(), Vec::new());
        for watched in all {
            // A directory that cannot be read does not say that a file is gone.
            if !self.is_readable && matches!(watched, Watched::Component(_)) {
                continue;
            }
            let mark = look.marks.get(&watched).cloned();
            if !self.has_settled(&watched, mark.as_ref(), settings) {
                continue;
            }
            match (&watched, &mark) {
                (Watched::Component(name), Some(_)) => loads.push((self.shared.seen(name), Cause::File)),
                (Watched::Component(name), None) => removals.push(name.clone()),
                (Watched::Options(path), _) => {
                    let uses = |name: &str| matches!(settings.addon(name).options, OptionsSource::File(file) if file == *path);
                    let users = self.shared.entries().into_iter().filter(|entry| uses(&entry.name));
                    loads.extend(users.map(|entry| (entry, Cause::OptionsFile)));
                }
            }
            match mark {
                Some(mark) => drop(self.known.insert(watched, mark)),
                None => drop(self.known.remove(&watched)),
            }
        }
        self.unsettled.retain(|watched, _| look.marks.contains_key(watched) || self.known.contains_key(watched));
        // A load for the options file reads the component, too: at the start nothing is configured twice.
        let both: BTreeSet<_> = loads
            .iter()
            .filter(|(_, cause)| matches!(cause, Cause::OptionsFile))
            .map(|(entry, _)| Arc::clone(&entry.name))
            .collect();
        loads.retain(|(entry, cause)| !matches!(cause, Cause::File) || !both.contains(&entry.name));
        self.act(loads, removals);
    }

    // Whether a file has changed and then stayed as it is for long enough.
    fn has_settled(&mut self, watched: &Watched, mark: Option<&Mark>, settings: &Settings) -> bool {
        if self.known.get(watched) == mark {
            self.unsettled.remove(watched);
            return false;
        }
        // What was not touched for a while before the start is not being written.
        if self.is_first && mark.is_some_and(|mark| mark.is_older_than(settings.settle)) {
            return true;
        }
        let now = Instant::now();
        match self.unsettled.get(watched) {
            Some((seen, since)) if seen.as_ref() == mark => {
                let is_settled = now.duration_since(*since) >= settings.settle;
                if is_settled {
                    self.unsettled.remove(watched);
                }
                is_settled
            }
            _ => {
                self.unsettled.insert(watched.clone(), (mark.cloned(), now));
                false
            }
        }
    }

    // Renamed, an addon is in force under its new name before it goes under its old one: a policy has no gap.
    fn act(&mut self, loads: Vec<(Arc<Entry>, Cause)>, removals: Vec<String>) {
        let handles: Vec<_> = loads.into_iter().filter_map(|(entry, cause)| self.load(entry, cause)).collect();
        let shared = Arc::clone(&self.shared);
        if handles.is_empty() {
            for name in &removals {
                shared.remove(name);
            }
        } else if !removals.is_empty() {
            self.loads.spawn(async move {
                for mut ended in handles {
                    drop(ended.changed().await);
                }
                for name in removals {
                    // It may be back already.
                    if !tokio::fs::try_exists(shared.settings().file(&name)).await.unwrap_or(true) {
                        shared.remove(&name);
                    }
                }
            });
        }
    }

    // Tells when it has ended.
    fn load(&mut self, entry: Arc<Entry>, cause: Cause) -> Option<watch::Receiver<()>> {
        // A load that waits for its turn will see this change, too.
        if matches!(cause, Cause::File) && !entry.claim_queue() {
            return None;
        }
        let shared = Arc::clone(&self.shared);
        let (ends, ended) = watch::channel(());
        self.loads.spawn(async move {
            let _ends = ends;
            // What went wrong is in the log and in the status.
            drop(shared.load(&entry, cause).await);
        });
        Some(ended)
    }

    // A directory that went and came back is another one: the system has to be asked again.
    fn watch(&mut self, directories: &BTreeMap<PathBuf, Mark>) {
        let Some(notify) = &mut self.notify else { return };
        for path in self.watched.keys().filter(|path| !directories.contains_key(*path)) {
            drop(notify.unwatch(path));
        }
        self.watched.retain(|path, _| directories.contains_key(path));
        for (path, mark) in directories {
            if self.watched.get(path).is_some_and(|known| known.place == mark.place) {
                continue;
            }
            drop(notify.unwatch(path));
            match notify.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(path.clone(), mark.clone())),
                Err(error) => tracing::debug!(path = %path.display(), %error, "not told of changes here"),
            }
        }
    }
}

impl Look {
    fn at(settings: &Settings) -> Self {
        let mut look = Self::default();
        look.error = look.components(&settings.plugins).err().map(|error| error.to_string());
        for addon in settings.addons.values() {
            let OptionsSource::File(path) = &addon.options else { continue };
            if let Ok(metadata) = fs::metadata(path) {
                look.marks.insert(Watched::Options(path.clone()), Mark::of(&metadata));
            }
            look.directory(path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")));
        }
        look
    }

    fn components(&mut self, directory: &Path) -> io::Result<()> {
        for item in fs::read_dir(directory)? {
            let path = item?.path();
            if path.extension() != Some(OsStr::new("wasm")) {
                continue;
            }
            // Through links. What has the name of an addon and is no file, as a link to nowhere, is one that cannot be
            // loaded, and not one that was removed: what is in force stays. What is gone already is neither.
            let Ok(metadata) = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path)) else { continue };
            let stem = path.file_stem().unwrap_or_default();
            if let Some(name) = stem.to_str().filter(|name| is_name(name)) {
                self.marks.insert(Watched::Component(name.to_owned()), Mark::of(&metadata));
            } else {
                let error = LoadError::Name(stem.to_string_lossy().into_owned());
                self.refused.insert(path, error.to_string());
            }
        }
        self.directory(directory);
        Ok(())
    }

    fn directory(&mut self, path: &Path) {
        if let Ok(metadata) = fs::metadata(path) {
            self.directories.insert(path.to_owned(), Mark::of(&metadata));
        }
    }
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let place = (std::os::unix::fs::MetadataExt::dev(metadata), std::os::unix::fs::MetadataExt::ino(metadata));
        #[cfg(not(unix))]
        let place = (0, 0);
        Self { len: metadata.len(), modified: metadata.modified().ok(), place }
    }

    fn is_older_than(&self, age: Duration) -> bool {
        self.modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|elapsed| elapsed > age)
    }
}

/// Whether a file stem can be the name of an addon.
fn is_name(stem: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !stem.is_empty() && stem.len() <= MAX_NAME && stem.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_no_change() {
        for access in [AccessKind::Open(AccessMode::Any), AccessKind::Read, AccessKind::Close(AccessMode::Read), AccessKind::Any]
        {
            assert!(!tells_of_change(EventKind::Access(access)), "{access:?}");
        }
        assert!(tells_of_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(tells_of_change(EventKind::Any));
    }

    #[test]
    fn the_first_that_settles_is_waited_for() {
        let settle = Duration::from_hours(1);
        assert_eq!(until_settled([].into_iter(), settle), settle);
        let (now, before) = (Instant::now(), Duration::from_mins(1));
        let earlier = now.checked_sub(before).expect("a machine that is up for a minute");
        let wait = until_settled([now, earlier].into_iter(), settle);
        assert!(wait <= settle.saturating_sub(before) && wait > settle.saturating_sub(2 * before), "{wait:?}");
        assert_eq!(until_settled([earlier].into_iter(), before), Duration::ZERO);
    }

    #[test]
    fn names_are_plain() {
        for name in ["version-clamp", "a.b_C-1", "1"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(101);
        for name in ["", "a b", "a/b", "\u{e4}", "a\n", &long] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_look_tells_addons_from_other_files() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        for name in ["one.wasm", "two words.wasm", "notes.txt", "half.wasm.part"] {
            fs::write(home.path().join(name), "x")?;
        }
        fs::create_dir(home.path().join("three.wasm"))?;
        let look = Look::at(&Settings::new(home.path(), home.path()));
        // A directory, too: loading it will tell that it is none.
        let names = ["one", "three"].map(|name| Watched::Component(name.to_owned()));
        assert_eq!(look.marks.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        assert_eq!(look.refused.keys().collect::<Vec<_>>(), [&home.path().join("two words.wasm")]);
        assert!(look.error.is_none());
        Ok(())
    }

    #[test]
    fn a_missing_directory_is_an_error() -> io::Result<()> {
        let home = tempfile::tempdir()?;
        assert!(Look::at(&Settings::new(home.path().join("gone"), home.path())).error.is_some());
        Ok(())
    }
}
