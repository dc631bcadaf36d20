//! Messages: no threads, and reactions of one emoji.

use crate::{emoji, object::Object, options::Settings, refusal::Refused};

/// Of the specification, and what clients sent before it had them.
const THREADS: [&str; 2] = ["m.thread", "io.element.thread"];

/// The event that is redacted in this way, too: for the rule of redactions.
pub(crate) fn check(settings: &Settings, kind: &str, body: &[u8]) -> Result<Option<String>, Refused> {
    let rules = &settings.rules;
    if !(rules.threads || rules.reactions || rules.redactions) {
        return Ok(None);
    }
    let content = Object::of_body(body)?;
    if let Some(relation) = content.object("m.relates_to")? {
        let is = relation.string("rel_type")?.unwrap_or_default();
        if rules.threads && THREADS.contains(&is.as_str()) {
            return Err(Refused::new(400, "M_FORBIDDEN", &settings.texts.threads));
        }
        if rules.reactions && kind == "m.reaction" && !is_reaction(&relation, &is)? {
            return Err(Refused::bad_json(&settings.texts.reactions));
        }
    }
    if rules.redactions && kind == "m.room.redaction" { content.string("redacts") } else { Ok(None) }
}

/// Whether it reacts with one emoji. Without a key, or with a blank one, it does not react, and the homeserver may judge it.
fn is_reaction(relation: &Object<'_>, kind: &str) -> Result<bool, Refused> {
    let Some(_) = relation.get("key")? else { return Ok(true) };
    let Some(key) = relation.string("key")? else { return Ok(false) };
    Ok(key.trim().is_empty() || (kind == "m.annotation" && emoji::is_one(&key)))
}
