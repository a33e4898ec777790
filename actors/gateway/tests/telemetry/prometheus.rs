//! Debian's `prometheus`, with `promtool`. Where it is not installed it is fetched, unless `UNDERSTUDY_OFFLINE` is
//! set; where it cannot be, what needs it is skipped and says so.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Whether the programs are there.
#[allow(clippy::print_stderr, reason = "what is skipped is said")]
pub fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        let offline = std::env::var("UNDERSTUDY_OFFLINE").is_ok_and(|word| !word.is_empty() && word != "0");
        let here = runs("promtool") || (!offline && install() && runs("promtool"));
        if !here {
            eprintln!("SKIPPED: prometheus is not installed and cannot be");
        }
        here
    })
}

fn runs(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn install() -> bool {
    let arguments = ["-o", "DPkg::Lock::Timeout=120", "install", "-y", "prometheus"];
    let mut apt = Command::new("apt-get");
    apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    apt.status().is_ok_and(|status| status.success())
}

/// `promtool` with these arguments and input; what it has to say, if anything is wrong.
pub fn promtool(arguments: &[&str], input: &str) -> Result<(), String> {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = promtool.spawn().unwrap();
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() && said.is_empty() {
        true => Ok(()),
        false => Err(format!("{said}{}", String::from_utf8_lossy(&output.stdout))),
    }
}
