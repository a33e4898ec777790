//! A small model, a home in a temporary folder, and what a pull told.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use understudy_hub::{Catalogue, Home, Mirrors, PullError, PullEvent, Pulled, Puller, Settings};

pub(crate) const PART: usize = 100_000;

/// Three whole parts and a rest, in bytes that repeat nowhere at a part's distance.
pub(crate) fn content() -> Vec<u8> {
    (0..PART * 3 + 777).map(|i| (i * 31 + i / 251 + i / 65_536) as u8).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) catalogue: Catalogue,
    pub(crate) mirrors: Mirrors,
    pub(crate) settings: Settings,
}

pub(crate) struct Told {
    pub(crate) result: Result<Pulled, PullError>,
    pub(crate) events: Vec<PullEvent>,
}

impl World {
    /// A catalogue with the model `tiny` (file `tiny.gguf`), mirrored in four packages.
    pub(crate) fn new() -> Self {
        let content = content();
        let catalogue = format!(
            "[[model]]\nname='tiny'\narchitecture='llama'\nquantization='Q8_0'\nlicence='MIT'\n\
             licence_note='Tiny terms: be kind.'\nroles=['draft']\nparameters=1\ncontext=8\n\
             [[model.files]]\nname='tiny.gguf'\nbytes={}\nsha256='{}'\n\
             hub={{repo='owner/tiny',file='tiny.gguf'}}\n",
            content.len(),
            sha256(&content)
        );
        let parts: String = (1..=4)
            .map(|n| format!("{{package='tiny-part{n}',version='1.0',member='tiny_part{n}/data.bin'}},"))
            .collect();
        let mirrors =
            format!("[[mirror]]\nmodel='tiny'\nfile='tiny.gguf'\npart_bytes={PART}\nparts=[{parts}]\n");
        Self {
            folder: tempfile::tempdir().unwrap(),
            catalogue: Catalogue::built_in().unwrap().with(&catalogue, "test").unwrap(),
            mirrors: Mirrors::parse(&mirrors, "test").unwrap(),
            settings: Settings {
                hub_offline: true,
                clients: Vec::new(),
                retry_pause: Duration::from_millis(1),
                ..Settings::default()
            },
        }
    }

    pub(crate) fn home(&self) -> Home {
        Home::at(self.folder.path().join("home"))
    }

    pub(crate) fn puller(&self) -> Puller {
        Puller::new(self.home(), self.catalogue.clone(), self.mirrors.clone(), self.settings.clone())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home().root().join("models/tiny").join(name)
    }

    pub(crate) fn pull(&self) -> Told {
        let mut events = Vec::new();
        let result = self.puller().pull("tiny", &mut |event| events.push(event), &AtomicBool::new(false));
        Told { result, events }
    }

    /// What a pull leaves that was killed with `bytes` in.
    pub(crate) fn leave_partial(&self, bytes: &[u8]) {
        std::fs::create_dir_all(self.path("")).unwrap();
        std::fs::write(self.path("tiny.gguf.part"), bytes).unwrap();
        let note = format!(r#"{{"sha256":"{}","source":"test"}}"#, sha256(&content()));
        std::fs::write(self.path("tiny.gguf.part.json"), note).unwrap();
    }

    pub(crate) fn assert_whole(&self) {
        assert!(std::fs::read(self.path("tiny.gguf")).unwrap() == content(), "the file has other bytes");
        assert!(!self.path("tiny.gguf.part").exists(), "the part is left over");
        assert!(!self.path("tiny.gguf.part.json").exists(), "the part's note is left over");
        let staging = std::fs::read_dir(self.path("")).unwrap().flatten();
        let left: Vec<_> =
            staging.filter(|e| e.file_name().to_string_lossy().starts_with(".staging")).collect();
        assert!(left.is_empty(), "wheels are left over: {left:?}");
    }
}

impl Told {
    pub(crate) fn code(&self) -> &'static str {
        self.result.as_ref().unwrap_err().code()
    }

    pub(crate) fn skipped(&self) -> Vec<String> {
        let why = |event: &PullEvent| match event {
            PullEvent::SourceSkipped { why, .. } => Some(why.clone()),
            _ => None,
        };
        self.events.iter().filter_map(why).collect()
    }

    /// For a pull from one source: its bar never goes back and ends full.
    pub(crate) fn assert_steady_progress(&self) {
        let done = |event: &PullEvent| match event {
            PullEvent::Progress { done, .. } => Some(*done),
            _ => None,
        };
        let told: Vec<u64> = self.events.iter().filter_map(done).collect();
        assert!(told.is_sorted(), "{told:?}");
        assert_eq!(told.last(), Some(&(content().len() as u64)));
    }

    pub(crate) fn first_progress(&self) -> u64 {
        let done = |event: &PullEvent| match event {
            PullEvent::Progress { done, .. } => Some(*done),
            _ => None,
        };
        self.events.iter().find_map(done).unwrap()
    }
}
