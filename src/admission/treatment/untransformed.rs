//! In the place of `transform` where weir is built without it: no program compiles.

use std::convert::Infallible;
use std::marker::PhantomData;

use tokio::time::Instant;

use super::program::{BadProgram, Outlets};
use super::{Circumstances, Pace, Patient, Treated};

/// There is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform(Infallible);

impl Transform {
    /// Whether this weir runs programs.
    pub const IS_BUILT_IN: bool = false;

    /// Says that this weir runs no programs.
    ///
    /// # Errors
    /// Always.
    pub fn compile(text: &str, _: Outlets) -> Result<(Self, Vec<BadProgram>), Vec<BadProgram>> {
        Err(vec![BadProgram {
            at: 0..text.len(),
            words: "this weir was built without transforms".to_owned(),
            label: String::new(),
            hint: Some("build it with the feature `transform`, which is a default".to_owned()),
        }])
    }

    pub(super) fn outlets(&self) -> &Outlets {
        match self.0 {}
    }

    pub(super) fn pace(&self) -> &Pace {
        match self.0 {}
    }

    /// Whether it says where records go.
    pub fn sets_stream(&self) -> bool {
        match self.0 {}
    }
}

/// Nothing to do.
pub(super) struct Work<'a>(PhantomData<Circumstances<'a>>);

impl<'a> Work<'a> {
    pub(super) fn new(_: Circumstances<'a>) -> Self {
        Self(PhantomData)
    }

    pub(super) fn run(
        &mut self,
        transform: &Transform,
        _: Option<serde_json::Value>,
        _: &mut Patient<'_>,
        _: Instant,
    ) -> Treated {
        match transform.0 {}
    }
}
