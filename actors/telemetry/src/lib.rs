//! Metrics, traces and logs of a node.
