//! An addon that shows which generation of it a flow saw.

use serde_json::{Value, json};

use super::Hosted;
use crate::client::Answer;

/// Options of the scripted guest: `X-Asked` and `X-Answered` of the response show this tag, the build and the generation, as the
/// request hook and as the response hook saw them.
#[must_use]
pub fn versioned(tag: &str) -> Value {
    json!({"tag": tag, "rules": [
        {"on": "request", "do": [{"note": ["asked", "{tag} {build} {generation}"]}]},
        {"on": "response", "do": [{"set": ["X-Asked", "{note:asked}"]}, {"set": ["X-Answered", "{tag} {build} {generation}"]}]},
    ]})
}

/// Whether the answer is of a flow that saw one generation.
///
/// # Errors
/// What the flow saw instead, if two or none.
pub fn seen_whole(answer: &Answer) -> Result<(), String> {
    match (answer.status.as_u16(), answer.header("x-asked"), answer.header("x-answered")) {
        (200, Some(asked), Some(answered)) if asked == answered => Ok(()),
        (status, asked, answered) => Err(format!("{status}, asked {asked:?}, answered {answered:?}")),
    }
}

/// Whether the answer is of a flow that saw one generation or no addon at all.
///
/// # Errors
/// What the flow saw instead.
pub fn seen_whole_if_at_all(answer: &Answer) -> Result<(), String> {
    let is_alone = !answer.headers.contains_key("x-asked") && !answer.headers.contains_key("x-answered");
    if is_alone && answer.status == 200 { Ok(()) } else { seen_whole(answer) }
}

impl Hosted {
    /// What `X-Answered` of the next flow shows, or `nobody`.
    pub async fn answered(&self) -> String {
        self.get("/").await.header("x-answered").unwrap_or("nobody").to_owned()
    }
}
