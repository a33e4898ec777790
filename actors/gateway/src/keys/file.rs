//! `keys.toml`: made, changed and read whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use understudy_backend::Priority;

use super::secret::Digest;
use crate::{
    Caller, Failure,
    admission::tenant::TenantLimits,
    caller::{Scope, Scopes},
    codes,
    config::invalid,
};

/// Each request looks at all keys, so there is a bound: this many take some ten microseconds.
const MOST_KEYS: usize = 1000;
const LONGEST_NAME: usize = 64;

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The keys, oldest first.
    #[serde(default)]
    pub keys: Vec<KeyRecord>,
}

/// One key and what its holder may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Whose it is: the tenant of its requests.
    pub name: String,
    /// SHA-256 of the key.
    pub sha256: Digest,
    /// What it opens.
    pub scopes: Vec<Scope>,
    /// The best priority that its requests may have.
    #[serde(default)]
    pub priority: Level,
    /// Requests per minute. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Requests that may come at once before `requests_per_minute` counts. Default: those of a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Tokens of prompts and answers per minute. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u32>,
    /// Requests in flight. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<usize>,
    /// When it was made, in seconds since 1970.
    #[serde(default)]
    pub created: u64,
}

/// A priority as the file names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A person waits.
    #[default]
    Interactive,
    /// A program waits.
    Agent,
    /// Nobody waits.
    Batch,
}

impl KeyRecord {
    /// Whoever shows this key.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            tenant: self.name.clone(),
            priority: match self.priority {
                Level::Interactive => Priority::Interactive,
                Level::Agent => Priority::Agent,
                Level::Batch => Priority::Batch,
            },
            scopes: self.scopes.iter().copied().collect::<Scopes>(),
            limits: TenantLimits {
                requests_per_minute: self.requests_per_minute,
                burst: self.burst.or(self.requests_per_minute).unwrap_or(0),
                tokens_per_minute: self.tokens_per_minute,
                concurrency: self.concurrency,
            },
        }
    }

    fn first_problem(&self) -> Option<String> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let name = &self.name;
        match () {
            () if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_name) => {
                Some(format!("the name {name:?} must be 1 to {LONGEST_NAME} letters, digits, dots, - and _"))
            }
            () if self.scopes.is_empty() => Some(format!("the key {name:?} has no scope")),
            () if self.requests_per_minute == Some(0)
                || self.burst == Some(0)
                || self.tokens_per_minute == Some(0)
                || self.concurrency == Some(0) =>
            {
                Some(format!("a limit of the key {name:?} is 0; revoke it instead"))
            }
            () if self.burst.is_some() && self.requests_per_minute.is_none() => {
                Some(format!("the key {name:?} has a burst and no requests_per_minute"))
            }
            () => None,
        }
    }
}

impl KeyFile {
    /// Reads it; one that does not exist holds no keys.
    ///
    /// # Errors
    /// `CONFIG_INVALID` naming the file and what is wrong.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let origin = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(invalid(&origin, error)),
        };
        // The parser's own words quote the line, which may hold a key that somebody wrote where a digest belongs.
        let file: Self = toml::from_str(&text).map_err(|error| invalid(&origin, error.message()))?;
        match file.first_problem() {
            Some(problem) => Err(invalid(&origin, problem)),
            None => Ok(file),
        }
    }

    /// Changes the file as a whole: a reader sees it as before or as after. Two changes come one after the other.
    /// Only this user may read it.
    ///
    /// # Errors
    /// Those of [`load`](Self::load) and of `change`; `REQUEST_INVALID` where the result is not allowed; `INTERNAL`
    /// where the file cannot be written.
    pub fn change(path: &Path, change: impl FnOnce(&mut Self) -> Result<(), Failure>) -> Result<(), Failure> {
        let unwritable = |error: io::Error| {
            Failure::new(codes::INTERNAL, format!("{} cannot be written: {error}", path.display()))
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let lock = File::create(path.with_extension("lock")).map_err(unwritable)?;
        lock.lock().map_err(unwritable)?;
        let mut file = Self::load(path)?;
        change(&mut file)?;
        if let Some(problem) = file.first_problem() {
            return Err(Failure::new(codes::REQUEST_INVALID, problem));
        }
        let text = toml::to_string(&file)
            .map_err(|error| Failure::new(codes::INTERNAL, format!("keys cannot be written: {error}")))?;
        write_whole(path, &text).map_err(unwritable)
    }

    fn first_problem(&self) -> Option<String> {
        if self.keys.len() > MOST_KEYS {
            return Some(format!("{} keys are more than {MOST_KEYS}", self.keys.len()));
        }
        self.keys.iter().enumerate().find_map(|(i, key)| {
            let twice = self.keys[..i].iter().any(|earlier| earlier.name == key.name);
            if twice { Some(format!("the name {:?} is there twice", key.name)) } else { key.first_problem() }
        })
    }
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("toml.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> KeyRecord {
        KeyRecord {
            name: name.into(),
            sha256: Digest::of(name),
            scopes: vec![Scope::Inference],
            priority: Level::Agent,
            requests_per_minute: Some(60),
            burst: None,
            tokens_per_minute: Some(9000),
            concurrency: Some(2),
            created: 7,
        }
    }

    #[test]
    fn what_is_written_is_read_by_this_user_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/keys.toml");
        assert_eq!(KeyFile::load(&path).unwrap(), KeyFile::default());
        for name in ["a", "b"] {
            KeyFile::change(&path, |file| {
                file.keys.push(record(name));
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(KeyFile::load(&path).unwrap().keys, [record("a"), record("b")]);
        let caller = record("a").caller();
        assert_eq!((caller.priority, caller.limits.burst), (Priority::Agent, 60));
        assert_eq!(caller.limits.tokens_per_minute, Some(9000));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_change_that_makes_no_sense_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys.toml");
        let push = |key: KeyRecord| {
            KeyFile::change(&path, |file| {
                file.keys.push(key);
                Ok(())
            })
        };
        push(record("a")).unwrap();
        for (key, words) in [
            (record("a"), "twice"),
            (record(""), "1 to 64"),
            (record("two words"), "1 to 64"),
            (KeyRecord { scopes: vec![], ..record("b") }, "no scope"),
            (KeyRecord { concurrency: Some(0), ..record("b") }, "is 0"),
            (KeyRecord { tokens_per_minute: Some(0), ..record("b") }, "is 0"),
            (KeyRecord { requests_per_minute: None, burst: Some(1), ..record("b") }, "burst"),
        ] {
            let error = push(key).unwrap_err();
            assert!(error.code == codes::REQUEST_INVALID && error.message.contains(words), "{error}");
        }
        assert_eq!(KeyFile::load(&path).unwrap().keys.len(), 1);
    }

    #[test]
    fn a_key_written_where_its_digest_belongs_is_not_repeated() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys.toml");
        fs::write(&path, "[[keys]]\nname = \"a\"\nscopes = [\"inference\"]\nsha256 = \"sk-us-5ec2e7\"\n")
            .unwrap();
        let error = KeyFile::load(&path).unwrap_err();
        assert_eq!(error.code, codes::CONFIG_INVALID);
        assert!(error.message.contains("SHA-256") && !error.message.contains("5ec2e7"), "{error}");
    }
}
