//! The hooks of one event type, one after the other, and nothing of where they get what they need.

use std::fmt;

use tollgate_sdk::{EditError, log};

use crate::document::{
    OnTrouble,
    action::{Action, Call, Changes, Deed, MAX_DEPTH, Then},
    hook::{Hook, Stage},
    reply::Reply,
};

/// A flow, as hooks act upon it.
pub(crate) trait Exchange {
    /// Who asks; none if nobody or nobody knows.
    fn user(&mut self) -> Option<&str>;
    /// Puts this into the message of the stage.
    fn modify(&mut self, changes: &Changes) -> Result<(), Trouble>;
    /// Puts this in the place of the homeserver's response; only after.
    fn replace(&mut self, reply: &Reply);
    /// Asks a service, retries included, and waits for what it wants to be done. The hook's name is what the service is told.
    fn consult(&mut self, hook: &str, call: &Call) -> Result<Deed, Trouble>;
    /// Tells a service, later, how the message stands now.
    fn defer(&mut self, hook: &str, call: &Call);
}

/// Why a hook can't be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The body of the message of this stage is no JSON object.
    NoObject(Stage),
    /// The message of this stage is a part of a whole, which can't be changed.
    Part(Stage),
    /// A service was asked and there is no answer that can be carried out.
    Consultation(String),
    /// The core took an edit not.
    Edit(EditError),
}

/// What the hooks of one event type came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// The flow goes on.
    Passed,
    /// This is the answer, and the end of it.
    Answered(Reply),
    /// A hook could not be carried out; this is the answer.
    Failed(Reply),
}

/// What one hook came to.
struct Done {
    reply: Option<Reply>,
    skips: bool,
}

/// Runs those of the hooks that are for the flow's user; they are known to be for its method and path.
///
/// Before, an answer ends all; after, it takes the place of the response, and later hooks see that.
pub(crate) fn run<'t, E: Exchange>(
    stage: Stage,
    hooks: impl IntoIterator<Item = &'t Hook>,
    on_trouble: OnTrouble,
    exchange: &mut E,
) -> Run {
    for hook in hooks {
        if hook.has_user_rule() && !hook.is_for_user(exchange.user()) {
            continue;
        }
        match (carry_out(&hook.id, &hook.deed, 0, exchange), stage) {
            (Ok(Done { reply: Some(reply), .. }), Stage::Before) => {
                log::debug!(hook = hook.id.as_str(), status = reply.status; "answered");
                return Run::Answered(reply);
            }
            (Ok(Done { reply, skips }), _) => {
                if let Some(reply) = reply {
                    exchange.replace(&reply);
                }
                if skips {
                    break;
                }
            }
            (Err(trouble), _) => {
                log::warn!(hook = hook.id.as_str(); "hook not carried out: {trouble}");
                if on_trouble == OnTrouble::Refuse {
                    return Run::Failed(trouble.into_reply(stage));
                }
            }
        }
    }
    Run::Passed
}

fn carry_out<E: Exchange>(hook: &str, deed: &Deed, depth: usize, exchange: &mut E) -> Result<Done, Trouble> {
    let skips = deed.skips;
    let consultation = match &deed.action {
        Action::Pass => return Ok(Done { reply: None, skips }),
        Action::Modify(changes) => {
            exchange.modify(changes)?;
            return Ok(Done { reply: None, skips });
        }
        Action::Answer(reply) => return Ok(Done { reply: Some(reply.clone()), skips }),
        Action::Consult(consultation) => consultation,
    };
    if depth == MAX_DEPTH {
        return Err(Trouble::Consultation(format!("more than {MAX_DEPTH} consultations led to one another")));
    }
    let depth = depth.saturating_add(1);
    let done = match &consultation.then {
        Then::GoOn { result } => {
            exchange.defer(hook, &consultation.call);
            let name = name(result, hook, "async-result");
            carry_out(&name, result, depth, exchange)
        }
        Then::Obey { contingency } => {
            let outcome = exchange.consult(hook, &consultation.call).and_then(|answer| {
                let name = name(&answer, hook, "unnamed-response");
                carry_out(&name, &answer, depth, exchange)
            });
            match (outcome, contingency) {
                (Err(trouble), Some(contingency)) => {
                    log::warn!(hook = hook; "contingency hook, since {trouble}");
                    let name = name(contingency, hook, "contingency");
                    carry_out(&name, contingency, depth, exchange)
                }
                (outcome, _) => outcome,
            }
        }
    };
    // Whoever says that nothing comes after is believed: the hook itself, or what it led to.
    done.map(|done| Done { skips: done.skips || skips, ..done })
}

/// What a nested hook is called towards services.
fn name(deed: &Deed, hook: &str, role: &str) -> String {
    deed.id.clone().unwrap_or_else(|| format!("{hook}-{role}"))
}

impl Trouble {
    /// What the client is answered.
    pub(crate) fn into_reply(self, stage: Stage) -> Reply {
        match (self, stage) {
            (Self::NoObject(Stage::Before), _) => Reply::error(400, "M_NOT_JSON", "The body of the request is not a JSON object"),
            (Self::NoObject(Stage::After), _) => {
                Reply::error(502, "M_UNKNOWN", "The body of the homeserver's response is not a JSON object")
            }
            (Self::Part(Stage::Before), _) => {
                Reply::error(400, "M_UNKNOWN", "The body of the request is a part of a whole (Content-Range)")
            }
            (Self::Part(Stage::After), _) => {
                Reply::error(502, "M_UNKNOWN", "The body of the homeserver's response is a part of a whole")
            }
            (_, Stage::Before) => Reply::error(503, "M_UNKNOWN", "Hook execution failed, cannot proceed"),
            (_, Stage::After) => Reply::error(503, "M_UNKNOWN", "After-hook execution failed, cannot proceed"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject(Stage::Before) => out.write_str("the body of the request is no JSON object"),
            Self::NoObject(Stage::After) => out.write_str("the body of the response is no JSON object"),
            Self::Part(Stage::Before) => out.write_str("the body of the request is a part of a whole, which can't be changed"),
            Self::Part(Stage::After) => out.write_str("the body of the response is a part of a whole, which can't be changed"),
            Self::Consultation(why) => write!(out, "the consultation failed: {why}"),
            Self::Edit(error) => error.fmt(out),
        }
    }
}

impl From<EditError> for Trouble {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}
