//! Verdicts kept in files: one for each machine, build, model and kind of activations.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use understudy_kernels::{gates::BUILD, processor};

use super::Gate;
use crate::model::Activations;

/// Ends the name of each file.
const EXTENSION: &str = "gates";
/// A file this long is not ours.
const LONGEST: u64 = 64 << 10;

/// Which kernels a model runs on, and what that holds for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The model's file, for people.
    pub model: String,
    /// The digest of its weights.
    pub digest: String,
    /// How activations meet weights.
    pub activations: Activations,
    /// The processor.
    pub machine: String,
    /// The code of the kernels and what compiled it.
    pub build: String,
    /// Every gate.
    pub gates: Vec<Gate>,
}

/// The verdicts in `folder` that hold on this machine with this build, the latest of each model
/// and kind of activations, by name.
pub fn verdicts(folder: &Path) -> Vec<Verdict> {
    let machine = machine();
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == EXTENSION)).collect();
    files.sort_by_cached_key(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
    let mut latest: Vec<Verdict> = Vec::new();
    for verdict in files.iter().filter_map(|path| parse(&mut File::open(path).ok()?)) {
        if verdict.machine == machine && verdict.build == build() {
            let same = |v: &Verdict| (&v.model, v.activations) == (&verdict.model, verdict.activations);
            latest.retain(|older| !same(older));
            latest.push(verdict);
        }
    }
    latest.sort_by(|a, b| (&a.model, a.activations.name()).cmp(&(&b.model, b.activations.name())));
    latest
}

impl Verdict {
    /// One without gates yet, about a model on this machine.
    pub(super) fn unmade(model: String, digest: String, activations: Activations) -> Self {
        Self { model, digest, activations, machine: machine(), build: build(), gates: Vec::new() }
    }

    /// The gates that an earlier start kept in `folder` under these names, or else those that `decide`
    /// makes. It is told whether time counts: only where the verdict is kept.
    pub(super) fn kept_or_made(
        self,
        folder: &Path,
        names: &[String],
        decide: &dyn Fn(bool) -> Vec<Gate>,
    ) -> Vec<Gate> {
        let path = folder.join(self.file_name());
        let kept = |file: &mut File| parse(file).filter(|kept| self.is_same(kept, names));
        if let Some(kept) = File::open(&path).ok().as_mut().and_then(kept) {
            return kept.gates;
        }
        let made = lock(&path).and_then(|mut file| {
            if let Some(kept) = kept(&mut file) {
                return Ok(kept.gates); // another process was at it
            }
            let verdict = Self { gates: decide(true), ..self.clone() };
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&serde_json::to_vec(&verdict)?)?;
            Ok(verdict.gates)
        });
        made.unwrap_or_else(|error| {
            tracing::info!(file = %path.display(), %error, "the verdict on the kernels cannot be kept");
            decide(false)
        })
    }

    /// Differs wherever a verdict may.
    fn file_name(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.digest, self.activations.name(), &self.machine, &self.build] {
            hash.update(part);
            hash.update([0]);
        }
        let mut name = hash.finalize().iter().take(16).fold(String::new(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}"); // to a string: does not fail
            name
        });
        name.push('.');
        name + EXTENSION
    }

    fn is_same(&self, kept: &Self, names: &[String]) -> bool {
        let Self { model: _, digest, activations, machine, build, gates: _ } = self;
        (digest, activations, machine, build) == (&kept.digest, &kept.activations, &kept.machine, &kept.build)
            && kept.gates.iter().map(|gate| &gate.kernel).eq(names)
    }
}

/// The file, made where there is none; another process may be writing it, a killed one leaves no
/// lock.
fn lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}

/// What a whole file says; a torn or foreign one says nothing.
fn parse(file: &mut File) -> Option<Verdict> {
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn build() -> String {
    format!("{} {BUILD}", env!("CARGO_PKG_VERSION"))
}

/// The processor and the vectors that products run on; where the system does not name the
/// processor, the kind of machine.
fn machine() -> String {
    let mut head = String::new();
    // The first processor's entry; all of them may be long.
    let read = File::open("/proc/cpuinfo").and_then(|file| file.take(2048).read_to_string(&mut head));
    let model = read.ok().and_then(|_| head.lines().find_map(|line| line.strip_prefix("model name")));
    let model = model.map_or_else(
        || format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        |name| name.trim_start_matches([' ', '\t', ':']).to_owned(),
    );
    format!("{model}, {}", processor())
}
