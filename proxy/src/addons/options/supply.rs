//! What is known about the options of one addon: what was put, what its source showed, and when a server is asked again.

mod held;
mod rhythm;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    super::{
        component::LoadError,
        settings::{OptionsSource, OptionsUrl},
    },
    Content, Copy, Document, Had, OptionsSourceKind, OptionsStatus, content,
};
use held::Held;
use rhythm::Rhythm;

/// The supply of one addon with options.
#[derive(Default)]
pub(in crate::addons) struct Supply {
    /// Held from a request to a server until what came of it is in force: no older document overtakes a newer one.
    pub(in crate::addons) fetching: tokio::sync::Mutex<()>,
    /// Told when the next request may be due at another time.
    pub(in crate::addons) changed: Notify,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    put: Option<Document>,
    held: Option<Held>,
    seen: Option<Seen>,
    good: Option<Good>,
    refused: Option<Refused>,
    taken: Option<Taken>,
    error: Option<String>,
    had: Option<SystemTime>,
    rhythm: Rhythm,
    is_followed: bool,
    fetches: Fetches,
}

/// What the source showed when it was last looked at.
struct Seen {
    source: OptionsSource,
    look: Look,
}

/// A server's document that was in force.
struct Good {
    url: Arc<str>,
    copy: Copy,
}

/// A server's document that could not be put in force: it is not tried again as long as nothing else changes.
struct Refused {
    url: Arc<str>,
    content: Content,
    etag: Option<String>,
}

/// What is in force.
struct Taken {
    kind: OptionsSourceKind,
    document: Document,
    content: Content,
    etag: Option<String>,
    is_copy: bool,
    since: SystemTime,
    generation: u64,
}

#[derive(Default)]
struct Fetches {
    new: u64,
    unchanged: u64,
    refused: u64,
    failed: u64,
}

/// What a source shows.
pub(in crate::addons) struct Offer {
    pub(in crate::addons) document: Result<Document, LoadError>,
    pub(in crate::addons) origin: Origin,
    pub(in crate::addons) look: Look,
}

/// What somebody saw who looked at a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::addons) enum Look {
    /// Nobody looked, or the source was not to be seen.
    Unseen,
    /// There is nothing that can be read.
    Nothing,
    /// This.
    Content(Content),
}

/// Where a document comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::addons) enum Origin {
    /// Somebody put it.
    Put,
    /// It is held for a while.
    Held,
    /// The configuration or a file.
    Configured,
    /// A server, just now.
    Server { content: Content, etag: Option<String> },
    /// A server, and it is in force already.
    Kept { etag: Option<String> },
    /// A server, before this process began.
    Disk { content: Content, etag: Option<String>, had: SystemTime },
    /// A server that had none.
    Nowhere,
}

/// The document to be tried.
pub(in crate::addons) struct Choice {
    pub(in crate::addons) document: Result<Document, LoadError>,
    pub(in crate::addons) origin: Origin,
}

impl Offer {
    /// Nothing, and nobody looked.
    pub(in crate::addons) const fn none(error: LoadError) -> Self {
        Self { document: Err(error), origin: Origin::Nowhere, look: Look::Unseen }
    }
}

impl Supply {
    /// What to try of what the source shows and what was put: the latter, unless the source shows something else than before. While
    /// a document is held, it is that, and what the source shows is remembered.
    pub(in crate::addons) fn choose(&self, source: &OptionsSource, offer: Offer) -> Choice {
        let mut inner = self.inner.lock();
        let is_changed = inner.saw(source, offer.look);
        if let Some(held) = &mut inner.held {
            return held.instead_of(source, offer, is_changed);
        }
        match &inner.put {
            Some(put) if !is_changed => Choice { document: Ok(put.clone()), origin: Origin::Put },
            _ => Choice { document: offer.document, origin: offer.origin },
        }
    }

