//! Handles of the host, as many as it gives.

#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "calls across the border of a component are unsafe by nature; all of it is generated")]
#[allow(missing_docs, unreachable_pub, unused, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    // As the standard library has them: interfaces of one name must be the same.
    wit_bindgen::generate!({
        generate_all,
        inline: "
            package guest:handles;

            world handles {
                import wasi:clocks/monotonic-clock@0.2.6;
            }

            package wasi:io@0.2.6 {
                interface poll {
                    resource pollable {
                        ready: func() -> bool;
                        block: func();
                    }
                    poll: func(in: list<borrow<pollable>>) -> list<u32>;
                }
            }

            package wasi:clocks@0.2.6 {
                interface monotonic-clock {
                    use wasi:io/poll@0.2.6.{pollable};
                    type instant = u64;
                    type duration = u64;
                    now: func() -> instant;
                    resolution: func() -> duration;
                    subscribe-instant: func(when: instant) -> pollable;
                    subscribe-duration: func(when: duration) -> pollable;
                }
            }
        ",
    });
}

/// Holds so many at one time, and lets them go.
#[cfg(target_arch = "wasm32")]
pub(crate) fn hold(count: usize) {
    let held: Vec<_> = (0..count).map(|_| bindings::wasi::clocks::monotonic_clock::subscribe_duration(0)).collect();
    drop(held);
}

/// There is no host.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) const fn hold(_count: usize) {}
