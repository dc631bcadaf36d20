//! From bytes to code that can be instantiated: what is refused before a guest runs, and why.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use wasmtime::component::{Component, types::ComponentItem};

use super::{
    bindings::{EXPORT, IMPORTS},
    engine::Engine,
    guest::Blueprint,
    wasi,
};
use crate::json;

/// Why an addon is not loaded. What was in force before stays so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file or its options cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file's name is no addon name.
    #[error("{0:?} is no name for an addon: letters, digits, `.`, `_` and `-` only, at most 100")]
    Name(String),
    /// Over the limit.
    #[error("{what} of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// In bytes.
        limit: u64,
    },
    /// No WebAssembly.
    #[error("not WebAssembly: it does not start with the magic number")]
    NotWasm,
    /// A module.
    #[error("a core WebAssembly module, not a component: build for wasm32-wasip2, or wrap it with `wasm-tools component new`")]
    CoreModule,
    /// Neither module nor component as this host knows them.
    #[error("a WebAssembly file of an unknown version ({0:#010x})")]
    UnknownVersion(u32),
    /// Damaged, or of a proposal that is off.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// It wants what addons do not get.
    #[error("imports what addons are not given: {}", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// It is no addon.
    #[error("does not export {EXPORT}: not an addon")]
    NotAnAddon,
    /// It is an addon for another Tollgate.
    #[error("made for another version of the contract: it exports {0}, this is {EXPORT}")]
    OtherVersion(String),
    /// Names fit, types do not.
    #[error("does not fit the world tollgate:addon/addon: {0}")]
    WrongWorld(String),
    /// It fits, but there is no instance of it.
    #[error("cannot be instantiated: {0}")]
    Instance(String),
    /// The options are no JSON, or not in one way only.
    #[error("options are {0}")]
    OptionsSyntax(json::Error),
    /// A server does not have the options.
    #[error("cannot get options from {url}: {why}")]
    Fetch {
        /// Without its query.
        url: String,
        /// Why.
        why: String,
    },
    /// `configure` did not end well.
    #[error("configure failed: {0}")]
    Configure(String),
    /// The addon refused its options.
    #[error("options refused: {}", join(.0))]
    Options(Vec<RefusedOption>),
    /// A lock has them.
    #[error("options are locked: unlock them first")]
    Held,
    /// The addon's subscriptions cannot be served.
    #[error("subscriptions refused: {}", .0.join("; "))]
    Subscriptions(Vec<String>),
    /// It asks for more than the configuration grants; all of it.
    #[error("asks for what it is not granted: {}", .0.join("; "))]
    NotGranted(Vec<String>),
    /// The host is at fault.
    #[error("internal error: {0}")]
    Internal(String),
}

impl LoadError {
    /// Whether other options may do better.
    pub(super) const fn is_of_options(&self) -> bool {
        matches!(
            self,
            Self::OptionsSyntax(_)
                | Self::Fetch { .. }
                | Self::Configure(_)
                | Self::Options(_)
                | Self::Subscriptions(_)
                | Self::NotGranted(_)
        )
    }

    /// All that is wrong, each with its place in the options as far as there is one.
    #[must_use]
    pub fn reasons(&self) -> Vec<RefusedOption> {
        let whole = |message: String| RefusedOption { path: String::new(), message };
        match self {
            Self::Options(refused) => refused.clone(),
            Self::OptionsSyntax(json::Error::Syntax(remark)) => vec![remark.into()],
            Self::OptionsSyntax(json::Error::Ambiguous(remarks)) => remarks.iter().map(Into::into).collect(),
            Self::Subscriptions(problems) | Self::NotGranted(problems) => problems.iter().cloned().map(whole).collect(),
            other => vec![whole(other.to_string())],
        }
    }
}

impl From<&json::Remark> for RefusedOption {
    fn from(remark: &json::Remark) -> Self {
        let message = format!("line {}, column {}: {}", remark.line, remark.column, remark.problem);
        Self { path: remark.path.clone(), message }
    }
}

/// An option that an addon refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RefusedOption {
    /// As in `rules[2].method`; empty for the whole document.
    pub path: String,
    /// Why.
    pub message: String,
}

/// A component that fits the world. Cheap to clone.
#[derive(Clone)]
pub(super) struct Compiled {
    pub(super) bytes: Bytes,
    pub(super) sha256: [u8; 32],
    pub(super) blueprint: Blueprint,
    /// Names of the imported interfaces.
    pub(super) imports: Arc<[String]>,
    /// Whether it imports the function that replaces a response's body: who does not, never calls it.
    pub(super) sets_response_bodies: bool,
}

