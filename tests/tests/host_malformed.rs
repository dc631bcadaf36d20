//! Files that are no addons, by accident or on purpose: none stops the proxy, none takes anything out of force, and of each is
//! said what is wrong with it.
#![cfg(test)]

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt as _, fs::symlink},
};

use arbitrary::Unstructured;
use serde_json::{Value, json};
use tollgate_tests::{
    RawOrigin,
    addons::{Hosted, Load, core_module, guest, hostile, importing, rebuilt, seen_whole, versioned},
};

/// Numbers that are the same each time: xorshift, of Marsaglia.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("a small number")
    }
}

/// A proxy with a sound addon under load.
struct Sound {
    host: Hosted,
    load: Load,
    _origin: RawOrigin,
}

impl Sound {
    async fn start() -> Self {
        let origin = RawOrigin::ok().await;
        let host = Hosted::before(&origin.url()).scripted("sound", &versioned("sound")).start().await;
        let load = Load::start(host.address(), 2, "/", seen_whole);
        load.more(20).await;
        Self { host, load, _origin: origin }
    }

    /// All that is said of each addon, once each of these is in force or refused.
    async fn settled(&self, names: &[String]) -> Vec<Value> {
        let mut found = Vec::new();
        for name in names {
            found.push(
                self.host
                    .admin()
                    .until(name, |status| {
                        (!status["error"].is_null() && status["state"] == "failed") || !status["sha256"].is_null()
                    })
                    .await,
            );
        }
        found
    }

    /// Drops all of them in at once; tells why each was refused, or that it is in force.
    async fn drop_in(&self, components: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<(String, Option<String>)> {
        let mut names = Vec::new();
        for (name, component) in components {
            self.host.drop_in(&name, &component);
            names.push(name);
        }
        let settled = self.settled(&names).await;
        names.into_iter().zip(settled).map(|(name, status)| (name, status["error"].as_str().map(str::to_owned))).collect()
    }

    /// Panics if a flow was lost or the sound addon was out of force for one, or if it cannot be replaced now.
    async fn goes_on(self) {
        self.load.more(20).await;
        self.load.stop_unharmed().await;
        self.host.drop_in("sound", &rebuilt(7));
        self.host.admin().in_force("sound", &rebuilt(7)).await;
    }
}

fn all_refused(outcomes: &[(String, Option<String>)], said: &[&str]) {
    for (name, error) in outcomes {
        let error = error.as_deref().unwrap_or_else(|| panic!("{name} is in force"));
        assert!(said.iter().any(|said| error.contains(said)), "{name}: {error}");
    }
}

#[tokio::test]
async fn cut_components_are_refused() {
    let sound = Sound::start().await;
    let component = guest("scripted");
    let places = (1..40).map(|number| component.len() * number / 40).chain([1, 4, 8, 9, component.len() - 1]);
    let cut = places.map(|place| (format!("cut-{place}"), component[..place].to_vec()));
    let outcomes = sound.drop_in(cut).await;
    assert_eq!(outcomes.len(), 44);
    all_refused(&outcomes, &["not a valid component", "not WebAssembly", "not an addon", "does not fit the world"]);
    sound.goes_on().await;
}

#[tokio::test]
async fn flipped_bits_stop_nobody() {
    let sound = Sound::start().await;
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut flipped = Vec::new();
    for (kind, component, count) in [("small", hostile("unreachable"), 190), ("large", guest("scripted"), 10)] {
        for number in 0..count {
            let mut component = component.clone();
            let place = numbers.below(component.len());
            component[place] ^= 1 << numbers.below(8);
            flipped.push((format!("{kind}-{number}"), component));
        }
    }
    let outcomes = sound.drop_in(flipped).await;
    let refused = outcomes.iter().filter(|(_, error)| error.is_some()).count();
    eprintln!("{refused} of {} refused", outcomes.len());
    // A flip in a name or in unused code is no damage that anybody can see.
    assert!(refused > 100, "{refused}");
    sound.goes_on().await;
}

/// Without the proposals that addons may not use, so that more of what is made is valid.
fn plain() -> wasm_smith::Config {
    wasm_smith::Config {
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        ..wasm_smith::Config::default()
    }
}

#[tokio::test]
async fn arbitrary_modules_and_components_are_refused() {
    let sound = Sound::start().await;
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let mut arbitrary = Vec::new();
    while arbitrary.len() < 300 {
        let seed: Vec<u8> = std::iter::repeat_with(|| numbers.next().to_le_bytes()).take(256).flatten().collect();
        let mut seed = Unstructured::new(&seed);
        let number = arbitrary.len();
        let made = match number % 3 {
            0 => seed.arbitrary().ok().map(|module: wasm_smith::Module| module.to_bytes()),
            1 => seed.arbitrary().ok().map(|component: wasm_smith::Component| component.to_bytes()),
            _ => wasm_smith::Component::new(plain(), &mut seed).ok().map(|component| component.to_bytes()),
        };
        arbitrary.extend(made.map(|bytes| (format!("arbitrary-{number}"), bytes)));
    }
    let outcomes = sound.drop_in(arbitrary).await;
    let said = ["core WebAssembly module", "not a valid component", "not an addon", "imports what addons are not given"];
    all_refused(&outcomes, &said);
    for said in &said[..3] {
        assert!(outcomes.iter().any(|(_, error)| error.as_ref().is_some_and(|error| error.contains(said))), "{said}");
    }
    sound.goes_on().await;
}

#[tokio::test]
async fn files_that_are_no_addons_say_so() {
    let sound = Sound::start().await;
    let files: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "not WebAssembly"),
        ("text", b"(component)".to_vec(), "not WebAssembly"),
        ("zeros", vec![0; 4096], "not WebAssembly"),
        ("module", core_module(), "core WebAssembly module"),
        ("http", importing("wasi:http/types@0.2.0"), "imports what addons are not given: wasi:http/types@0.2.0"),
        ("twice", [guest("raw"), guest("raw")].concat(), "not a valid component"),
        ("followed", [guest("raw"), b"more".to_vec()].concat(), "not a valid component"),
    ];
    let outcomes = sound.drop_in(files.iter().map(|(name, component, _)| ((*name).to_owned(), component.clone()))).await;
    for ((name, error), (.., said)) in outcomes.iter().zip(&files) {
        assert!(error.as_ref().is_some_and(|error| error.contains(said)), "{name}: {error:?}");
    }
    sound.goes_on().await;
}

