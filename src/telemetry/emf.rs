//! Numbers as CloudWatch's embedded metric format has them: a line of JSON that CloudWatch Logs makes
//! metrics of. <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::time::Duration;

use serde_json::{Map, Value, json};

/// Most metrics of one document.
const METRICS_MAX: usize = 100;
/// Most dimensions of one set.
const DIMENSIONS_MAX: usize = 30;
/// Longest value of a dimension, in characters.
const VALUE_CHARS_MAX: usize = 1_024;

/// Whether and how lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmfSettings {
    /// How often.
    pub every: Duration,
    /// Under which CloudWatch shows the metrics.
    pub namespace: String,
}

/// A number with its name and CloudWatch's word for its unit.
pub type Measure = (&'static str, &'static str, u64);

/// One line, without its end.
pub fn emf_line(
    namespace: &str,
    unix_ms: u64,
    dimensions: &[(&str, &str)],
    measures: &[Measure],
) -> String {
    let dimensions = dimensions.get(..DIMENSIONS_MAX).unwrap_or(dimensions);
    let measures = measures.get(..METRICS_MAX).unwrap_or(measures);
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let metrics: Vec<Value> =
        measures.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let mut document = Map::new();
    document.insert(
        "_aws".into(),
        json!({
            "Timestamp": unix_ms,
            "CloudWatchMetrics": [
                { "Namespace": namespace, "Dimensions": [names], "Metrics": metrics },
            ],
        }),
    );
    for (name, value) in dimensions {
        let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
        // CloudWatch drops a metric that has a dimension without a value.
        document.insert((*name).into(), if value.is_empty() { "-".into() } else { value.into() });
    }
    for (name, _, value) in measures {
        document.insert((*name).into(), (*value).into());
    }
    Value::Object(document).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_keeps_the_bounds_of_the_format() {
        let long = "é".repeat(3_000);
        let dimensions: Vec<_> = (0..40).map(|_| ("one", long.as_str())).collect();
        let measures = [("Accepted", "Count", 7); 120];

        let line = emf_line("weir", 5, &dimensions, &measures);

        let document: Value = serde_json::from_str(&line).unwrap();
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(document["_aws"]["Timestamp"], 5);
        assert_eq!(directive["Dimensions"][0].as_array().unwrap().len(), 30);
        assert_eq!(directive["Metrics"].as_array().unwrap().len(), 100);
        assert_eq!(document["one"].as_str().unwrap().chars().count(), 1_024);
        assert_eq!(document["Accepted"], 7);
        assert!(!line.contains('\n'));
    }
}
