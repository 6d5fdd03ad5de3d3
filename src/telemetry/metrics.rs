//! The registry of numbers, in the OpenMetrics text format that Prometheus reads.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The content type of [`Metrics::encode`]'s answer.
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All numbers of one agent, each named `weir_…`.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    shared: Arc<Mutex<HashMap<TypeId, Box<dyn Any + Send>>>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Arc::new(Mutex::new(Registry::with_prefix("weir")));
        Self { registry, shared: Arc::default() }
    }
}

impl Metrics {
    /// Lets a room add its numbers.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Numbers of which an agent has one set, however many streams or destinations use it: added by
    /// the first who asks, handed to all others. A name must not stand twice in the registry.
    pub fn shared<T: Clone + Send + 'static>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(&TypeId::of::<T>()).and_then(|one| one.downcast_ref::<T>())
        {
            return known.clone();
        }
        let one = self.register(add);
        shared.insert(TypeId::of::<T>(), Box::new(one.clone()));
        one
    }

    /// Everything as text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &registry).expect("writing to a String cannot fail");
        text
    }
}
