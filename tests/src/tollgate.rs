//! The real binary as a child process.

mod binary;
mod ended;
mod file;
mod output;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    time::timeout,
};

use crate::{
    patience::{PATIENCE, eventually, within},
    tls::{Authority, Identity},
};

pub use ended::Ended;
use output::Output;

/// A running proxy. It is killed when this is dropped; if that is because the test fails, its log is shown.
///
/// ```no_run
/// # async fn example() {
/// use tollgate_tests::{Client, RawOrigin, Tollgate, Version};
///
/// let origin = RawOrigin::ok().await;
/// let tollgate = Tollgate::builder().upstream(&origin.url()).set("listener.main.via", "edge").start().await;
/// assert_eq!(Client::fetch(Version::Http2, tollgate.address(), "/").await.text(), "ok");
/// # }
/// ```
pub struct Tollgate {
    child: Child,
    pid: Pid,
    addresses: BTreeMap<String, String>,
    stderr: Output,
    directory: TempDir,
}

/// A proxy to be. It listens on 127.0.0.1 at ports that the system chooses: one listener for each upstream, and the admin
/// listener. Its addons and its cache are in a new directory unless they are set.
pub struct Builder {
    listeners: Vec<(String, String)>,
    toml: String,
    settings: Vec<String>,
    variables: Vec<(String, String)>,
    plugins: Option<PathBuf>,
    cache: Option<PathBuf>,
    file: Option<PathBuf>,
    log: String,
}

impl Tollgate {
    /// Nothing is set yet.
    #[must_use]
    pub const fn builder() -> Builder {
        Builder {
            listeners: Vec::new(),
            toml: String::new(),
            settings: Vec::new(),
            variables: Vec::new(),
            plugins: None,
            cache: None,
            file: None,
            log: String::new(),
        }
    }

    /// One listener, named `main`, with this upstream.
    pub async fn before(upstream: &str) -> Self {
        Self::builder().upstream(upstream).start().await
    }

    /// One forward listener, named `main`, that also tunnels to the ports of tests.
    pub async fn forward() -> Self {
        Self::builder().forward("main").set("listener.main.targets.connect_ports", "any").start().await
    }

    /// The binary with these arguments, run to its end.
    pub async fn run(arguments: &[&str]) -> Ended {
        let mut command = Command::new(binary::path());
        clean(&mut command).args(arguments);
        Ended::of(&within(command.kill_on_drop(true).output()).await.expect("the binary runs"))
    }

    /// The same with this on its standard input.
    pub async fn run_with(arguments: &[&str], input: &[u8]) -> Ended {
        let mut command = Command::new(binary::path());
        clean(&mut command).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("an input");
        // Who does not read it has closed it.
        let _ = within(stdin.write_all(input)).await;
        drop(stdin);
        Ended::of(&within(child.wait_with_output()).await.expect("a child"))
    }

