//! A bound on how often a schema is asked about the values of one record.
//!
//! A schema that leads back to itself below `oneOf`, `anyOf` or two `allOf`s may ask about a value
//! twice for each level that it lies deep: a record of 300 bytes would take for ever. So every
//! schema within a schema gets a keyword that counts. Names are looked at in their order, and this
//! one comes before all others: nothing is asked uncounted. The asking cannot be ended by an answer
//! (who lists faults asks all there is to ask), so that it is unwound.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use jsonschema::paths::{LazyLocation, Location};
use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value};

/// Before `$ref`, which is before all letters.
pub(super) const KEYWORD: &str = "!steps";

/// What is under these is no schema, and may not be changed.
const NO_SCHEMAS: [&str; 7] =
    ["const", "default", "dependentRequired", "enum", "examples", "required", "$vocabulary"];
/// What is under these are schemas by name.
const BY_NAME: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// What is thrown when they are used up.
struct UsedUp;

/// Asks with so many steps; `None` if they are not enough.
pub(super) fn within<T>(steps: u64, ask: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(steps);
    // What is asked has no memory of its own: a schema is the same afterwards.
    let asked = catch_unwind(AssertUnwindSafe(ask));
    LEFT.set(u64::MAX);
    match asked {
        Ok(answer) => Some(answer),
        Err(thrown) if thrown.is::<UsedUp>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// Makes every schema in this one count.
pub(super) fn count_in(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, below) in members.iter_mut() {
                let is_named = BY_NAME.contains(&name.as_str());
                match below {
                    _ if NO_SCHEMAS.contains(&name.as_str()) => {}
                    Value::Object(named) if is_named => named.values_mut().for_each(count_in),
                    _ => count_in(below),
                }
            }
            members.insert(KEYWORD.to_owned(), Value::Bool(true));
        }
        Value::Array(all) => all.iter_mut().for_each(count_in),
        _ => {}
    }
}

/// The keyword.
pub(super) struct Step;

impl Step {
    #[expect(clippy::unnecessary_wraps, reason = "keywords may be at fault")]
    pub(super) fn keyword<'a>(
        _: &'a Map<String, Value>,
        _: &'a Value,
        _: Location,
    ) -> Result<Box<dyn Keyword>, ValidationError<'a>> {
        Ok(Box::new(Self))
    }
}

impl Keyword for Step {
    fn validate<'i>(
        &self,
        _: &'i Value,
        _: &LazyLocation<'_, '_>,
    ) -> Result<(), ValidationError<'i>> {
        take_one();
        Ok(())
    }

    fn is_valid(&self, _: &Value) -> bool {
        take_one();
        true
    }
}

fn take_one() {
    match LEFT.get().checked_sub(1) {
        Some(left) => LEFT.set(left),
        // No panic: nobody is told, nothing is written to the log.
        None => resume_unwind(Box::new(UsedUp)),
    }
}
