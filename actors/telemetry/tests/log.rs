//! The log of a process, as whoever reads its stderr sees it. There is one log per process, so the test runs itself
//! once more.
#![allow(clippy::unwrap_used, reason = "a test panics when something is missing")]

use std::process::Command;

use serde_json::Value;
use understudy_backend::RequestCtx;
use understudy_telemetry::logs::{self, Format};

const CHILD: &str = "UNDERSTUDY_TEST_LOG_CHILD";

/// What the second process does.
fn log_something() {
    assert!(logs::set_filter("info").is_err(), "there is no log yet");
    logs::init(Format::Json, "warn").unwrap();
    let mut ctx = RequestCtx::new("r7");
    ctx.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into());
    tracing::info!("too quiet");
    ctx.log_span().in_scope(|| tracing::warn!(model = "small", "about a request"));
    assert!(logs::set_filter("understudy=loud").is_err());
    assert!(logs::set_filter("info").unwrap().contains("info"));
    tracing::info!("heard now");
}

#[test]
fn lines_name_request_and_trace_and_the_level_changes_at_run_time() {
    if std::env::var_os(CHILD).is_some() {
        return log_something();
    }
    let name = "lines_name_request_and_trace_and_the_level_changes_at_run_time";
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again.args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(said, ["about a request", "log filter changed", "heard now"]);
    assert_eq!(lines[0]["level"], "WARN");
    assert_eq!(lines[0]["model"], "small");
    assert_eq!(lines[0]["span"]["request_id"], "r7");
    assert_eq!(lines[0]["span"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(lines[2]["span"].is_null());
}
