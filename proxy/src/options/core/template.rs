//! Replacements for what a regular expression finds, written as for Python's `re.sub`.

use regex::bytes::{Captures, Regex};

/// A replacement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// What this group found.
    Group(usize),
}

impl Template {
    /// Reads `\1`, `\g<1>`, `\g<name>` and `\\`; all else is text. Positions in errors are in characters from 0.
    pub(super) fn parse(text: &str, regex: &Regex) -> Result<Self, String> {
        let mut template = Self(Vec::new());
        let mut rest = text;
        while let Some((plain, escaped)) = rest.split_once('\\') {
            template.push_text(plain);
            let position = text.chars().count() - escaped.chars().count() - 1;
            let fail = |why: &str| format!("the replacement is wrong: position {position}: {why}");
            rest = if let Some(after) = escaped.strip_prefix('\\') {
                template.push_text("\\");
                after
            } else if let Some(after) = escaped.strip_prefix("g<") {
                let (name, after) = after.split_once('>').ok_or_else(|| fail("\\g< without >"))?;
                let group = match name.parse::<usize>() {
                    Ok(number) => Some(number).filter(|number| *number < regex.captures_len()),
                    Err(_) => regex.capture_names().position(|known| known == Some(name)),
                };
                template.0.push(Part::Group(group.ok_or_else(|| fail("the regular expression has no such group"))?));
                after
            } else {
                let digits = escaped.bytes().take(2).take_while(u8::is_ascii_digit).count();
                let (number, after) = escaped.split_at(digits);
                let group = number.parse::<usize>().map_err(|_| fail("only \\1 to \\99, \\g<…> and \\\\ are known"))?;
                if group == 0 || group >= regex.captures_len() {
                    return Err(fail("the regular expression has no such group"));
                }
                template.0.push(Part::Group(group));
                after
            };
        }
        template.push_text(rest);
        Ok(template)
    }

    fn push_text(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Part::Text(before)) => before.push_str(text),
            _ if text.is_empty() => {}
            _ => self.0.push(Part::Text(text.to_owned())),
        }
    }

    /// The text that every replacement starts with.
    pub(super) fn literal_start(&self) -> &str {
        if let Some(Part::Text(text)) = self.0.first() { text } else { "" }
    }

    /// Whether there is nothing but text.
    pub(super) fn is_literal(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The text with this in place of all that is found. None: it would be longer than `limit` bytes.
    pub(super) fn replace_all(&self, regex: &Regex, text: &[u8], limit: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(text.len());
        let mut end = 0;
        for captures in regex.captures_iter(text) {
            let found = captures.get(0)?;
            out.extend_from_slice(text.get(end..found.start())?);
            self.write(&captures, &mut out, limit)?;
            end = found.end();
        }
        out.extend_from_slice(text.get(end..)?);
        (out.len() <= limit).then_some(out)
    }

    fn write(&self, captures: &Captures<'_>, out: &mut Vec<u8>, limit: usize) -> Option<()> {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                // A group that took no part is empty.
                Part::Group(group) => out.extend_from_slice(captures.get(*group).map_or(&[], |found| found.as_bytes())),
            }
            if out.len() > limit {
                return None;
            }
        }
        Some(())
    }
}
