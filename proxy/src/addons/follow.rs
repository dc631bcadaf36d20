//! Options on servers: asked for when an addon is loaded, and again and again from then on.

use std::{
    sync::{Arc, Weak},
    time::SystemTime,
};

use tokio::{sync::MutexGuard, task::spawn_blocking, time::sleep};

use super::{
    changes::{Cause, Shared},
    component::LoadError,
    entry::Entry,
    options::{Choice, Copy, Had, Origin, content, copies, fetch},
    settings::{AddonSettings, OptionsSource, OptionsUrl, Settings},
};

impl Shared {
    /// What the server of an addon's options has, if it is to be asked for this load; no other request is made while the guard
    /// is held.
    pub(super) async fn fetch_for<'a>(
        &self,
        entry: &'a Entry,
        cause: &Cause,
    ) -> Option<(Result<Had, LoadError>, MutexGuard<'a, ()>)> {
        let source = || match self.settings().addon(&entry.name).options {
            OptionsSource::Url(url) => Some(url),
            _ => None,
        };
        let wants = |url: &OptionsUrl| match cause {
            Cause::Asked => true,
            Cause::File | Cause::OptionsFile => entry.supply.good(url).is_none(),
            Cause::Put(_) | Cause::Fetched => false,
        };
        if !matches!(cause, Cause::Put(_) | Cause::Fetched) {
            entry.supply.forgive();
        }
        source().filter(|url| wants(url))?;
        let fetching = entry.supply.fetching.lock().await;
        let url = source().filter(|url| wants(url))?;
        let had = self.fetch(entry, &url).await;
        Some((had, fetching))
    }

    async fn fetch(&self, entry: &Entry, url: &Arc<OptionsUrl>) -> Result<Had, LoadError> {
        let etag = entry.supply.etag(url);
        let had = fetch(self.engine(), url, etag.as_deref(), self.settings().max_options).await;
        match &had {
            Ok(Had::New { bytes, .. }) if entry.supply.is_news(url, &content(bytes)) => entry.supply.had_new(url),
            Ok(_) => {
                if entry.supply.had_same(url) {
                    self.confirm_copy(entry, url).await;
                }
            }
            Err(error) => {
                entry.supply.had_none(url, error);
                tracing::warn!(addon.name = &*entry.name, %error, "the options cannot be had; what was in force stays");
            }
        }
        had
    }

    /// From now on the server of the addon's options is asked at its interval, if there is one and nobody does so already.
    pub(super) fn follow(self: &Arc<Self>, entry: &Arc<Entry>) {
        let is_on_server = matches!(self.settings().addon(&entry.name).options, OptionsSource::Url(_));
        if is_on_server && entry.supply.claim_following() {
            tokio::spawn(follow(Arc::downgrade(self), Arc::clone(entry)));
        } else {
            entry.supply.changed.notify_one();
        }
    }

    async fn refresh(self: &Arc<Self>, entry: &Arc<Entry>) {
        let _fetching = entry.supply.fetching.lock().await;
        let OptionsSource::Url(url) = self.settings().addon(&entry.name).options else { return };
        // Somebody else may have asked meanwhile.
        if !entry.supply.is_due(&url) {
            return;
        }
        let had = tokio::select! {
            had = self.fetch(entry, &url) => had,
            () = self.stopped.cancelled() => return,
        };
        match had {
            Ok(Had::New { bytes, etag }) if entry.supply.is_news(&url, &content(&bytes)) => {
                let (shared, entry) = (Arc::clone(self), Arc::clone(entry));
                // On a task of its own: nothing may end a guest in the middle.
                let load = tokio::spawn(async move {
                    let had = Ok(Had::New { bytes, etag });
                    // What went wrong is in the log and in the status.
                    drop(shared.load_with(&entry, Cause::Fetched, Some(had)).await);
                });
                drop(load.await);
            }
            Err(error) if entry.current().is_none() => entry.end(Some(error.to_string())),
            _ => {}
        }
    }

    /// Puts the copy on disk in force, as there is nothing else. False if there is none that can be.
    pub(super) async fn take_copy(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        settings: &Settings,
        addon: &AddonSettings,
        cause: &Cause,
        why: &LoadError,
    ) -> bool {
        let OptionsSource::Url(url) = &addon.options else { return false };
        let (directory, name, address) = (copies(&settings.cache), Arc::clone(&entry.name), Arc::clone(url.address()));
        let limit = settings.max_options;
        let loaded = spawn_blocking(move || Copy::load(&directory, &name, &address, limit)).await;
        let (copy, had) = match loaded.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(Some(found)) => found,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(addon.name = &*entry.name, %error, "the last good copy of the options cannot be read");
                return false;
            }
        };
        let Copy { document, etag, content } = copy;
        let choice = Choice { document: Ok(document), origin: Origin::Disk { content, etag, had } };
        let age_seconds = SystemTime::now().duration_since(had).unwrap_or_default().as_secs();
        match self.attempt(entry, settings, addon, cause, choice).await {
            Ok(()) => {
                let url = url.shown();
                tracing::warn!(addon.name = &*entry.name, url, age_seconds, %why, "the last good copy of the options is in force");
                true
            }
            Err((error, _)) => {
                tracing::warn!(addon.name = &*entry.name, age_seconds, %error, "the last good copy of the options cannot be used");
                false
            }
        }
    }

    /// Keeps what is in force for a start at which the server has nothing.
    pub(super) async fn save_copy(&self, entry: &Entry, settings: &Settings, url: &OptionsUrl) {
        let Some(copy) = entry.supply.good(url) else { return };
        let (directory, name, address) = (copies(&settings.cache), Arc::clone(&entry.name), Arc::clone(url.address()));
        let saved = spawn_blocking(move || copy.save(&directory, &name, &address)).await;
        if let Err(error) = saved.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            tracing::warn!(addon.name = &*entry.name, %error, "no copy of the options can be kept");
        }
    }

    async fn confirm_copy(&self, entry: &Entry, url: &OptionsUrl) {
        let settings = self.settings();
        let (directory, name, address) = (copies(&settings.cache), Arc::clone(&entry.name), Arc::clone(url.address()));
        let confirmed = spawn_blocking(move || Copy::confirm(&directory, &name, &address)).await;
        // It may be gone.
        if !matches!(confirmed, Ok(Ok(()))) {
            self.save_copy(entry, &settings, url).await;
        }
    }
}

async fn follow(shared: Weak<Shared>, entry: Arc<Entry>) {
    loop {
        let Some(now) = shared.upgrade() else { return };
        let stopped = now.stopped.clone();
        let source = || (!entry.is_removed()).then(|| now.settings().addon(&entry.name).options);
        let Some(wait) = entry.supply.next(source) else { return };
        drop(now);
        tokio::select! {
            () = sleep(wait) => {}
            () = entry.supply.changed.notified() => continue,
            () = stopped.cancelled() => return,
        }
        let Some(shared) = shared.upgrade() else { return };
        shared.refresh(&entry).await;
    }
}
