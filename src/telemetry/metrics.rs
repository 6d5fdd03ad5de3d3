//! The registry of numbers, in the OpenMetrics text format that Prometheus reads.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The content type of [`Metrics::encode`]'s answer.
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All numbers of one agent, each named `weir_…`.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>, Arc<Mutex<Shared>>);

/// What [`Metrics::shared`] made, by type.
type Shared = HashMap<TypeId, Box<dyn Any + Send>>;

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("weir"))), Arc::default())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Lets a room add its numbers.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets the first of several equal parts add the numbers that all of them share, told apart
    /// by label: a name that is registered twice is written twice, which readers refuse.
    pub fn shared<T: Clone + Send + 'static>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        let mut shared = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shared.get(&TypeId::of::<T>()).and_then(|known| known.downcast_ref::<T>());
        if let Some(known) = known {
            return known.clone();
        }
        let made = self.register(add);
        shared.insert(TypeId::of::<T>(), Box::new(made.clone()));
        made
    }

    /// Everything as text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("writing to a String cannot fail");
        text
    }
}
