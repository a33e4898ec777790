//! What both sides derive from the code, the frames and the TLS session.

use ring::{aead, digest, hkdf};
use spake2::{Ed25519Group, Identity, Password, Spake2};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Binding, PairingError};
use crate::error::IdentityError;

/// Bytes of SPAKE2's messages X and Y.
pub(super) const MESSAGE: usize = 33;

/// SPAKE2 under way: this side's secret.
pub(super) struct Exchange(Spake2<Ed25519Group>);

impl Exchange {
    pub(super) fn of_joiner(code: &[u8]) -> (Self, Vec<u8>) {
        let (joiner, inviter) = roles();
        let (exchange, message) = Spake2::start_a(&Password::new(code), &joiner, &inviter);
        (Self(exchange), message)
    }

    pub(super) fn of_inviter(code: &[u8]) -> (Self, Vec<u8>) {
        let (joiner, inviter) = roles();
        let (exchange, message) = Spake2::start_b(&Password::new(code), &joiner, &inviter);
        (Self(exchange), message)
    }

    /// The keys, if the other side took part with the same code, the same frames and the same session; else others.
    pub(super) fn finish(self, theirs: &[u8], transcript: Transcript) -> Result<Keys, PairingError> {
        let shared = self.0.finish(theirs).map(Zeroizing::new);
        let shared = shared.map_err(|_| PairingError::OutOfOrder("no message of SPAKE2"))?;
        Keys::derive(&shared, transcript)
    }
}

fn roles() -> (Identity, Identity) {
    (Identity::new(b"understudy joiner"), Identity::new(b"understudy inviter"))
}

/// A digest of what the two sides should have in common: the TLS session, and the frames with their keys' digests.
pub(super) struct Transcript(digest::Context);

impl Transcript {
    pub(super) fn begin(binding: &Binding) -> Self {
        let mut transcript = Self(digest::Context::new(&digest::SHA256));
        transcript.0.update(b"understudy-join/1\0");
        transcript.0.update(binding.as_bytes());
        transcript
    }

    pub(super) fn add(&mut self, frame: &[u8]) {
        self.0.update(&u64::try_from(frame.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(frame);
    }
}

/// Whoever has the same keys knows the code and talks in the same session.
pub(super) struct Keys {
    pub(super) joiner_proof: Proof,
    pub(super) inviter_proof: Proof,
    pub(super) joiner_seal: Seal,
    pub(super) inviter_seal: Seal,
}

impl Keys {
    fn derive(shared: &[u8], transcript: Transcript) -> Result<Self, PairingError> {
        let transcript = transcript.0.finish();
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, transcript.as_ref()).extract(shared);
        let expand = |purpose: &str| -> Result<Zeroizing<[u8; 32]>, IdentityError> {
            let mut key = Zeroizing::new([0; 32]);
            let purpose = [purpose.as_bytes()];
            let filled = root.expand(&purpose, hkdf::HKDF_SHA256).and_then(|key_of| key_of.fill(&mut *key));
            filled.map_err(IdentityError::crypto)?;
            Ok(key)
        };
        Ok(Self {
            joiner_proof: Proof(expand("joiner's proof")?),
            inviter_proof: Proof(expand("inviter's proof")?),
            joiner_seal: Seal::of(&*expand("joiner's seal")?)?,
            inviter_seal: Seal::of(&*expand("inviter's seal")?)?,
        })
    }
}

/// What a side shows to prove that it has the keys. It is derived for this alone.
pub(super) struct Proof(Zeroizing<[u8; 32]>);

impl Proof {
    pub(super) fn to_show(&self) -> &[u8] {
        &*self.0
    }

    pub(super) fn is(&self, shown: &[u8]) -> bool {
        self.0.ct_eq(shown).into()
    }
}

/// Seals or opens one message, and is used up by that: a key and its nonce serve once.
pub(super) struct Seal(aead::LessSafeKey);

impl Seal {
    fn of(key: &[u8]) -> Result<Self, IdentityError> {
        let key = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, key).map_err(IdentityError::crypto)?;
        Ok(Self(aead::LessSafeKey::new(key)))
    }

    fn nonce() -> aead::Nonce {
        aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
    }

    pub(super) fn seal(self, mut message: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, IdentityError> {
        let tag = self.0.seal_in_place_separate_tag(Self::nonce(), aead::Aad::empty(), &mut message);
        Ok([&message, tag.map_err(IdentityError::crypto)?.as_ref()].concat())
    }

    pub(super) fn open(self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, PairingError> {
        let mut message = Zeroizing::new(sealed.to_vec());
        let opened = self.0.open_in_place(Self::nonce(), aead::Aad::empty(), &mut message);
        let length = opened.map_err(|_| PairingError::Changed)?.len();
        message.truncate(length);
        Ok(message)
    }
}
