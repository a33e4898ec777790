//! The models known by name.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::PullError;
use crate::names;

const BUILT_IN: &str = include_str!("../catalogue.toml");

/// What a model is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers first.
    Specialist,
    /// Answers what a specialist hands on.
    Teacher,
    /// Proposes tokens for a larger model to verify.
    Draft,
    /// Turns text into vectors.
    Embedder,
}

/// A file in a repository on the model hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubFile {
    /// `owner/name`.
    pub repo: String,
    /// Path inside the repository.
    pub file: String,
}

/// One file of a model. Its bytes are what `sha256` says, wherever they come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// File name inside the model's folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, 64 lower-case hex digits.
    pub sha256: String,
    /// Git's SHA-1 of the file, 40 hex digits: what the hub advertises for small files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_blob: Option<String>,
    /// Where the hub has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubFile>,
}

/// One entry of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name on the command line and in requests.
    pub name: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// Architecture, as GGUF spells it.
    pub architecture: String,
    /// Format of the weights.
    pub quantization: String,
    /// SPDX identifier or name of the licence.
    pub licence: String,
    /// Terms to show before the model is fetched; may be empty.
    #[serde(default)]
    pub licence_note: String,
    /// What it is used for.
    pub roles: Vec<Role>,
    /// Number of weights.
    pub parameters: u64,
    /// Longest context in tokens.
    pub context: u32,
    /// The arithmetic that was measured to keep this model's quality (`f32`, `int16`, `mixed`, `int8`);
    /// none means the engine's default.
    #[serde(default)]
    pub activations: Option<String>,
    /// Its files, the main one (weights) first.
    pub files: Vec<ModelFile>,
}

impl Model {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    #[serde(default)]
    default_ladder: Option<Vec<String>>,
    #[serde(default, rename = "model")]
    models: Vec<Model>,
}

/// All models known by name: the built-in ones and the user's.
#[derive(Debug, Clone)]
pub struct Catalogue {
    models: Vec<Model>,
    default_ladder: Vec<String>,
}

impl Catalogue {
    /// The catalogue inside this binary.
    ///
    /// # Errors
    /// `HUB_BAD_CATALOGUE` if it does not parse (a test makes sure that it does).
    pub fn built_in() -> Result<Self, PullError> {
        let empty = Self { models: Vec::new(), default_ladder: Vec::new() };
        empty.with(BUILT_IN, "built-in catalogue.toml")
    }

    /// The built-in catalogue with the entries of `<home>/catalogue.toml`, where there is one.
    ///
    /// # Errors
    /// `HUB_BAD_CATALOGUE`, `HUB_IO` or `HUB_READ_ONLY` for a file that cannot be used.
    pub fn load(home: &Path) -> Result<Self, PullError> {
        let path = home.join("catalogue.toml");
        match read_if_there(&path)? {
            Some(text) => Self::built_in()?.with(&text, &path.display().to_string()),
            None => Self::built_in(),
        }
    }

    /// Adds the entries of a catalogue file; one with a known name replaces that entry.
    ///
    /// # Errors
    /// `HUB_BAD_CATALOGUE` naming `origin`.
    pub fn with(mut self, text: &str, origin: &str) -> Result<Self, PullError> {
        let bad = |reason: String| PullError::BadCatalogue { origin: origin.to_owned(), reason };
        let file: CatalogueFile = toml::from_str(text).map_err(|e| bad(e.to_string()))?;
        for model in file.models {
            check(&model).map_err(|reason| bad(format!("model {:?}: {reason}", model.name)))?;
            match self.models.iter_mut().find(|known| known.name == model.name) {
                Some(known) => *known = model,
                None => self.models.push(model),
            }
        }
        if let Some(ladder) = file.default_ladder {
            self.default_ladder = ladder;
        }
        match self.default_ladder.iter().find(|rung| self.find(rung).is_err()) {
            Some(rung) => Err(bad(format!("default_ladder names {rung:?}, which is not a model here"))),
            None => Ok(self),
        }
    }

    /// Every model, built-in ones first.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The names of the default ladder, from the cheapest rung to the strongest.
    pub fn default_ladder(&self) -> &[String] {
        &self.default_ladder
    }

