//! What is exported, and where to.

use serde::{Deserialize, Serialize};

/// Settings of a node's telemetry. `/metrics` is always there; what is pushed to a collector is set here, or by
/// the standard variables `OTEL_*` where a field is not set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address of a collector, such as `http://127.0.0.1:4317`. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`; without
    /// it nothing is exported.
    pub otlp_endpoint: Option<String>,
    /// How it is spoken to. Default: `OTEL_EXPORTER_OTLP_PROTOCOL`, else gRPC.
    pub otlp_protocol: Option<Protocol>,
    /// The node's name in all that it tells. Default: `OTEL_SERVICE_NAME`, else `understudy`.
    pub service_name: Option<String>,
    /// Whether prompts, answers and what may quote them are part of traces. Default false.
    pub content: bool,
    /// Share of requests that are traced, 0 to 1, where the caller has not decided. Default:
    /// `OTEL_TRACES_SAMPLER`, else 1.
    pub sample: Option<f64>,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// OTLP over gRPC; collectors listen at port 4317.
    Grpc,
    /// OTLP over HTTP with Protobuf; port 4318. `/v1/traces` and so on are added to the address.
    Http,
}

/// Where exports go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    /// `None`: the variables of each signal name it.
    pub(crate) endpoint: Option<String>,
}

/// Any of these names a collector.
const ENDPOINTS: [&str; 4] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
];

impl Settings {
    /// What is wrong with these settings, naming the field.
    pub fn problem(&self) -> Option<String> {
        if self.sample.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Some("telemetry.sample must be between 0 and 1".into());
        }
        let usable = |address: &String| address.starts_with("http://") || address.starts_with("https://");
        if self.otlp_endpoint.as_ref().is_some_and(|address| !usable(address)) {
            return Some("telemetry.otlp_endpoint must begin with http:// or https://".into());
        }
        None
    }

    /// Where exports go, if anywhere. `env` reads a variable of the environment.
    pub(crate) fn target(&self, env: impl Fn(&str) -> Option<String>) -> Option<Target> {
        let set = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        if set("OTEL_SDK_DISABLED").is_some_and(|word| word.trim().eq_ignore_ascii_case("true")) {
            return None;
        }
        if self.otlp_endpoint.is_none() && !ENDPOINTS.iter().any(|name| set(name).is_some()) {
            return None;
        }
        let of_environment = match set("OTEL_EXPORTER_OTLP_PROTOCOL").as_deref() {
            Some("http/protobuf" | "http/json") => Protocol::Http,
            _ => Protocol::Grpc,
        };
        Some(Target {
            protocol: self.otlp_protocol.unwrap_or(of_environment),
            endpoint: self.otlp_endpoint.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_file_goes_before_the_environment_and_nothing_means_nothing() {
        let grpc = "http://127.0.0.1:4317";
        let set = Settings { otlp_endpoint: Some(grpc.into()), ..Settings::default() };
        let to = |protocol, endpoint: Option<&str>| {
            Some(Target { protocol, endpoint: endpoint.map(str::to_owned) })
        };
        assert_eq!(Settings::default().target(env(&[])), None);
        assert_eq!(set.target(env(&[])), to(Protocol::Grpc, Some(grpc)));
        assert_eq!(set.target(env(&[("OTEL_SDK_DISABLED", "true")])), None);
        let http = env(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ]);
        assert_eq!(Settings::default().target(http), to(Protocol::Http, None));
        let traces = env(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x:4317")]);
        assert_eq!(Settings::default().target(traces), to(Protocol::Grpc, None));
    }

    #[test]
    fn wrong_settings_are_named() {
        for (text, word) in [
            ("sample = 1.5", "telemetry.sample"),
            ("sample = nan", "telemetry.sample"),
            ("otlp_endpoint = \"127.0.0.1:4317\"", "telemetry.otlp_endpoint"),
        ] {
            let settings: Settings = toml::from_str(text).unwrap();
            assert!(settings.problem().unwrap().contains(word), "{text}");
        }
        assert!(toml::from_str::<Settings>("otlp_protocol = \"udp\"").is_err());
        assert_eq!(Settings::default().problem(), None);
    }
}
