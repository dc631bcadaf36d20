//! The settings of a listener under the options in force.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::{flow::Site, options::core::Options};

/// Settings, and options that change some of them while connections last.
pub struct Sited {
    site: ArcSwap<Site>,
    options: Arc<ArcSwap<Options>>,
    last: ArcSwapOption<Under>,
}

/// What settings became under options.
struct Under {
    base: Arc<Site>,
    options: Arc<Options>,
    site: Arc<Site>,
}

impl Sited {
    /// These settings, under whatever options are in force when somebody looks.
    #[must_use]
    pub fn new(site: Arc<Site>, options: Arc<ArcSwap<Options>>) -> Self {
        Self { site: ArcSwap::new(site), options, last: ArcSwapOption::empty() }
    }

    /// From now on these settings.
    pub fn set(&self, site: Arc<Site>) {
        self.site.store(site);
        self.last.store(None);
    }

    /// The settings as they are configured, whatever options say.
    #[must_use]
    pub fn configured(&self) -> Arc<Site> {
        self.site.load_full()
    }

    /// What holds now. While no option is set this costs one look at them.
    pub fn now(&self) -> Arc<Site> {
        let base = self.site.load_full();
        let options = self.options.load();
        if options.is_default() {
            return base;
        }
        if let Some(last) = &*self.last.load()
            && Arc::ptr_eq(&last.base, &base)
            && Arc::ptr_eq(&last.options, &options)
        {
            return Arc::clone(&last.site);
        }
        let site = Arc::new(base.under(&options));
        self.last.store(Some(Arc::new(Under { base, options: Arc::clone(&options), site: Arc::clone(&site) })));
        site
    }
}
