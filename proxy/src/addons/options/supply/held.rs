//! A document that stands over what was put and over what the source shows, for a while.

use std::sync::Arc;

use super::{Choice, Content, Document, Inner, Look, Offer, OptionsSource, Origin, Supply, Taken};

/// What is held, and what was or would be in force without it.
pub(super) struct Held {
    document: Document,
    before: Option<Taken>,
    /// Whether the source showed something else meanwhile: then it goes before what was put.
    is_superseded: bool,
    news: Option<News>,
}

/// What a server had meanwhile.
struct News {
    url: Arc<str>,
    document: Document,
    content: Content,
    etag: Option<String>,
}

/// What was in force before a document was held.
pub(in crate::addons) struct Before(Option<Taken>);

impl Held {
    /// The held document, whatever the source shows; that is kept in mind.
    pub(super) fn instead_of(&mut self, source: &OptionsSource, offer: Offer, is_changed: bool) -> Choice {
        self.is_superseded |= is_changed;
        if let (OptionsSource::Url(url), Origin::Server { content, etag }, Ok(document)) = (source, offer.origin, offer.document)
        {
            self.news = Some(News { url: Arc::clone(url.address()), document, content, etag });
        }
        Choice { document: Ok(self.document.clone()), origin: Origin::Held }
    }
}

impl Supply {
    /// From now on it is this document, in force since the `number`th change of all.
    pub(in crate::addons) fn hold(&self, source: &OptionsSource, document: &Document, number: u64) {
        {
            let mut inner = self.inner.lock();
            let before = inner.taken.take();
            inner.held = Some(Held { document: document.clone(), before, is_superseded: false, news: None });
        }
        self.took(source, &Origin::Held, document, number);
    }

    pub(in crate::addons) fn is_held(&self) -> bool {
        self.inner.lock().held.is_some()
    }

    /// What to try if nothing were held: [`Self::choose`] as it would have been all the while.
    pub(in crate::addons) fn base(&self, source: &OptionsSource, mut offer: Offer) -> Choice {
        let mut inner = self.inner.lock();
        let mut is_changed = inner.saw(source, offer.look);
        if let Some(held) = &mut inner.held {
            is_changed |= held.is_superseded;
            if let (Some(news), OptionsSource::Url(url)) = (held.news.take(), source)
                && news.url == *url.address()
            {
                let origin = Origin::Server { content: news.content, etag: news.etag };
                offer = Offer { document: Ok(news.document), origin, look: Look::Content(news.content) };
            }
        }
        match &inner.put {
            Some(put) if !is_changed => Choice { document: Ok(put.clone()), origin: Origin::Put },
            _ => Choice { document: offer.document, origin: offer.origin },
        }
    }

    /// Nothing is held any more; none if nothing was.
    pub(in crate::addons) fn let_go(&self) -> Option<Before> {
        self.inner.lock().held.take().map(|held| Before(held.before))
    }

    /// What was in force before is so again, since the `number`th change of all.
    pub(in crate::addons) fn took_back(&self, before: Before, number: u64) {
        let taken = before.0.map(|taken| Taken { generation: number, since: std::time::SystemTime::now(), ..taken });
        self.inner.lock().taken = taken;
    }

    /// What goes over to the same addon, should its file come back while something is held; none if nothing is.
    pub(in crate::addons) fn heir(&self) -> Option<Self> {
        let mut inner = self.inner.lock();
        let held = inner.held.take()?;
        let (put, seen, good) = (inner.put.take(), inner.seen.take(), inner.good.take());
        let inner = Inner { put, seen, good, held: Some(held), ..Inner::default() };
        Some(Self { inner: parking_lot::Mutex::new(inner), ..Self::default() })
    }
}
