//! A bound on what a program makes of a record: it is looked at whatever a program puts into the
//! record, and whatever a function gives back.

use std::cell::Cell;

use vrl::compiler::{SecretTarget, Target, TargetValueRef};
use vrl::path::OwnedTargetPath;
use vrl::value::{ObjectMap, Value};

/// Most memory of a record that a program changes, in bytes, by [`fits`].
pub(super) const MADE_BYTES_MAX: usize = 64 << 20;
/// In words, for whoever sent it.
pub(super) const TOO_MUCH: &str = "the transform makes more than 64 MiB of it";

/// Memory of a value beside its text, in bytes.
const VALUE_BYTES: usize = 40;
/// Memory of a node of an object, in bytes, and how many members it holds at least.
const NODE_BYTES: usize = 800;
const NODE_MEMBERS: usize = 6;
/// Values in values, at most: they are taken apart by calls within calls. What comes in has 128.
const DEPTH_MAX: usize = 256;

/// Takes the memory of a value from what is left; whether it was enough.
pub(super) fn fits(value: &Value, left: &mut usize) -> bool {
    take(value, left, DEPTH_MAX).is_some()
}

fn take(value: &Value, left: &mut usize, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let beside = match value {
        Value::Bytes(text) => text.len(),
        Value::String(text) => text.len(),
        Value::Object(members) => members_bytes(members),
        _ => 0,
    };
    *left = left.checked_sub(VALUE_BYTES.saturating_add(beside))?;
    match value {
        Value::Object(members) => members.values().try_for_each(|one| take(one, left, depth)),
        Value::Array(all) => all.iter().try_for_each(|one| take(one, left, depth)),
        _ => Some(()),
    }
}

fn members_bytes(members: &ObjectMap) -> usize {
    let names: usize = members.keys().map(|name| name.len()).sum();
    names + members.len().div_ceil(NODE_MEMBERS) * NODE_BYTES
}

/// A record under a program, which stops growing at the bound.
#[derive(Debug)]
pub(super) struct Bounded<'a> {
    record: TargetValueRef<'a>,
    /// What may still be put into it before all of it is weighed again.
    left: usize,
    is_over: &'a Cell<bool>,
}

impl<'a> Bounded<'a> {
    /// `is_over` becomes true at the bound: the program goes on after a fault here, unless somebody
    /// ends it.
    pub(super) fn new(record: TargetValueRef<'a>, is_over: &'a Cell<bool>) -> Self {
        Self { record, left: MADE_BYTES_MAX, is_over }
    }

    fn has_room_for(&mut self, value: &Value) -> bool {
        if fits(value, &mut self.left) {
            return true;
        }
        // Much of what was put there may have taken the place of something else.
        self.left = MADE_BYTES_MAX;
        let all = [&*self.record.value, &*self.record.metadata, value];
        all.into_iter().all(|one| fits(one, &mut self.left))
    }
}

impl Target for Bounded<'_> {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Value) -> Result<(), String> {
        if self.has_room_for(&value) {
            return self.record.target_insert(path, value);
        }
        self.is_over.set(true);
        Err(TOO_MUCH.to_owned())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        self.record.target_get(path)
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        self.record.target_get_mut(path)
    }

    fn target_remove(
        &mut self,
        path: &OwnedTargetPath,
        compact: bool,
    ) -> Result<Option<Value>, String> {
        self.record.target_remove(path, compact)
    }
}

impl SecretTarget for Bounded<'_> {
    fn get_secret(&self, key: &str) -> Option<&str> {
        self.record.get_secret(key)
    }

    fn insert_secret(&mut self, key: &str, value: &str) {
        self.record.insert_secret(key, value);
    }

    fn remove_secret(&mut self, key: &str) {
        self.record.remove_secret(key);
    }
}
