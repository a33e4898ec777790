//! A model as the user names it: a catalogue name or a file of their own.

use std::path::{Path, PathBuf};

use crate::catalogue::{Catalogue, Model};
use crate::error::PullError;

/// What the user wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSpec {
    /// A name of the catalogue.
    Name(String),
    /// A path: it ends in `.gguf` or `.safetensors`, or holds a separator.
    File(PathBuf),
}

impl From<&str> for ModelSpec {
    fn from(text: &str) -> Self {
        let path = Path::new(text);
        if is_model_file(path) || text.contains(std::path::is_separator) {
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
    /// An existing GGUF file or checkpoint folder of the user's, or a file in such a folder.
    File(PathBuf),
}

impl Catalogue {
    /// Finds the model that the user means.
    ///
    /// # Errors
    /// `HUB_UNKNOWN_MODEL` for a name, `HUB_NOT_A_MODEL_FILE` for a path that is neither a GGUF file nor a
    /// checkpoint.
    pub fn resolve(&self, spec: &ModelSpec) -> Result<Resolved<'_>, PullError> {
        match spec {
            ModelSpec::Name(name) => self.find(name).map(Resolved::Catalogued),
            ModelSpec::File(path) => existing_model(path).map(Resolved::File),
        }
    }
}

fn existing_model(path: &Path) -> Result<PathBuf, PullError> {
    let refuse = |reason| PullError::NotAModelFile { path: path.to_path_buf(), reason };
    match () {
        () if path.is_dir() && path.join("config.json").is_file() => Ok(path.to_path_buf()),
        () if path.is_dir() => Err(refuse("a checkpoint's folder has a config.json")),
        () if !is_model_file(path) => Err(refuse(
            "only .gguf files and checkpoints (a folder, or a .safetensors file in it) can be used by path",
        )),
        () if path.is_file() => Ok(path.to_path_buf()),
        () => Err(refuse("there is no such file")),
    }
}

fn is_model_file(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["gguf", "safetensors"].iter().any(|known| extension.eq_ignore_ascii_case(known))
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
        std::fs::write(folder.path().join("config.json"), b"{}").unwrap();
        let checkpoint = folder.path().to_str().unwrap();
        assert_eq!(resolve(checkpoint).unwrap(), Resolved::File(folder.path().to_path_buf()));
        for (text, code) in [
            ("smollm3", "HUB_UNKNOWN_MODEL"),
            ("missing.gguf", "HUB_NOT_A_MODEL_FILE"),
            ("./folder/model.bin", "HUB_NOT_A_MODEL_FILE"),
            ("model.safetensors", "HUB_NOT_A_MODEL_FILE"),
            ("./src", "HUB_NOT_A_MODEL_FILE"),
        ] {
            assert_eq!(resolve(text).unwrap_err().code(), code, "{text}");
        }
    }
}
