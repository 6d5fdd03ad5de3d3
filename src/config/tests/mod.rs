//! The room from its face: files in, findings or a configuration out.

mod any_bytes;
mod doubts;
mod encryption;
mod files;
mod limits;
mod listeners;
mod missing;
mod reference;
mod references;
mod routes;
mod rules;
mod secrets;
mod sound;
mod support;
mod syntax;
mod texts;
mod traces;
mod treatment;
mod unknown;
mod values;
mod ways;
