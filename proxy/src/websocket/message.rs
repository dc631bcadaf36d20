//! Messages put together from pieces, up to a cap.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};

use super::{close::Violation, deflate::Inflater, frame::Opening, text::Text};
use crate::http::{Hold, Holdings};

/// How much of a message is held, and what becomes of more.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Plain bytes.
    pub cap: usize,
    /// Whether a message over the cap ends the connection; else it goes on unseen.
    pub refuses: bool,
    /// How many times as large as its compressed bytes a message of more than 64 KiB may become; beyond that it counts as
    /// over the cap.
    pub ratio: u64,
    /// Longest message whose compressed bytes can go on as they are.
    pub window: usize,
}

/// A message, whole.
#[derive(Debug, Clone)]
pub struct Message {
    /// Whether it is text: then the bytes are UTF-8.
    pub is_text: bool,
    /// Without compression.
    pub data: Bytes,
    /// As it came, if it came compressed and can go on so.
    pub compressed: Option<Bytes>,
    /// Whether it came compressed.
    pub was_compressed: bool,
}

/// A part of a message that nobody is shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Fragment {
    /// With the first one; compressed if the bytes are.
    pub opening: Option<Opening>,
    /// Goes on as it is.
    pub data: Bytes,
    /// Whether the message ends with it.
    pub is_last: bool,
}

/// What a piece came to.
#[derive(Debug)]
pub enum Passed {
    /// More has to come.
    Nothing,
    /// A message for hooks.
    Message(Message),
    /// A part of a message over the cap.
    Fragment(Fragment),
    /// More is to be inflated than should be while others wait: [`Work::run`] does it, and then [`Assembler::resume`] tells what
    /// came of it.
    Unfinished(Work),
}

/// A piece of a message that takes long.
#[derive(Debug)]
pub struct Work {
    open: Box<Open>,
    rest: BytesMut,
    is_last: bool,
    bounds: Bounds,
}

/// Plain bytes that are made of one piece while others wait; about, and with no less than a piece of them.
const AT_ONCE: usize = 16 << 10;

/// Plain bytes that are free of the ratio.
const FREE: u64 = 64 << 10;

/// Compressed bytes that are held of a message whose plain bytes have this cap: blocks that are stored are longer than what is in
/// them.
const fn most_raw(cap: usize) -> usize {
    cap.saturating_add(cap / 8).saturating_add(1 << 10)
}

/// Puts messages of one side together.
#[derive(Debug)]
pub struct Assembler {
    bounds: Bounds,
    holdings: Arc<Holdings>,
    // Boxed: nothing of it is there between messages.
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    opening: Opening,
    inflater: Option<Inflater>,
    text: Option<Text>,
    /// What is held of it, without compression.
    plain: BytesMut,
    /// The same as it came, where it is compressed and can go on so.
    raw: Option<BytesMut>,
    raw_bytes: u64,
    plain_bytes: u64,
    hold: Hold,
    is_unseen: bool,
    has_begun: bool,
}

impl Assembler {
    /// For the messages of one side; what is held counts there.
    #[must_use]
    pub const fn new(bounds: Bounds, holdings: Arc<Holdings>) -> Self {
        Self { bounds, holdings, open: None }
    }

    /// Takes the next piece of a message. After [`Passed::Unfinished`], none before [`Self::resume`].
    ///
    /// # Errors
    /// When the message cannot go on, as soon as that is known.
    pub fn push(&mut self, opening: Option<Opening>, payload: BytesMut, is_last: bool) -> Result<Passed, Violation> {
        if let Some(opening) = opening {
            let is_raw = opening.is_compressed;
            self.open = Some(Box::new(Open {
                opening,
                inflater: opening.is_compressed.then(Inflater::default),
                text: opening.is_text.then(Text::default),
                plain: BytesMut::new(),
                raw: is_raw.then(BytesMut::new),
                raw_bytes: 0,
                plain_bytes: 0,
                hold: self.holdings.hold(),
                is_unseen: false,
                has_begun: false,
            }));
        }
        let Some(mut open) = self.open.take() else { return Err(Violation::Protocol("a continuation of nothing")) };
        match open.take(payload, is_last, self.bounds, AT_ONCE)? {
            Some(rest) => Ok(Passed::Unfinished(Work { open, rest, is_last, bounds: self.bounds })),
            None => self.passed(open, is_last),
        }
    }

    /// What came of a piece that took long.
    ///
    /// # Errors
    /// When the message cannot go on.
    pub fn resume(&mut self, work: Work) -> Result<Passed, Violation> {
        self.passed(work.open, work.is_last)
    }

