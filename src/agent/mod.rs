//! Wiring and life of the process.
//!
//! Uses: everything below.
//! Always: starts from the ground up and stops in the opposite order.
//! Never: parses or formats anything.
