//! What tests from outside share; no asserts about the product live here.

pub(crate) mod fake_upstream;
