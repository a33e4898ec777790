//! What a pull may use, apart from catalogue and mirrors.

use std::env;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use directories::BaseDirs;
use hf_hub::Cache;

/// Tells the bytes that this user may still write on the disk of a folder.
pub type FreeSpace = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// What a pull may use. [`Settings::from_env`] is what users get; tests replace single fields.
#[derive(Clone)]
pub struct Settings {
    /// Nothing is fetched at all (`UNDERSTUDY_OFFLINE=1`).
    pub offline: bool,
    /// The hub is not asked (`HF_HUB_OFFLINE=1`).
    pub hub_offline: bool,
    /// Another hub address than the usual one (`HF_ENDPOINT`).
    pub endpoint: Option<String>,
    /// Sent to the hub and to nobody else (`HF_TOKEN`, or the hub client's own token file).
    pub token: Option<String>,
    /// Package clients to try, each a command and its first arguments.
    pub clients: Vec<Vec<String>>,
    /// How free space is found out.
    pub free_space: FreeSpace,
    /// A package client that writes nothing for this long is ended.
    pub client_stall: Duration,
    /// Pause before the first retry of a cut hub download; it doubles with each retry in a row.
    pub retry_pause: Duration,
}

impl Settings {
    /// The settings that the environment asks for.
    pub fn from_env() -> Self {
        let text = |name| env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
        Self {
            offline: is_on("UNDERSTUDY_OFFLINE"),
            hub_offline: is_on("HF_HUB_OFFLINE"),
            endpoint: text("HF_ENDPOINT"),
            token: text("HF_TOKEN").or_else(stored_token),
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let clients = ["uvx pip", "uv tool run pip", "pip", "pip3", "python3 -m pip", "python -m pip"];
        Self {
            offline: false,
            hub_offline: false,
            endpoint: None,
            token: None,
            clients: clients.map(|line| line.split(' ').map(str::to_owned).collect()).into(),
            free_space: Arc::new(|folder| fs4::available_space(folder)),
            client_stall: Duration::from_secs(300),
            retry_pause: Duration::from_millis(500),
        }
    }
}

/// The token is left out.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("offline", &self.offline)
            .field("hub_offline", &self.hub_offline)
            .field("endpoint", &self.endpoint)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// False where UNDERSTUDY_MIRRORS says off.
pub(crate) fn mirrors_wanted() -> bool {
    !env::var("UNDERSTUDY_MIRRORS")
        .is_ok_and(|value| ["off", "0", "false", "no"].contains(&value.trim().to_ascii_lowercase().as_str()))
}

fn is_on(name: &str) -> bool {
    env::var(name)
        .is_ok_and(|value| ["1", "on", "true", "yes"].contains(&value.trim().to_ascii_lowercase().as_str()))
}

/// The hub client's cache panics where the user has no home folder and HF_HOME is unset.
fn stored_token() -> Option<String> {
    let has_home = env::var_os("HF_HOME").is_some() || BaseDirs::new().is_some();
    has_home.then(Cache::from_env).and_then(|cache| cache.token())
}
