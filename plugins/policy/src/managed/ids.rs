//! Matrix identifiers, as far as a policy names them (Matrix specification, appendices 4.2).

/// Bytes of an identifier.
const MAX_BYTES: usize = 255;

/// Whether it is a user ID: `@localpart:server`.
pub(crate) fn check_user(id: &str) -> Result<(), &'static str> {
    const EXPECTED: &str = "must be a user ID like @me:example.org of at most 255 bytes";
    let (local, server) = id.strip_prefix('@').and_then(|id| id.split_once(':')).ok_or(EXPECTED)?;
    let is_legal = !local.is_empty() && !server.is_empty() && is_plain(id);
    if is_legal { Ok(()) } else { Err(EXPECTED) }
}

/// Whether it is a room ID: `!opaque`, in most room versions with a server behind.
pub(super) fn check_room(id: &str) -> Result<(), &'static str> {
    let is_legal = id.strip_prefix('!').is_some_and(|opaque| !opaque.is_empty()) && is_plain(id);
    if is_legal { Ok(()) } else { Err("must be a room ID like !id:example.org of at most 255 bytes") }
}

fn is_plain(id: &str) -> bool {
    id.len() <= MAX_BYTES && !id.chars().any(|character| character.is_control() || character.is_whitespace())
}