    /// Address of the listener `main`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address_of("main")
    }

    /// Address of a listener, or of `admin`.
    #[must_use]
    pub fn address_of(&self, name: &str) -> SocketAddr {
        let url = self.url_of(name);
        url.rsplit('/').next().and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address in {url}"))
    }

    /// URL of the listener `main`, as the binary printed it.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("main")
    }

    /// URL of a listener, or of `admin`, as the binary printed it.
    #[must_use]
    pub fn url_of(&self, name: &str) -> String {
        self.addresses.get(name).unwrap_or_else(|| panic!("no listener {name}: {:?}", self.addresses)).clone()
    }

    /// Address of the admin listener.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.address_of("admin")
    }

    /// What the listener at a port of the file says; a changed configuration can be taken over by [`Self::reload`].
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.directory.path().join("tollgate.toml")
    }

    /// The configuration in its file.
    #[must_use]
    pub fn config(&self) -> String {
        std::fs::read_to_string(self.config_path()).expect("a file")
    }

    /// The directory of addons, unless the builder was given another.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.directory.path().join("plugins")
    }

    /// A directory that goes with this proxy, for whatever a test needs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("a process");
    }

    /// Sends SIGHUP, and waits until the configuration was taken over or refused.
    pub async fn reload(&self) {
        let verdicts = || {
            self.logs().matches("configuration was read again").count() + self.logs().matches("configuration is refused").count()
        };
        let before = verdicts();
        self.signal(Signal::HUP);
        eventually(async || verdicts() > before).await;
    }

    /// Has the configuration's file say `new` where it said `old`, and waits until that was taken over or refused.
    pub async fn change_config(&self, old: &str, new: &str) {
        let before = self.config();
        assert!(before.contains(old), "{before}");
        std::fs::write(self.config_path(), before.replace(old, new)).expect("a file");
        self.reload().await;
    }

    /// Has the configuration's file say these options of the core, each `name = value` on its line, in place of those before; and
    /// waits until that was taken over or refused.
    pub async fn set_options(&self, options: &str) {
        const TABLE: &str = "\n[options]\n";
        let before = self.config();
        let rest = before.split(TABLE).next().unwrap_or_default();
        std::fs::write(self.config_path(), format!("{rest}{TABLE}{options}\n")).expect("a file");
        self.reload().await;
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        within(self.child.wait()).await.expect("a child")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Bytes of memory that it occupies now.
    #[must_use]
    pub fn rss(&self) -> u64 {
        self.status("VmRSS:") * 1024
    }

    /// Bytes of memory that it alone occupies now: without what instances share of their snapshot, and programs of their code.
    #[must_use]
    pub fn private_memory(&self) -> u64 {
        let memory = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid())).expect("a process");
        let kibibytes =
            memory.lines().filter_map(|line| line.strip_prefix("Private_")).filter_map(|line| line.split_whitespace().nth(1));
        kibibytes.filter_map(|number| number.parse::<u64>().ok()).sum::<u64>() * 1024
    }

    /// Most bytes of memory that it occupied since its start or since [`Self::reset_peak`].
    #[must_use]
    pub fn peak_rss(&self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    /// Counts the peak from here: `clear_refs` of proc(5).
    pub fn reset_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("a process");
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Time on the processor of its threads of this name (15 characters at most), in ticks of the system: a hundred a second.
    #[must_use]
    pub fn cpu_of_threads(&self, name: &str) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("a process");
        // A thread may end meanwhile.
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        let of = |stat: &str| {
            let (head, fields) = stat.rsplit_once(") ")?;
            let time = |at: usize| fields.split(' ').nth(at).and_then(|field| field.parse::<u64>().ok());
            // The 14th and 15th field, counted after the name: proc_pid_stat(5).
            head.ends_with(&format!("({name}")).then_some(time(11)? + time(12)?)
        };
        stats.filter_map(|stat| of(&stat)).sum()
    }

    /// Descriptors that it has open.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a process").count()
    }

    /// The last of what it wrote to standard error: up to four mebibytes.
    #[must_use]
    pub fn logs(&self) -> String {
        self.stderr.text()
    }

    /// Waits until its log holds this text.
    pub async fn logged(&self, text: &str) {
        if timeout(PATIENCE, async {
            while !self.logs().contains(text) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .is_err()
        {
            panic!("the log does not hold {text:?}");
        }
    }
}

impl Drop for Tollgate {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        if std::thread::panicking() {
            let logs = self.logs();
            let start = logs.char_indices().rev().nth(20_000).map_or(0, |(start, _)| start);
            eprintln!("--- the log of tollgate\n{}---", &logs[start..]);
        }
    }
}

impl Builder {
    /// A listener named `main` with this upstream.
    #[must_use]
    pub fn upstream(self, url: &str) -> Self {
        self.listener("main", url)
    }

    /// A listener with this name and upstream.
    #[must_use]
    pub fn listener(mut self, name: &str, upstream: &str) -> Self {
        self.listeners.push((name.to_owned(), upstream.to_owned()));
        self
    }

    /// A forward listener with this name.
    #[must_use]
    pub fn forward(self, name: &str) -> Self {
        let listener = format!("[[listener]]\nname = \"{name}\"\nmode = \"forward\"\nbind = \"127.0.0.1:0\"\n");
        self.config_toml(&listener)
    }

    /// More of the configuration file, after the listeners: tables like `[limits]` and `[addon.x]`.
    #[must_use]
    pub fn config_toml(mut self, toml: &str) -> Self {
        self.toml.push_str(toml);
        self.toml.push('\n');
        self
    }

