//! What is done with pieces of bodies.

use std::mem;

use serde::Deserialize;
use tollgate_sdk::{Chunk, ChunkAction, ChunkVerdict, EditError, Error, Flow, Request, Response};

use crate::{Done, Given, Scripted, script::Action};

/// What can be done with a piece. Texts are templates.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Piece {
    /// Its letters become capitals.
    Upper,
    /// It comes twice.
    Double,
    /// So many bytes come in its place.
    Fill(usize),
    /// Nothing comes in its place.
    Discard,
    /// It is kept, and nothing comes in its place.
    Hold,
    /// What was kept comes before it.
    Release,
    /// No more pieces.
    Done,
    /// Sets a trailer.
    Trailer(String, String),
    /// Does this with the piece of this number, from 1, alone.
    Nth(u64, Vec<Action>),
    /// Does this with the last piece alone.
    Last(Vec<Action>),
}

/// What is known of a body while its pieces go by.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    kept: Vec<u8>,
    /// Pieces so far.
    pub(crate) seen: u64,
    /// Bytes so far.
    pub(crate) bytes: usize,
}

impl Scripted {
    /// The verdict of the matched rules upon a piece.
    pub(crate) fn piece(
        &mut self,
        flow: &Flow,
        request: &Request<'_>,
        response: Option<&Response<'_>>,
        chunk: &Chunk,
    ) -> Result<ChunkVerdict, Error> {
        let stream = self.stream(response.is_some());
        stream.seen += 1;
        stream.bytes += chunk.data.len();
        let mut verdict = ChunkVerdict::pass();
        for &index in flow.matched() {
            let actions: Vec<Action> = self.script.rules.get(index as usize).map(|rule| rule.actions.clone()).unwrap_or_default();
            self.cut(&actions, flow, request, response, chunk, &mut verdict)?;
        }
        Ok(verdict)
    }

    fn stream(&mut self, is_response: bool) -> &mut Stream {
        if is_response { &mut self.response } else { &mut self.request }
    }

    fn cut(
        &mut self,
        actions: &[Action],
        flow: &Flow,
        request: &Request<'_>,
        response: Option<&Response<'_>>,
        chunk: &Chunk,
        verdict: &mut ChunkVerdict,
    ) -> Result<(), Error> {
        for action in actions {
            let Action::Piece(piece) = action else {
                let mut given = Given::Piece(request, response, chunk);
                match self.act(action, flow, &mut given)? {
                    Done::Next => continue,
                    _ => return Err(Error::new("a piece has no such verdict")),
                }
            };
            let stream = self.stream(response.is_some());
            match piece {
                Piece::Upper => verdict.action = ChunkAction::Replace(chunk.data.to_ascii_uppercase()),
                Piece::Double => verdict.action = ChunkAction::Replace(chunk.data.repeat(2)),
                Piece::Fill(bytes) => verdict.action = ChunkAction::Replace(vec![b'p'; *bytes]),
                Piece::Discard => verdict.action = ChunkAction::Drop,
                Piece::Hold => {
                    stream.kept.extend_from_slice(&chunk.data);
                    verdict.action = ChunkAction::Drop;
                }
                Piece::Release => {
                    let mut kept = mem::take(&mut stream.kept);
                    kept.extend_from_slice(&chunk.data);
                    verdict.action = ChunkAction::Replace(kept);
                }
                Piece::Done => verdict.is_done = true,
                Piece::Trailer(name, value) => {
                    let value = self.fill(value, flow, &Given::Piece(request, response, chunk));
                    set_trailer(request, response, name, &value)?;
                }
                Piece::Nth(number, then) => {
                    if stream.seen == *number {
                        self.cut(then, flow, request, response, chunk, verdict)?;
                    }
                }
                Piece::Last(then) => {
                    if chunk.is_last {
                        self.cut(then, flow, request, response, chunk, verdict)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What a template shows of a piece.
    pub(crate) fn piece_value(&self, name: &str, argument: &str, given: &Given<'_, '_>) -> Option<String> {
        let Given::Piece(request, response, chunk) = given else { return None };
        let stream = if response.is_some() { &self.response } else { &self.request };
        Some(match name {
            "data" => String::from_utf8_lossy(&chunk.data).into_owned(),
            "size" => chunk.data.len().to_string(),
            "last" => chunk.is_last.to_string(),
            "pieces" => stream.seen.to_string(),
            "bytes" => stream.bytes.to_string(),
            "trailer" => {
                let trailers = response.map_or_else(|| request.trailers(), Response::trailers);
                let found = trailers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(argument));
                found.map_or_else(|| "none".to_owned(), |(_, value)| String::from_utf8_lossy(&value).into_owned())
            }
            _ => return None,
        })
    }
}

fn set_trailer(request: &Request<'_>, response: Option<&Response<'_>>, name: &str, value: &str) -> Result<(), EditError> {
    match response {
        Some(response) => response.set_trailer(name, value),
        None => request.set_trailer(name, value),
    }
}
