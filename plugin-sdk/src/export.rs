//! The macro that makes a component of an addon.

/// Makes a component of the crate: once, in the root of a crate with `crate-type = ["cdylib", "rlib"]`.
///
/// On `wasm32` it exports the functions of the world `tollgate:addon/addon`, which run the addon's hooks on one configured
/// addon in a global. Elsewhere it only checks that the type is an addon, so that `cargo test` builds the same crate natively.
///
/// ```
/// use tollgate_sdk::{Addon, NoOptions, OptionErrors, Subscription};
///
/// struct Idle;
///
/// impl Addon for Idle {
///     type Options = NoOptions;
///
///     fn configure(_: NoOptions) -> Result<Self, OptionErrors> {
///         Ok(Self)
///     }
///
///     fn subscriptions(&self) -> Vec<Subscription> {
///         Vec::new()
///     }
/// }
///
/// tollgate_sdk::export!(Idle);
/// ```
#[macro_export]
macro_rules! export {
    ($addon:ty $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            impl $crate::guest::Slot for $addon {
                fn with<R>(work: impl FnOnce(&mut Option<Self>) -> R) -> R {
                    // A component has one thread, and no hook is called from within another: this is a plain global, part of
                    // the memory that is copied.
                    ::std::thread_local! {
                        static ADDON: ::std::cell::RefCell<Option<$addon>> = const { ::std::cell::RefCell::new(None) };
                    }
                    ADDON.with(|slot| work(&mut slot.borrow_mut()))
                }
            }

            type Component = $crate::guest::Exported<$addon>;

    $crate::guest::export_component!(Component with_types_in $crate::guest::bindings);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_addon<A: $crate::Addon>() {}
            is_addon::<$addon>();
        };
    };
}
