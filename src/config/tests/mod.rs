//! The room from its face: files in, findings or a configuration out.

mod any_bytes;
mod doubts;
mod encryption;
mod faults;
mod files;
mod limits;
mod listeners;
mod reference;
mod routes;
mod rules;
mod secrets;
mod sound;
mod support;
mod treatment;
mod ways;