    /// What a server shows: what it had now, if it was asked, else what it had last.
    pub(in crate::addons) fn offer(&self, url: &OptionsUrl, had: Option<Result<Had, LoadError>>) -> Offer {
        match had {
            Some(Ok(Had::New { bytes, etag })) => {
                let content = content(&bytes);
                let document = Document::read(&bytes).map_err(LoadError::OptionsSyntax);
                Offer { document, origin: Origin::Server { content, etag }, look: Look::Content(content) }
            }
            Some(Err(error)) => Offer::none(error),
            Some(Ok(Had::Unchanged)) | None => {
                let Some(Copy { document, etag, content }) = self.good(url) else {
                    let why = "it was not asked yet".to_owned();
                    return Offer::none(LoadError::Fetch { url: url.shown().to_owned(), why });
                };
                let look = if had.is_some() { Look::Content(content) } else { Look::Unseen };
                Offer { document: Ok(document), origin: Origin::Kept { etag }, look }
            }
        }
    }

    /// A document is in force, since the `number`th change of all if it was not before.
    pub(in crate::addons) fn took(&self, source: &OptionsSource, origin: &Origin, document: &Document, number: u64) {
        let mut inner = self.inner.lock();
        let kind = match origin {
            Origin::Put => OptionsSourceKind::Put,
            Origin::Held => OptionsSourceKind::Lock,
            _ => OptionsStatus::of(source).source,
        };
        let etag = match origin {
            Origin::Server { content, etag } | Origin::Disk { content, etag, .. } => {
                if let OptionsSource::Url(url) = source {
                    let copy = Copy { document: document.clone(), etag: etag.clone(), content: *content };
                    inner.good = Some(Good { url: Arc::clone(url.address()), copy });
                }
                etag.clone()
            }
            Origin::Kept { etag } => etag.clone(),
            _ => None,
        };
        match origin {
            Origin::Held => {}
            Origin::Kept { .. } => inner.put = None,
            Origin::Put => inner.put = Some(document.clone()),
            Origin::Disk { had, .. } => (inner.put, inner.had) = (None, Some(*had)),
            _ => {
                (inner.put, inner.error, inner.refused) = (None, None, None);
                inner.rhythm.went_well();
            }
        }
        let is_kept_copy = matches!(origin, Origin::Kept { .. }) && inner.taken.as_ref().is_some_and(|taken| taken.is_copy);
        let before = inner.taken.take().filter(|taken| taken.document.text == document.text && taken.kind == kind);
        let (since, generation) = before.map_or_else(|| (SystemTime::now(), number), |taken| (taken.since, taken.generation));
        inner.taken = Some(Taken {
            kind,
            document: document.clone(),
            content: content(document.text.as_bytes()),
            etag,
            is_copy: is_kept_copy || matches!(origin, Origin::Disk { .. }),
            since,
            generation,
        });
    }

    /// A document of the source cannot be put in force.
    pub(in crate::addons) fn refused(&self, source: &OptionsSource, origin: &Origin, error: &LoadError) {
        let mut inner = self.inner.lock();
        match (origin, source) {
            (Origin::Server { content, etag }, OptionsSource::Url(url)) => {
                inner.refused = Some(Refused { url: Arc::clone(url.address()), content: *content, etag: etag.clone() });
                inner.fetches.refused += 1;
                inner.rhythm.failed();
                inner.error = Some(error.to_string());
            }
            (Origin::Configured, _) => inner.error = Some(error.to_string()),
            _ => {}
        }
    }

    /// Why what the source has is not in force.
    pub(in crate::addons) fn error(&self) -> Option<String> {
        self.inner.lock().error.clone()
    }

    /// The server's document that was last in force, if it was this server's.
    pub(in crate::addons) fn good(&self, url: &OptionsUrl) -> Option<Copy> {
        self.inner.lock().good.as_ref().filter(|good| good.url == *url.address()).map(|good| good.copy.clone())
    }

    /// What was refused may be to the liking of new code, or of somebody who asks for it.
    pub(in crate::addons) fn forgive(&self) {
        self.inner.lock().refused = None;
    }

    /// What the server called the document that it last showed.
    pub(in crate::addons) fn etag(&self, url: &OptionsUrl) -> Option<String> {
        let inner = self.inner.lock();
        match inner.refused.as_ref().filter(|refused| refused.url == *url.address()) {
            Some(refused) => refused.etag.clone(),
            None => inner.good.as_ref().filter(|good| good.url == *url.address()).and_then(|good| good.copy.etag.clone()),
        }
    }

