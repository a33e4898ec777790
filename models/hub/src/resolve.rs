//! A model as the user names it: a catalogue name or a file of their own.

use std::path::{Path, PathBuf};

use crate::catalogue::{Catalogue, Model};
use crate::error::PullError;

/// What the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSpec {
    /// A name of the catalogue.
    Name(String),
    /// A path: it ends in `.gguf` or holds a separator.
    File(PathBuf),
}

impl From<&str> for ModelSpec {
    fn from(text: &str) -> Self {
        let path = Path::new(text);
        if is_gguf(path) || text.contains(std::path::is_separator) {
            Self::File(path.to_path_buf())
        } else {
            Self::Name(text.to_owned())
        }
    }
}

/// What it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// A model of the catalogue; it may still have to be pulled.
    Catalogued(&'a Model),
    /// An existing GGUF file of the user's.
    File(PathBuf),
}

impl Catalogue {
    /// Finds the model that the user means.
    ///
    /// # Errors
    /// `HUB_UNKNOWN_MODEL` for a name, `HUB_NOT_A_MODEL_FILE` for a path that is no GGUF file.
    pub fn resolve(&self, spec: &ModelSpec) -> Result<Resolved<'_>, PullError> {
        match spec {
            ModelSpec::Name(name) => self.find(name).map(Resolved::Catalogued),
            ModelSpec::File(path) => existing_gguf(path).map(Resolved::File),
        }
    }
}

fn existing_gguf(path: &Path) -> Result<PathBuf, PullError> {
    let refuse = |reason| PullError::NotAModelFile { path: path.to_path_buf(), reason };
    if !is_gguf(path) {
        return Err(refuse("only .gguf files can be used by path"));
    }
    match path.is_file() {
        true => Ok(path.to_path_buf()),
        false => Err(refuse("there is no such file")),
    }
}

fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Own.GGUF");
        std::fs::write(&file, b"GGUF").unwrap();
        let catalogue = Catalogue::built_in().unwrap();
        let resolve = |text: &str| catalogue.resolve(&ModelSpec::from(text));

        assert!(matches!(resolve("smollm2-135m"), Ok(Resolved::Catalogued(m)) if m.name == "smollm2-135m"));
        assert_eq!(resolve(file.to_str().unwrap()).unwrap(), Resolved::File(file));
        for (text, code) in [
            ("smollm3", "HUB_UNKNOWN_MODEL"),
            ("missing.gguf", "HUB_NOT_A_MODEL_FILE"),
            ("./folder/model.bin", "HUB_NOT_A_MODEL_FILE"),
        ] {
            assert_eq!(resolve(text).unwrap_err().code(), code, "{text}");
        }
    }
}
