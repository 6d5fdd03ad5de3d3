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
pub struct Metrics(Arc<Mutex<Book>>);

/// The registry, and the sets of numbers that several parts of one kind share.
#[derive(Debug)]
struct Book {
    registry: Registry,
    shared: HashMap<TypeId, Box<dyn Any + Send>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::with_prefix("weir");
        Self(Arc::new(Mutex::new(Book { registry, shared: HashMap::new() })))
    }
}

impl Metrics {
    /// Lets a room add its numbers.
    pub fn register<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).registry)
    }

    /// Lets one of several equal parts add the numbers of its kind: the first call registers them,
    /// every later one gets a clone, for a name may stand in the registry only once.
    pub fn register_once<T>(&self, add: impl FnOnce(&mut Registry) -> T) -> T
    where
        T: Clone + Send + 'static,
    {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = book.shared.get(&TypeId::of::<T>()).and_then(|numbers| numbers.downcast_ref());
        if let Some(numbers) = known {
            return T::clone(numbers);
        }
        let numbers = add(&mut book.registry);
        book.shared.insert(TypeId::of::<T>(), Box::new(numbers.clone()));
        numbers
    }

    /// Everything as text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        encode(&mut text, &book.registry).expect("writing to a String cannot fail");
        text
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn equal_parts_share_one_set_of_numbers() {
        let metrics = Metrics::default();
        let add = |registry: &mut Registry| {
            let counter = Counter::<u64>::default();
            registry.register("turns", "Turns taken", counter.clone());
            counter
        };

        metrics.register_once(add).inc();
        metrics.register_once(add).inc();

        assert_eq!(metrics.encode().matches("weir_turns_total").count(), 1);
        assert!(metrics.encode().contains("weir_turns_total 2"));
    }
}
