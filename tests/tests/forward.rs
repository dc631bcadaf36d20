//! Forward listeners from outside: who may use them, where to, and what goes through.
#![cfg(test)]

#[path = "forward/common.rs"]
mod common;
#[path = "forward/connect.rs"]
mod connect;
#[path = "forward/controller.rs"]
mod controller;
#[path = "forward/forms.rs"]
mod forms;
#[path = "forward/targets.rs"]
mod targets;
