//! `tollgate inspect`.

use std::{io::Write, path::Path};

use anyhow::Context as _;
use serde_json::Value;

use super::settings;
use crate::{
    addons::{self, Asked, Inspection, SubscriptionStatus},
    config::Sources,
};

/// Prints what an addon asks for beside what it is granted, and its budgets. Without sources: by the defaults.
///
/// # Errors
/// Those of the configuration, or when the file cannot be read, is no addon of this contract, or refuses its options.
pub fn inspect(file: &Path, sources: &Sources) -> anyhow::Result<()> {
    let config = sources.load_addons()?;
    let component = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("addon").to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    let cache = settings::scratch_cache()?;
    let settings = settings::addons(&config, cache.path());
    let found = runtime.block_on(addons::inspect(&settings, &name, component))?;
    let options = if config.addons.contains_key(&name) { "the configured options" } else { "options {}" };
    print(&mut std::io::stdout().lock(), &name, options, &found)?;
    Ok(())
}

fn print(out: &mut impl Write, name: &str, options: &str, found: &Inspection) -> std::io::Result<()> {
    writeln!(out, "name           {name}\nsha256         {}\nimports", found.sha256)?;
    for import in &found.imports {
        let text = import.otherwise.map_or_else(|| import.name.clone(), |why| format!("{}, {why}", import.name));
        line(out, &text, import.is_granted)?;
    }
    writeln!(out, "subscriptions with {options}")?;
    for (index, subscription) in found.subscriptions.iter().enumerate() {
        for (part, text) in parts(subscription) {
            let is_granted = !found.violations.iter().any(|lack| lack.subscription == index && lack.part == part);
            let number = if part == Asked::Event { format!("[{index}]") } else { String::new() };
            line(out, &format!("{number:5} {text}"), is_granted)?;
        }
    }
    if !found.violations.is_empty() {
        writeln!(out, "it would be refused")?;
        for violation in &found.violations {
            writeln!(out, "  {violation}")?;
        }
    }
    writeln!(out, "grants")?;
    if let Value::Object(grants) = serde_json::to_value(&found.grants)? {
        settings_of(out, &grants)?;
    }
    writeln!(out, "limits")?;
    settings_of(out, &found.limits)?;
    match &found.no_snapshot {
        None => writeln!(out, "instances are copies of a configured one"),
        Some(why) => writeln!(out, "every instance is configured anew: {why}"),
    }
}

/// What a subscription asks for, in words.
fn parts(subscription: &SubscriptionStatus) -> Vec<(Asked, String)> {
    let filter = if subscription.filter.is_empty() { "every flow" } else { &subscription.filter };
    let mut parts = vec![(Asked::Event, format!("event   {}", subscription.event)), (Asked::Filter, format!("filter  {filter}"))];
    if let (Some(cap), Some(over)) = (subscription.body_cap, subscription.over_cap) {
        parts.push((Asked::Body, format!("body    whole, up to {cap} bytes, beyond: {over}")));
    }
    parts
}

/// One thing that is asked for. The text is the addon's, and cannot make lines of its own.
fn line(out: &mut impl Write, asked: &str, is_granted: bool) -> std::io::Result<()> {
    let escape = |shown: char| if shown.is_control() { shown.escape_default().collect() } else { shown.to_string() };
    let asked: String = asked.chars().map(escape).collect();
    let answer = if is_granted { "granted" } else { "NOT GRANTED" };
    writeln!(out, "  {asked:60} {answer}")
}

/// One a line, as the configuration would have them.
fn settings_of(out: &mut impl Write, settings: &serde_json::Map<String, Value>) -> std::io::Result<()> {
    settings.iter().try_for_each(|(key, value)| writeln!(out, "  {key:16} = {value}"))
}
