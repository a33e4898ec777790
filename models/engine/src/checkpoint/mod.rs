//! Checkpoints as model hubs have them: a folder with safetensors files, `config.json` and
//! `tokenizer.json`.
//!
//! What is read is said in GGUF's terms ([`Gguf`]), so nothing behind the reader knows of another
//! format. Float weights stay in the mapped files; only small vectors and 4-bit weights of GPTQ
//! and AWQ are converted.
//!
//! | module | its part |
//! |---|---|
//! | `folder` | the files, mapped and checked |
//! | `settings` | `config.json` as keys |
//! | `names` | tensor names, and what a family stores in another way |
//! | `four_bit` | GPTQ and AWQ as blocks that the kernels hold |
//! | `tokenizer` | `tokenizer.json` and the chat template as keys |
//!
//! The files are taken to be hostile, as a GGUF file is: whatever is not understood is refused by
//! name, since a setting that is passed over makes answers almost right.

mod error;
mod folder;
mod four_bit;
mod names;
mod settings;
#[cfg(test)]
mod tests;
mod tokenizer;

use std::path::Path;

pub use error::CheckpointError;
pub(crate) use folder::{Folder, Stored, Tensors};
pub(crate) use settings::Settings;

use crate::gguf::{Assembly, Gguf};

/// Whether a path means a checkpoint: a folder, or a safetensors file in one.
pub fn is_checkpoint(path: &Path) -> bool {
    let extension = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
    extension || path.is_dir()
}

/// The `model_type` of a checkpoint's `config.json`, such as `llama` or `bert`.
///
/// # Errors
/// [`CheckpointError`] when it cannot be read.
pub fn model_type(path: &Path) -> Result<String, CheckpointError> {
    Ok(Settings::read(&Folder::of(path))?.model_type()?.to_owned())
}

/// Maps a checkpoint and reads its settings, tensor tables and tokenizer.
///
/// # Errors
/// [`CheckpointError`] names the file, tensor or setting.
pub fn open(path: &Path) -> Result<Gguf, CheckpointError> {
    let folder = Folder::of(path);
    let settings = Settings::read(&folder)?;
    let family = settings.family()?;
    let Tensors { parts, modified, by_name } = folder.tensors()?;
    let mut model = Assembly::over(folder.path(), parts, modified);
    settings.write(family, &mut model)?;
    let by_name = match settings.four_bit()? {
        Some(scheme) => four_bit::convert(&scheme, by_name, family, &mut model)?,
        None => by_name,
    };
    let tied = settings.is_tied(family);
    let vocab = names::write(family, tied, by_name, &mut model)?;
    tokenizer::write(&folder, &settings, vocab, &mut model)?;
    Ok(model.finish())
}
