//! The files of a checkpoint: safetensors, whole or in shards, and the JSON beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use understudy_kernels::{MappedFile, QuantType};

use super::CheckpointError;
use crate::gguf::{Bytes, Parts, modified};

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Far above any real checkpoint's.
const MOST_SHARDS: usize = 1024;
/// The largest tokenizers have 35 MB.
const MOST_JSON_BYTES: u64 = 128 << 20;

/// A tensor as its file declares it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) dtype: Dtype,
    /// The last dimension is the contiguous one.
    pub(crate) shape: Vec<usize>,
    /// Its bytes among the parts, exactly as long as type and shape demand.
    pub(crate) range: Range<usize>,
}

impl Stored {
    /// The kernels' name of its type, where they read it.
    pub(crate) fn float(&self) -> Option<QuantType> {
        match self.dtype {
            Dtype::F32 => Some(QuantType::F32),
            Dtype::F16 => Some(QuantType::F16),
            Dtype::BF16 => Some(QuantType::BF16),
            _ => None,
        }
    }
}

/// A checkpoint's folder.
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder that a path means: itself, or that of one of its files.
    pub(crate) fn of(path: &Path) -> Self {
        let parent = path.parent().filter(|_| path.is_file());
        Self { path: parent.unwrap_or(path).to_path_buf() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A text file; `None` where there is none.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, CheckpointError> {
        let path = self.path.join(name);
        let bytes = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Ok(metadata) if metadata.len() > MOST_JSON_BYTES => {
                let reason = format!("{} bytes are more than any such file has", metadata.len());
                return Err(CheckpointError::damaged(name, reason));
            }
            Ok(_) => fs::read(&path),
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|source| CheckpointError::Io { path, source })?;
        String::from_utf8(bytes).map(Some).map_err(|error| CheckpointError::damaged(name, error))
    }

    /// A JSON file; `None` where there is none.
    pub(crate) fn json(&self, name: &str) -> Result<Option<Value>, CheckpointError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| CheckpointError::damaged(name, error))
    }

    /// Maps the weights and reads where each tensor lies. Tensor data is not touched.
    pub(crate) fn tensors(&self) -> Result<Tensors, CheckpointError> {
        let mut tensors = Tensors { parts: Parts::default(), modified: 0, by_name: BTreeMap::new() };
        let Some(index) = self.json(INDEX)? else {
            tensors.add(&self.path, WHOLE)?;
            return Ok(tensors);
        };
        let places = index.get("weight_map").and_then(Value::as_object);
        let places = places.ok_or_else(|| CheckpointError::damaged(INDEX, "it has no weight_map"))?;
        let shards = shards(places.values())?;
        for shard in &shards {
            tensors.add(&self.path, shard)?;
        }
        match places.keys().find(|name| !tensors.by_name.contains_key(*name)) {
            Some(name) => Err(CheckpointError::missing(format!("the tensor {name}, which {INDEX} names"))),
            None => Ok(tensors),
        }
    }
}

fn shards<'a>(files: impl Iterator<Item = &'a Value>) -> Result<BTreeSet<&'a str>, CheckpointError> {
    let mut shards = BTreeSet::new();
    for file in files {
        // Nothing outside the folder is opened, whatever the index says.
        let plain = file.as_str().filter(|name| Path::new(name).file_name() == Some(name.as_ref()));
        let plain =
            plain.ok_or_else(|| CheckpointError::damaged(INDEX, format!("{file} is no file name")))?;
        shards.insert(plain);
        if shards.len() > MOST_SHARDS {
            return Err(CheckpointError::damaged(INDEX, format!("more than {MOST_SHARDS} shards")));
        }
    }
    Ok(shards)
}

/// All tensors of a checkpoint.
pub(crate) struct Tensors {
    pub(crate) parts: Parts,
    /// When the youngest of the files changed last.
    pub(crate) modified: u64,
    pub(crate) by_name: BTreeMap<String, Stored>,
}

impl Tensors {
    fn add(&mut self, folder: &Path, name: &str) -> Result<(), CheckpointError> {
        let path = folder.join(name);
        let file = MappedFile::open(&path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => CheckpointError::missing(format!("the file {name}")),
            _ => CheckpointError::Io { path: path.clone(), source },
        })?;
        // Checks that tensors fill the file exactly, without gap or overlap.
        let (header, metadata) = SafeTensors::read_metadata(&file).map_err(|error| {
            let reason = format!("no whole safetensors file ({error}); {} bytes are there", file.len());
            CheckpointError::damaged(name, reason)
        })?;
        self.modified = self.modified.max(modified(&path));
        let data = self.parts.push(Bytes::Mapped(file)) + size_of::<u64>() + header;
        for (tensor, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let stored =
                Stored { dtype: info.dtype, shape: info.shape.clone(), range: data + start..data + end };
            if self.by_name.insert(tensor.clone(), stored).is_some() {
                return Err(CheckpointError::tensor(&tensor, "it is in two files"));
            }
        }
        Ok(())
    }
}