    /// The model of that name.
    ///
    /// # Errors
    /// `HUB_UNKNOWN_MODEL` with names that are near.
    pub fn find(&self, name: &str) -> Result<&Model, PullError> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| PullError::UnknownModel {
            name: name.to_owned(),
            near: names::near(name, self.models.iter().map(|model| model.name.as_str())),
        })
    }
}

/// A file's text, or nothing where there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, PullError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        // Below something that is no folder there is no file; whoever has to write there says so.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(PullError::Io { path: path.to_path_buf(), source }),
    }
}

/// Names become paths here, so that each must be one plain path component.
fn check(model: &Model) -> Result<(), String> {
    if !names::is_plain(&model.name) {
        return Err(
            "the name may hold letters, digits, '.', '-' and '_', and starts with neither mark".into()
        );
    }
    if model.files.is_empty() {
        return Err("it has no files".into());
    }
    let mut seen = HashSet::new();
    for file in &model.files {
        if !names::is_plain(&file.name) || !seen.insert(&file.name) {
            return Err(format!("{:?} is no plain file name of its own", file.name));
        }
        let hex = |text: &str, digits| {
            text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !hex(&file.sha256, 64) {
            return Err(format!("sha256 of {} is not 64 lower-case hex digits", file.name));
        }
        if file.git_blob.as_ref().is_some_and(|sha1| !hex(sha1, 40)) {
            return Err(format!("git_blob of {} is not 40 lower-case hex digits", file.name));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalogue_has_the_default_ladder() {
        let catalogue = Catalogue::built_in().unwrap();
        assert_eq!(catalogue.default_ladder(), ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]);
        assert!(catalogue.find("gemma-3-270m").unwrap().licence_note.starts_with("Gemma terms:"));
        assert_eq!(catalogue.find("all-minilm-l6-v2").unwrap().files.len(), 3);
    }

    #[test]
    fn a_near_name_is_suggested() {
        let error = Catalogue::built_in().unwrap().find("qwen2.5-coder-0.5").unwrap_err();
        assert_eq!(error.code(), "HUB_UNKNOWN_MODEL");
        assert!(error.to_string().contains("did you mean qwen2.5-coder-0.5b"), "{error}");
        let error = Catalogue::built_in().unwrap().find("zzzzzzzz").unwrap_err();
        assert!(!error.to_string().contains("did you mean"), "{error}");
    }

    fn entry(name: &str, file: &str, sha256: &str) -> String {
        format!(
            "[[model]]\nname='{name}'\narchitecture='llama'\nquantization='Q8_0'\nlicence='MIT'\n\
             roles=['draft']\nparameters=1\ncontext=8\n\
             [[model.files]]\nname='{file}'\nbytes=3\nsha256='{sha256}'\n"
        )
    }

    #[test]
    fn a_user_entry_replaces_and_adds() {
        let sha = "0".repeat(64);
        let text = entry("smollm2-135m", "mine.gguf", &sha) + &entry("own", "own.gguf", &sha);
        let catalogue = Catalogue::built_in().unwrap().with(&text, "user").unwrap();
        assert_eq!(catalogue.find("smollm2-135m").unwrap().files[0].name, "mine.gguf");
        assert_eq!(catalogue.models().len(), Catalogue::built_in().unwrap().models().len() + 1);
    }

    #[test]
    fn entries_that_would_leave_the_models_folder_are_refused() {
        let sha = "0".repeat(64);
        for (name, file, sha) in [
            ("../up", "a.gguf", sha.as_str()),
            ("ok", "../../a.gguf", &sha),
            ("ok", "/etc/passwd", &sha),
            ("ok", "a\\b.gguf", &sha),
            ("ok", ".hidden", &sha),
            ("ok", "a.gguf", "abc"),
        ] {
            let error =
                Catalogue::built_in().unwrap().with(&entry(name, file, sha), "user.toml").unwrap_err();
            assert_eq!(error.code(), "HUB_BAD_CATALOGUE", "{name} {file}");
            assert!(error.to_string().starts_with("user.toml: "), "{error}");
        }
    }
}
