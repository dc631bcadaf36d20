//! What wit-bindgen makes of the contract. Not for addons: names and shapes follow the generator.
#![allow(unsafe_code, reason = "calls across the border of a component are unsafe by nature; all of it is generated")]
#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]

wit_bindgen::generate!({
    path: "../wit",
    world: "addon",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "tollgate_sdk::guest::bindings",
});