    /// Whether the server did not show this when it was last asked.
    pub(in crate::addons) fn is_news(&self, url: &OptionsUrl, content: &Content) -> bool {
        let inner = self.inner.lock();
        match inner.refused.as_ref().filter(|refused| refused.url == *url.address()) {
            Some(refused) => refused.content != *content,
            None => inner.good.as_ref().is_none_or(|good| good.url != *url.address() || good.copy.content != *content),
        }
    }

    /// The server has a document. A failure, if it was one, is over.
    pub(in crate::addons) fn had_new(&self, url: &Arc<OptionsUrl>) {
        let mut inner = self.inner.lock();
        inner.had = Some(SystemTime::now());
        inner.fetches.new += 1;
        inner.rhythm.asked(url);
    }

    /// The server has what it had. Tells whether that is in force or was, and not refused.
    pub(in crate::addons) fn had_same(&self, url: &Arc<OptionsUrl>) -> bool {
        let mut inner = self.inner.lock();
        inner.had = Some(SystemTime::now());
        inner.fetches.unchanged += 1;
        inner.rhythm.asked(url);
        if inner.refused.as_ref().is_some_and(|refused| refused.url == *url.address()) {
            inner.rhythm.failed();
            return false;
        }
        inner.rhythm.went_well();
        inner.error = None;
        if let Some(taken) = &mut inner.taken {
            taken.is_copy = false;
        }
        true
    }

    /// The server has none.
    pub(in crate::addons) fn had_none(&self, url: &Arc<OptionsUrl>, error: &LoadError) {
        let mut inner = self.inner.lock();
        inner.fetches.failed += 1;
        inner.rhythm.asked(url);
        inner.rhythm.failed();
        inner.error = Some(error.to_string());
    }

    /// Whether the server is to be asked now.
    pub(in crate::addons) fn is_due(&self, url: &Arc<OptionsUrl>) -> bool {
        self.inner.lock().rhythm.wait(url, Instant::now()).is_zero()
    }

    /// Whether the caller is the one to ask the server from now on.
    pub(in crate::addons) fn claim_following(&self) -> bool {
        !std::mem::replace(&mut self.inner.lock().is_followed, true)
    }

    /// How long until the server is to be asked; none ends the claim. `source` is called while nobody else can claim.
    pub(in crate::addons) fn next(&self, source: impl FnOnce() -> Option<OptionsSource>) -> Option<Duration> {
        let mut inner = self.inner.lock();
        let wait = match source() {
            Some(OptionsSource::Url(url)) => Some(inner.rhythm.wait(&url, Instant::now())),
            _ => None,
        };
        inner.is_followed = wait.is_some();
        wait
    }

    /// For the admin interface: what was forgiven in the document in force, and the rest.
    pub(in crate::addons) fn status(&self, source: &OptionsSource) -> (Vec<String>, OptionsStatus) {
        let inner = self.inner.lock();
        let mut status = OptionsStatus::of(source);
        let is_server = matches!(source, OptionsSource::Url(_));
        status.error.clone_from(&inner.error);
        if is_server {
            status.had_milliseconds = inner.had.map(milliseconds);
            status.age_seconds = inner.had.map(|had| had.elapsed().unwrap_or_default().as_secs());
            status.fetches = Some(inner.fetches.counts());
        }
        let Some(taken) = &inner.taken else { return (Vec::new(), status) };
        status.source = taken.kind;
        status.generation = taken.generation;
        status.since_milliseconds = Some(milliseconds(taken.since));
        status.sha256 = Some(OptionsStatus::hash(&taken.content));
        status.etag.clone_from(&taken.etag);
        status.is_copy = taken.is_copy;
        (taken.document.warnings.to_vec(), status)
    }
}

impl Inner {
    // Whether the source shows something else than when it was last looked at.
    fn saw(&mut self, source: &OptionsSource, look: Look) -> bool {
        if look == Look::Unseen {
            return false;
        }
        let is_same = self.seen.as_ref().is_some_and(|seen| seen.source.is_same_place(source) && seen.look == look);
        self.seen = Some(Seen { source: source.clone(), look });
        !is_same
    }
}

impl Fetches {
    fn counts(&self) -> std::collections::BTreeMap<&'static str, u64> {
        [("new", self.new), ("unchanged", self.unchanged), ("refused", self.refused), ("failed", self.failed)].into()
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
