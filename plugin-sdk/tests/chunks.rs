//! Chunk hooks in the harness.

use tollgate_sdk::{
    Addon, Change, Chunk, ChunkAction, ChunkVerdict, EditError, Error, Event, Flow, NoOptions, OptionErrors, Request, Response,
    Subscription,
    serde_json::json,
    testing::{Harness, HookFailure, TestRequest, TestResponse},
};

/// Sends a body on in whole lines, and counts them in a trailer.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    count: usize,
}

impl Addon for Lines {
    type Options = NoOptions;

    fn configure(_: NoOptions) -> Result<Self, OptionErrors> {
        Ok(Self::default())
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::to(Event::RequestChunk), Subscription::to(Event::ResponseChunk).with_body()]
    }

    fn request_chunk(&mut self, _flow: &Flow, request: &Request<'_>, chunk: Chunk) -> Result<ChunkVerdict, Error> {
        request.set_trailer("X-Early", "1")?;
        Ok(if chunk.is_last { ChunkVerdict::pass() } else { ChunkVerdict::hold() })
    }

    fn response_chunk(
        &mut self,
        _: &Flow,
        _: &Request<'_>,
        response: &Response<'_>,
        chunk: Chunk,
    ) -> Result<ChunkVerdict, Error> {
        self.rest.extend(chunk.data);
        let end = if chunk.is_last {
            self.rest.len()
        } else {
            self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
        };
        let lines: Vec<u8> = self.rest.drain(..end).collect();
        self.count += String::from_utf8_lossy(&lines).matches('\n').count();
        if chunk.is_last {
            assert_eq!(response.trailers(), [("x-sum".to_owned(), b"1".to_vec())]);
            response.set_trailer("X-Lines", self.count.to_string())?;
            assert_eq!(response.set_trailer("Content-Length", "1"), Err(EditError::Forbidden("content-length".to_owned())));
            assert_eq!(response.set_trailer("Set-Cookie", "1"), Err(EditError::Forbidden("set-cookie".to_owned())));
            response.remove_trailer("X-Sum")?;
        }
        Ok(if lines.is_empty() { ChunkVerdict::hold() } else { ChunkVerdict::replace(lines) })
    }
}

fn piece(text: &str, is_last: bool) -> Chunk {
    Chunk { data: text.as_bytes().to_vec(), is_last }
}

#[test]
fn pieces_are_held_and_released_and_trailers_edited_at_the_end() -> Result<(), OptionErrors> {
    let harness = Harness::<Lines>::configure(json!({}))?;
    let mut flow = harness.flow(TestRequest::get("/"));
    let mut response = TestResponse::new(200);
    response.trailers = vec![("x-sum".to_owned(), b"1".to_vec())];
    assert!(flow.response(response).is_ok());
    for (text, is_last, action) in [
        ("one", false, ChunkAction::Drop),
        (" line\nand", false, ChunkAction::Replace(b"one line\n".to_vec())),
        ("", true, ChunkAction::Replace(b"and".to_vec())),
    ] {
        assert_eq!(flow.response_chunk(piece(text, is_last)).map(|verdict| verdict.action), Ok(action), "{text}");
    }
    assert_eq!(flow.staged_response().trailers, [("X-Lines".to_owned(), b"1".to_vec())]);
    Ok(())
}

#[test]
fn pieces_of_a_part_are_not_changed() -> Result<(), OptionErrors> {
    let harness = Harness::<Lines>::configure(json!({}))?;
    let mut flow = harness.flow(TestRequest::get("/"));
    assert!(flow.response(TestResponse::new(206).with_header("Content-Range", "bytes 0-2/9")).is_ok());
    assert!(matches!(flow.response_chunk(piece("one", false)), Err(HookFailure::Verdict(_))));
    // One that does not say of what it is a part is whole.
    let mut flow = harness.flow(TestRequest::get("/"));
    assert!(flow.response(TestResponse::new(206)).is_ok());
    assert!(flow.response_chunk(piece("one", false)).is_ok());
    Ok(())
}

#[test]
fn trailers_wait_for_the_last_piece() -> Result<(), OptionErrors> {
    let harness = Harness::<Lines>::configure(json!({}))?;
    let mut flow = harness.flow(TestRequest::post("/"));
    assert!(matches!(flow.request_chunk(piece("a", false)), Err(HookFailure::Failed(_))));
    let mut flow = harness.flow(TestRequest::post("/"));
    assert_eq!(flow.request_chunk(piece("a", true)), Ok(ChunkVerdict::pass()));
    assert_eq!(flow.staged_request().trailers, [("X-Early".to_owned(), b"1".to_vec())]);
    let changes: Vec<_> = flow.mutations().iter().map(|mutation| (mutation.event.as_str(), &mutation.changes[..])).collect();
    assert!(matches!(changes[..], [("request-chunk", [Change::Headers { added, .. }])] if added == &["x-early"]), "{changes:?}");
    Ok(())
}