/// The raw guest with a section that nobody reads, so long in all.
fn padded(length: usize) -> Vec<u8> {
    let mut component = guest("raw");
    // Identifier 0, five bytes of length, a name of no bytes.
    let content = length - component.len() - 6;
    component.push(0);
    let [first, second, third, fourth] = [0, 7, 14, 21].map(|shift| u8::try_from(content >> shift & 0x7f).expect("seven bits"));
    component.extend([first | 0x80, second | 0x80, third | 0x80, fourth | 0x80, 0]);
    component.resize(length, 0);
    component
}

#[tokio::test]
async fn files_are_measured_before_they_are_read() {
    const LIMIT: usize = 64 << 20;
    let sound = Sound::start().await;
    let before = sound.host.settled("sound").await;
    File::create(sound.host.plugins().join("sparse.wasm")).expect("a file").set_len(200 << 20).expect("a length");
    let why = sound.host.admin().refused("sparse").await;
    assert_eq!(why, "a component of 209715200 bytes is over the limit of 67108864");
    sound.host.drop_in("above", &padded(LIMIT + 1));
    let why = sound.host.admin().refused("above").await;
    assert_eq!(why, "a component of 67108865 bytes is over the limit of 67108864");
    let grown = sound.host.peak_rss().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB", grown >> 20);
    let at = padded(LIMIT);
    sound.host.drop_in("at", &at);
    sound.host.admin().in_force("at", &at).await;
    sound.goes_on().await;
}

#[tokio::test]
async fn what_is_no_file_is_no_addon() {
    let sound = Sound::start().await;
    let (plugins, elsewhere) = (sound.host.plugins(), tempfile::tempdir().expect("a directory"));
    fs::create_dir(plugins.join("directory.wasm")).expect("a directory");
    make_fifo(&plugins.join("fifo.wasm"));
    symlink("/nowhere/at/all", plugins.join("dangling.wasm")).expect("a link");
    symlink("itself.wasm", plugins.join("itself.wasm")).expect("a link");
    // It opens, and reading its start fails, for whom it may be.
    symlink("/proc/self/mem", plugins.join("unreadable.wasm")).expect("a link");
    fs::write(elsewhere.path().join("good"), guest("raw")).expect("a file");
    symlink(elsewhere.path().join("good"), plugins.join("linked.wasm")).expect("a link");
    fs::write(plugins.join(OsStr::from_bytes(b"\xff\xfe.wasm")), guest("raw")).expect("a file");
    for (name, said) in [
        ("directory", "not a regular file"),
        ("fifo", "not a regular file"),
        ("dangling", "No such file"),
        ("itself", "symbolic links"),
        ("unreadable", "cannot read"),
    ] {
        let why = sound.host.admin().refused(name).await;
        assert!(why.starts_with("cannot read ") && why.contains(said), "{name}: {why}");
        assert_eq!(sound.host.admin().status(name).await["state"], "failed", "{name}");
    }
    sound.host.admin().in_force("linked", &guest("raw")).await;
    sound.host.logged("is no name for an addon").await;
    let failed = sound.host.admin().get("/health/ready").await.json()["addons"]["failed"].clone();
    let failed: Vec<_> = failed.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(failed.contains(&"fifo") && failed.iter().any(|name| name.ends_with("\u{fffd}\u{fffd}.wasm")), "{failed:?}");
    sound.goes_on().await;
}

fn make_fifo(path: &std::path::Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo").success());
}

#[tokio::test]
async fn addons_stay_while_their_name_is_no_file() {
    let sound = Sound::start().await;
    let file = sound.host.plugins().join("sound.wasm");
    let breaks: [fn(&std::path::Path); 3] =
        [|file| fs::create_dir(file).expect("a directory"), |file| symlink("/nowhere/at/all", file).expect("a link"), make_fifo];
    for break_it in breaks {
        // Set in place at once, as a deployment that goes wrong does it.
        let aside = file.with_extension("aside");
        break_it(&aside);
        let gone = file.with_extension("gone");
        fs::rename(&file, &gone).expect("a name");
        fs::rename(&aside, &file).expect("a name");
        let why = sound.host.admin().refused("sound").await;
        assert!(why.starts_with("cannot read "), "{why}");
        sound.load.more(20).await;
        let _ = fs::remove_dir(&file);
        fs::rename(&gone, &file).expect("a name");
        sound.host.admin().until("sound", |status| status["error"].is_null()).await;
    }
    assert_eq!(sound.host.admin().get("/health/ready").await.json()["addons"]["failed"], json!([]));
    sound.goes_on().await;
}
