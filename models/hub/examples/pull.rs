//! Pulls models by hand: `cargo run --release -p understudy-hub --example pull -- NAME...`
//! Without a name it lists the catalogue. `UNDERSTUDY_HOME` says where to.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use understudy_hub::{PullError, PullEvent, Puller, Rate};

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    match run(&names) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            write(&format!("{}: {error}\n{}\n", error.code(), error.help()));
            ExitCode::FAILURE
        }
    }
}

fn run(names: &[String]) -> Result<(), PullError> {
    let puller = Puller::from_env()?;
    if names.is_empty() {
        for line in puller.home().list(puller.catalogue()) {
            write(&format!("{:20} {:?} {}\n", line.model.name, line.presence, line.path.display()));
        }
    }
    let cancel = AtomicBool::new(false);
    for name in names {
        let start = Instant::now();
        let mut rate = Rate::default();
        let pulled = puller.pull(name, &mut |event| show(&event, &mut rate), &cancel)?;
        write(&format!("{}: {:.2} s\n", pulled.model, start.elapsed().as_secs_f64()));
    }
    Ok(())
}

fn show(event: &PullEvent, rate: &mut Rate) {
    let PullEvent::Progress { done, total } = event else {
        return write(&format!("\n{event:?}\n"));
    };
    rate.observe(Instant::now(), *done);
    let speed = rate.bytes_per_second().unwrap_or(0.0) / 1e6;
    let left = rate.time_left(*done, *total).map_or(0.0, |left| left.as_secs_f64());
    write(&format!("\r{done}/{total} bytes, {speed:.1} MB/s, {left:.0} s left   "));
}

/// A closed output ends nothing: the pull goes on.
fn write(text: &str) {
    let mut out = io::stdout();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
