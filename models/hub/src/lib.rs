//! The model catalogue, and how a model's files reach this machine.
//!
//! | module | holds |
//! |---|---|
//! | [`Catalogue`] | the models known by name: `catalogue.toml` in this crate and in the user's home |
//! | [`Mirrors`] | which packages hold which files: `mirrors.toml`, likewise |
//! | [`Home`] | where models live, what is here, which files were checked |
//! | [`Puller`] | gets a model here: hub first, then packages; continues, checks, locks |
//! | [`PullEvent`], [`Rate`] | what a pull tells while it runs, and speed and time left from it |
//! | [`ModelSpec`] | a catalogue name or a GGUF file of the user's own |
//! | [`PullError`] | what can go wrong, with a stable code and a way out |
//!
//! A file is what its SHA-256 in the catalogue says, wherever its bytes came from, and it appears under
//! its name only when whole and checked. All calls block; none needs a runtime.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use understudy_hub::{Catalogue, Home, Mirrors, ModelSpec, Puller, Resolved, Settings};
//!
//! # let folder = tempfile::tempdir()?;
//! # let home = Home::at(folder.path());
//! let settings = Settings { offline: true, ..Settings::default() };
//! let puller = Puller::new(home, Catalogue::built_in()?, Mirrors::built_in()?, settings);
//!
//! let spec = ModelSpec::from("smollm2-135m");
//! if let Resolved::Catalogued(model) = puller.catalogue().resolve(&spec)? {
//!     let cancel = AtomicBool::new(false);
//!     match puller.pull(&model.name, &mut |event| println!("{event:?}"), &cancel) {
//!         Ok(pulled) => println!("{} is at {}", pulled.model, pulled.path.display()),
//!         Err(error) => assert_eq!(error.code(), "HUB_NO_SOURCE", "{error}: {}", error.help()),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalogue;
mod digest;
mod error;
mod events;
mod home;
mod job;
mod lock;
mod mirrors;
mod names;
mod partial;
mod pull;
mod rate;
mod resolve;
mod settings;
mod source;

pub use catalogue::{Catalogue, HubFile, Model, ModelFile, Role};
pub use error::{Attempt, PullError};
pub use events::{PullEvent, Source};
pub use home::{Home, Listed, Presence};
pub use mirrors::{Mirror, Mirrors, Part};
pub use pull::{Pulled, Puller};
pub use rate::Rate;
pub use resolve::{ModelSpec, Resolved};
pub use settings::{FreeSpace, Settings};