    /// A setting, as `--set` takes it: `listener.main.via`, `edge`. The value is TOML or a single word.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.settings.push(format!("{key}={value}"));
        self
    }

    /// TLS for clients of the listener `main`.
    #[must_use]
    pub fn tls(self, identity: &Identity) -> Self {
        let (cert, key) = (identity.cert.to_string_lossy(), identity.key.to_string_lossy());
        self.set("listener.main.tls", format!("{{cert = {cert:?}, key = {key:?}}}"))
    }

    /// Trust in upstreams of the listener `main`.
    #[must_use]
    pub fn upstream_ca(self, authority: &Authority) -> Self {
        self.set("listener.main.upstream_ca", format!("{:?}", authority.ca().to_string_lossy()))
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The directory of addons.
    #[must_use]
    pub fn plugins(mut self, directory: impl Into<PathBuf>) -> Self {
        self.plugins = Some(directory.into());
        self
    }

    /// The directory of compiled code.
    #[must_use]
    pub fn cache(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cache = Some(directory.into());
        self
    }

    /// What is logged. Default `info,tollgate=debug`.
    #[must_use]
    pub fn log(mut self, level: &str) -> Self {
        level.clone_into(&mut self.log);
        self
    }

    /// Starts it and waits until it is ready; panics with its log if it does not come to that.
    pub async fn start(self) -> Tollgate {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = self.spawn(directory.path());
        let stderr = Output::read(child.stderr.take().expect("a pipe"));
        let stdout = Output::read(child.stdout.take().expect("a pipe"));
        let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).expect("a process");
        let mut tollgate = Tollgate { child, pid, addresses: BTreeMap::new(), stderr, directory };
        eventually(async || stdout.text().ends_with("ready\n") || stdout.is_ended()).await;
        let lines = stdout.text();
        assert!(lines.ends_with("ready\n"), "tollgate did not start: {lines}{}", tollgate.logs());
        tollgate.addresses =
            lines.lines().filter_map(|line| line.split_once(' ')).map(|(name, url)| (name.to_owned(), url.to_owned())).collect();
        tollgate
    }

    /// Starts it and waits for its end.
    pub async fn run(self) -> Ended {
        let directory = tempfile::tempdir().expect("a directory");
        Ended::of(&within(self.spawn(directory.path()).wait_with_output()).await.expect("a child"))
    }

    fn spawn(self, directory: &Path) -> Child {
        let written = directory.join("tollgate.toml");
        std::fs::write(&written, self.written(directory)).expect("a file");
        let mut command = Command::new(binary::path());
        clean(&mut command).arg("run").arg("--config").arg(self.file.as_ref().unwrap_or(&written));
        for setting in &self.settings {
            command.arg("--set").arg(setting);
        }
        // What is kept unless something is said belongs to this proxy alone.
        command.env("XDG_STATE_HOME", directory.join("state"));
        command.envs(self.variables).current_dir(directory);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().expect("the binary starts")
    }

    fn written(&self, directory: &Path) -> String {
        let plugins = self.plugins.clone().unwrap_or_else(|| directory.join("plugins"));
        std::fs::create_dir_all(&plugins).expect("a directory");
        let cache = self.cache.clone().unwrap_or_else(|| directory.join("cache"));
        let level = if self.log.is_empty() { "info,tollgate=debug" } else { &self.log };
        let mut file = format!(
            "plugins = {:?}\ncache = {:?}\n\n[admin]\nlisten = \"127.0.0.1:0\"\n\n[log]\nlevel = \"{level}\"\n",
            plugins.to_string_lossy(),
            cache.to_string_lossy(),
        );
        for (name, upstream) in &self.listeners {
            let _ = write!(file, "\n[[listener]]\nname = \"{name}\"\nbind = \"127.0.0.1:0\"\nupstream = \"{upstream}\"\n");
        }
        file + "\n" + &self.toml
    }
}

/// Without what the one who runs the tests has set for a proxy of their own.
fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("TOLLGATE_")) {
            command.env_remove(name);
        }
    }
    command
}