impl Compiled {
    /// Whether it keeps keys and values between flows, or tries to.
    pub(super) fn uses_kv(&self) -> bool {
        self.imports.iter().any(|name| interface(name) == KV)
    }
}

const KV: &str = "tollgate:addon/kv";
const SET_RESPONSE_BODY: &str = "[method]response.set-body";
// Preamble: magic number, version, layer (component model, Binary.md).
const MAGIC: &[u8] = b"\0asm";
const MODULE: u32 = 0x0000_0001;
const COMPONENT: u32 = 0x0001_000d;

/// Compiles and links. Takes up to seconds: not for a thread that serves.
pub(super) fn compile(engine: &Engine, bytes: Bytes) -> Result<Compiled, LoadError> {
    recognise(&bytes)?;
    let component = Component::from_binary(engine.wasmtime(), &bytes).map_err(|error| LoadError::Invalid(chain(&error)))?;
    let ty = component.component_type();
    let imports: Vec<String> = ty.imports(engine.wasmtime()).map(|(name, _)| name.to_owned()).collect();
    let unknown: Vec<String> = imports.iter().filter(|name| !is_known(name)).cloned().collect();
    if !unknown.is_empty() {
        return Err(LoadError::UnknownImports(unknown));
    }
    if component.get_export_index(None, EXPORT).is_none() {
        let base = interface(EXPORT);
        let other = ty.exports(engine.wasmtime()).find(|(name, _)| interface(name) == base);
        return Err(other.map_or(LoadError::NotAnAddon, |(name, _)| LoadError::OtherVersion(name.to_owned())));
    }
    let mut linker = engine.linker().clone();
    let wrong = |error: wasmtime::Error| LoadError::WrongWorld(chain(&error));
    wasi::add_absent(engine, &mut linker, &component).map_err(wrong)?;
    let blueprint = linker.instantiate_pre(&component).and_then(|pre| Blueprint::new(&component, pre)).map_err(wrong)?;
    let sets_response_bodies =
        ty.imports(engine.wasmtime()).any(|(_, import)| has_function(engine, &import.ty, SET_RESPONSE_BODY));
    Ok(Compiled { sha256: Sha256::digest(&bytes).into(), bytes, blueprint, imports: imports.into(), sets_response_bodies })
}

fn recognise(bytes: &[u8]) -> Result<(), LoadError> {
    let version = bytes.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<4>()).ok_or(LoadError::NotWasm)?;
    match u32::from_le_bytes(*version) {
        COMPONENT => Ok(()),
        MODULE => Err(LoadError::CoreModule),
        other => Err(LoadError::UnknownVersion(other)),
    }
}

fn is_known(import: &str) -> bool {
    let interface = interface(import);
    IMPORTS.contains(&interface) || wasi::is_known(interface)
}

fn interface(name: &str) -> &str {
    name.split('@').next().unwrap_or_default()
}

/// Whether an imported interface is imported with this function.
fn has_function(engine: &Engine, import: &ComponentItem, name: &str) -> bool {
    let ComponentItem::ComponentInstance(interface) = import else { return false };
    interface.exports(engine.wasmtime()).any(|(function, _)| function == name)
}

/// An error of the engine with all its causes, on one line.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    super::lines::one_line(&format!("{error:#}")).into_owned()
}

fn join(options: &[RefusedOption]) -> String {
    let texts = options.iter().map(|option| match option.path.as_str() {
        "" => option.message.clone(),
        path => format!("{path}: {}", option.message),
    });
    texts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        assert!(matches!(recognise(b""), Err(LoadError::NotWasm)));
        assert!(matches!(recognise(b"\0asm\x0d"), Err(LoadError::NotWasm)));
        assert!(matches!(recognise(b"(component)"), Err(LoadError::NotWasm)));
        assert!(matches!(recognise(b"\0asm\x01\0\0\0"), Err(LoadError::CoreModule)));
        assert!(matches!(recognise(b"\0asm\x0a\0\x01\0"), Err(LoadError::UnknownVersion(0x0001_000a))));
        assert!(recognise(b"\0asm\x0d\0\x01\0").is_ok());
    }

    #[test]
    fn only_wanted_interfaces_are_known() {
        for name in ["tollgate:addon/kv@0.1.0", "wasi:io/poll@0.2.6", "wasi:sockets/tcp@0.2.0", "wasi:cli/terminal-stdin@0.2.1"] {
            assert!(is_known(name), "{name}");
        }
        for name in
            ["wasi:http/types@0.2.0", "wasi:keyvalue/store", "tollgate:addon/other@0.1.0", "env", "wasi:cli/run@0.2.0", ""]
        {
            assert!(!is_known(name), "{name}");
        }
    }
}
