//! `understudy pull`: a progress bar over the hub's events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use understudy_hub::Puller;

use crate::cli::Pull;
use crate::error::Error;
use crate::render::progress::PullBar;

pub fn run(args: &Pull) -> Result<(), Error> {
    let puller = Puller::from_env()?;
    let names = match args.names.is_empty() {
        true => puller.catalogue().default_ladder().to_vec(),
        false => args.names.clone(),
    };
    // Unknown names are refused before the first byte is fetched.
    for name in &names {
        puller.catalogue().find(name)?;
    }
    let cancel = cancel_on_interrupt();
    for name in &names {
        let mut bar = PullBar::new(name);
        let pulled = puller.pull(name, &mut |event| bar.show(&event), &cancel);
        bar.finish();
        pulled?;
    }
    Ok(())
}

/// The first Ctrl-C ends the pull cleanly: what is here stays and is continued next time.
fn cancel_on_interrupt() -> Arc<AtomicBool> {
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    });
    cancel
}