    fn passed(&mut self, mut open: Box<Open>, is_last: bool) -> Result<Passed, Violation> {
        if open.text.as_ref().is_some_and(|text| is_last && !text.is_whole()) {
            return Err(Violation::Data("text that ends within a character"));
        }
        if open.is_unseen {
            let fragment = open.fragment(is_last);
            self.open = Some(open).filter(|_| !is_last);
            return Ok(fragment.map_or(Passed::Nothing, Passed::Fragment));
        }
        if !is_last {
            self.open = Some(open);
            return Ok(Passed::Nothing);
        }
        Ok(Passed::Message(open.message(self.bounds.window)))
    }
}

impl Work {
    /// Does it, to its end.
    ///
    /// # Errors
    /// When the message cannot go on.
    pub fn run(mut self) -> Result<Self, Violation> {
        let rest = std::mem::take(&mut self.rest);
        self.open.inflate(rest, self.is_last, self.bounds, usize::MAX)?;
        Ok(self)
    }
}

impl Open {
    /// Takes a piece; about so much is made of it if it is compressed, and what is left then comes back.
    fn take(&mut self, payload: BytesMut, is_last: bool, bounds: Bounds, most: usize) -> Result<Option<BytesMut>, Violation> {
        self.raw_bytes += payload.len() as u64;
        if self.inflater.is_none() {
            if !self.is_unseen && self.plain.is_empty() && payload.len() <= bounds.cap {
                self.hold.grow(payload.len()).map_err(|_| Violation::Crowded)?;
                check(&mut self.text, &payload)?;
                self.plain = payload;
                return Ok(None);
            }
            return self.plain(&payload, bounds).map(|()| None);
        }
        let raw = self.raw.as_ref().map_or(0, BytesMut::len).saturating_add(payload.len());
        if !self.is_unseen && raw > most_raw(bounds.cap) {
            self.over_cap(bounds)?;
        }
        if let Some(raw) = &mut self.raw {
            self.hold.grow(payload.len()).map_err(|_| Violation::Crowded)?;
            raw.extend_from_slice(&payload);
        }
        self.inflate(payload, is_last, bounds, most)
    }

    /// What is left comes back.
    fn inflate(
        &mut self,
        mut payload: BytesMut,
        is_last: bool,
        bounds: Bounds,
        most: usize,
    ) -> Result<Option<BytesMut>, Violation> {
        let Some(mut inflater) = self.inflater.take() else { return Ok(None) };
        let taken = inflater.push(&payload, most, |plain| self.plain(plain, bounds))?;
        if let Some(taken) = taken {
            self.inflater = Some(inflater);
            payload.advance(taken);
            return Ok(Some(payload));
        }
        if is_last {
            return inflater.end(|plain| self.plain(plain, bounds)).map(|()| None);
        }
        self.inflater = Some(inflater);
        Ok(None)
    }

    /// Takes plain bytes: holds them, or passes them if more are held than may be.
    fn plain(&mut self, bytes: &[u8], bounds: Bounds) -> Result<(), Violation> {
        check(&mut self.text, bytes)?;
        self.plain_bytes += bytes.len() as u64;
        let is_bomb = self.opening.is_compressed && self.plain_bytes > FREE.max(self.raw_bytes.saturating_mul(bounds.ratio));
        if !self.is_unseen && (self.plain.len() + bytes.len() > bounds.cap || is_bomb) {
            self.over_cap(bounds)?;
        }
        if !(self.is_unseen && self.raw.is_some()) {
            self.hold.grow(bytes.len()).map_err(|_| Violation::Crowded)?;
            self.plain.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// From now on nobody is shown the message, if it may go on at all.
    fn over_cap(&mut self, bounds: Bounds) -> Result<(), Violation> {
        if bounds.refuses {
            return Err(Violation::TooLarge(bounds.cap));
        }
        self.is_unseen = true;
        if bounds.window < usize::MAX {
            // It was made for a window that the other side may not have.
            self.raw = None;
        }
        if self.raw.is_some() {
            self.plain = BytesMut::new();
        }
        Ok(())
    }

    /// What goes on unseen now.
    fn fragment(&mut self, is_last: bool) -> Option<Fragment> {
        let is_compressed = self.raw.is_some();
        let data = std::mem::take(self.raw.as_mut().unwrap_or(&mut self.plain)).freeze();
        if data.is_empty() && !is_last {
            return None;
        }
        let fresh = self.hold.fresh();
        let data = std::mem::replace(&mut self.hold, fresh).keep(data);
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let opening = is_first.then_some(Opening { is_compressed, ..self.opening });
        Some(Fragment { opening, data, is_last })
    }

    fn message(self, window: usize) -> Message {
        let is_text = self.opening.is_text;
        let compressed = self.raw.filter(|_| self.plain.len() <= window).map(BytesMut::freeze);
        Message { is_text, data: self.hold.keep(self.plain.freeze()), compressed, was_compressed: self.opening.is_compressed }
    }
}

fn check(text: &mut Option<Text>, bytes: &[u8]) -> Result<(), Violation> {
    let is_good = text.as_mut().is_none_or(|text| text.push(bytes));
    if is_good { Ok(()) } else { Err(Violation::Data("text that is not UTF-8")) }
}
