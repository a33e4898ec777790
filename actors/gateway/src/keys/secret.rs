//! A key, and the digest that is kept of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::{Failure, codes};

/// What every key begins with, so that people and scanners of secrets know one when they see it.
const PREFIX: &str = "sk-us-";

/// A new key. Nothing prints it by accident.
pub struct ApiKey(String);

impl ApiKey {
    /// 256 bits of the system's randomness.
    ///
    /// # Errors
    /// `INTERNAL` where the system has none.
    pub fn generate() -> Result<Self, Failure> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)
            .map_err(|error| Failure::new(codes::INTERNAL, format!("no randomness: {error}")))?;
        Ok(Self(format!("{PREFIX}{}", hex(&bits))))
    }

    /// The key, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.digest().brief())
    }
}

/// SHA-256 of a key, as 64 hexadecimal digits in text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of whatever was presented as a key.
    pub fn of(presented: &str) -> Self {
        Self(Sha256::digest(presented).into())
    }

    /// Whether they are the same, in a time that does not tell where they differ.
    pub(super) fn same(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }

    /// Six digits, for logs: enough to find a key in `understudy keys list`, useless otherwise.
    pub fn brief(&self) -> String {
        hex(&self.0[..3])
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "is no SHA-256 of 64 hexadecimal digits".to_owned();
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(digest))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        hex(&digest.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_random_and_hides_itself() {
        let (one, other) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), PREFIX.len() + 64);
        assert!(!format!("{one:?}").contains(&one.reveal()[PREFIX.len()..]));
        assert!(bool::from(one.digest().same(&Digest::of(one.reveal()))));
        assert!(!bool::from(one.digest().same(&other.digest())));
    }

    #[test]
    fn digests_are_sha256_and_survive_text() {
        let known = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(String::from(Digest::of("hello")), known);
        assert_eq!(known.parse(), Ok(Digest::of("hello")));
        for wrong in ["", "2cf2", &known[1..], &format!("{}g", &known[1..]), &"ü".repeat(32)] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong:?}");
        }
    }
}
