//! The side that types the code in.

use super::{
    Binding, Kind, Next, PairingError, Turn, VERSION, Welcome,
    inviter::{LET_IN, NOT_LET_IN},
    is_name,
    keys::{Exchange, Proof, Seal, Transcript},
};
use crate::{
    error::IdentityError,
    fields::{Reader, Writer},
    invite::InviteCode,
    key::NodeKey,
    node::Fingerprint,
};

/// A node that wants to be let in.
pub struct Joiner {
    fingerprint: Fingerprint,
    /// Its request for a certificate and its name, ready to be sealed.
    application: Vec<u8>,
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "there is one for each pairing under way, and few of those")]
enum State {
    AwaitsAnswer { exchange: Exchange, transcript: Transcript },
    AwaitsProof { expected: Proof, own_seal: Seal, their_seal: Seal, inviter: Fingerprint },
    AwaitsWelcome { seal: Seal, inviter: Fingerprint },
    Over,
}

impl Joiner {
    /// Begins. `binding` is of the TLS connection that was made for this; `name` is for people. Gives the first
    /// frame to send.
    ///
    /// # Errors
    /// The name is unusable, or signing failed.
    pub fn start(
        code: &InviteCode,
        key: &NodeKey,
        name: &str,
        binding: Binding,
    ) -> Result<(Self, Vec<u8>), IdentityError> {
        if !is_name(name) {
            return Err(IdentityError::BadName(name.into()));
        }
        let (exchange, message) = Exchange::of_joiner(code.password());
        let opening = Writer::default().raw(&[VERSION, code.label()]).raw(key.fingerprint().as_bytes());
        let hello = Kind::Hello.frame(&opening.raw(&message).done());
        let mut transcript = Transcript::begin(&binding);
        transcript.add(&hello);
        let application = application(key, name)?;
        let state = State::AwaitsAnswer { exchange, transcript };
        Ok((Self { fingerprint: key.fingerprint(), application, state }, hello))
    }

    /// Takes a frame of the inviter.
    pub fn receive(&mut self, frame: &[u8]) -> Turn<Box<Welcome>> {
        let step = match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitsAnswer { exchange, transcript } => self.prove(frame, exchange, transcript),
            State::AwaitsProof { expected, own_seal, their_seal, inviter } => {
                self.apply(frame, &expected, own_seal, their_seal, inviter)
            }
            State::AwaitsWelcome { seal, inviter } => self.enter(frame, seal, inviter),
            State::Over => Err(PairingError::OutOfOrder("the pairing is over")),
        };
        step.unwrap_or_else(|error| Turn { send: None, next: Next::Failed(error) })
    }

    fn prove(
        &mut self,
        frame: &[u8],
        exchange: Exchange,
        mut transcript: Transcript,
    ) -> Result<Turn<Box<Welcome>>, PairingError> {
        let mut answer = Reader::of(Kind::Answer.expect(frame)?);
        let inviter = answer.array()?;
        transcript.add(frame);
        let keys = exchange.finish(answer.rest(), transcript)?;
        let proof = Kind::Confirm.frame(keys.joiner_proof.to_show());
        self.state = State::AwaitsProof {
            expected: keys.inviter_proof,
            own_seal: keys.joiner_seal,
            their_seal: keys.inviter_seal,
            inviter: Fingerprint::from_bytes(inviter),
        };
        Ok(Turn { send: Some(proof), next: Next::Wait })
    }

    fn apply(
        &mut self,
        frame: &[u8],
        expected: &Proof,
        own_seal: Seal,
        their_seal: Seal,
        inviter: Fingerprint,
    ) -> Result<Turn<Box<Welcome>>, PairingError> {
        if !expected.is(Kind::Confirm.expect(frame)?) {
            return Err(PairingError::Refused);
        }
        let application = std::mem::take(&mut self.application).into();
        let sealed = Kind::Sealed.frame(&own_seal.seal(application)?);
        self.state = State::AwaitsWelcome { seal: their_seal, inviter };
        Ok(Turn { send: Some(sealed), next: Next::Wait })
    }

    fn enter(
        &mut self,
        frame: &[u8],
        seal: Seal,
        inviter: Fingerprint,
    ) -> Result<Turn<Box<Welcome>>, PairingError> {
        let opened = seal.open(Kind::Sealed.expect(frame)?)?;
        match opened.split_first() {
            Some((&LET_IN, welcome)) => {
                let welcome = Welcome::read(welcome, self.fingerprint, inviter)?;
                Ok(Turn { send: None, next: Next::Done(Box::new(welcome)) })
            }
            Some((&NOT_LET_IN, why)) => {
                let why =
                    String::from_utf8_lossy(why).chars().filter(|c| !c.is_control()).take(300).collect();
                Err(PairingError::NotWelcome(why))
            }
            _ => Err(PairingError::OutOfOrder("neither a welcome nor a refusal")),
        }
    }
}

fn application(key: &NodeKey, name: &str) -> Result<Vec<u8>, IdentityError> {
    Ok(Writer::default().bytes(&key.request()?).bytes(name.as_bytes()).done())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        clock::ManualClock,
        invite::Invites,
        pairing::{Host, Inviter},
        store::ClusterFiles,
    };

    /// Somebody who knows the code and keeps to the protocol, but for the application.
    #[test]
    fn an_application_that_is_not_in_order_is_turned_down_with_the_reason() {
        let clock = Arc::new(ManualClock::at_ms(1_800_000_000_000));
        let home = tempfile::tempdir().unwrap();
        let files = ClusterFiles::at(home.path());
        files.init("lab", &*clock).unwrap();
        let [key, other, denied] = [(); 3].map(|()| NodeKey::generate().unwrap());
        files.revoke(denied.fingerprint(), "stolen", &*clock).unwrap();
        let invites = Arc::new(Invites::new(clock.clone()));
        let host = Arc::new(Host::of(&files.open().unwrap(), invites.clone(), vec![], clock).unwrap());

        let good = application(&key, "x").unwrap();
        let table = [
            ("another key", application(&other, "x").unwrap(), "another key"),
            ("a denied key behind a good one", application(&denied, "x").unwrap(), "another key"),
            ("a name that moves the cursor", application(&key, "\u{1b}[2J").unwrap(), "control characters"),
            ("no request", Writer::default().bytes(b"request").bytes(b"x").done(), "not one"),
            ("cut short", good[..good.len() - 1].to_vec(), "cannot be read"),
            ("more than that", [&good[..], b"x"].concat(), "cannot be read"),
        ];
        for (what, application, words) in table {
            let code = invites.open(false).unwrap().code;
            let binding = Binding::from_bytes([7; 32]);
            let (mut joiner, hello) = Joiner::start(&code, &key, "x", binding).unwrap();
            joiner.application = application;
            let mut inviter = Inviter::new(host.clone(), binding);
            let mut frame = hello;
            let told = loop {
                let turn = joiner.receive(&inviter.receive(&frame).send.unwrap());
                match turn.next {
                    Next::Wait => frame = turn.send.unwrap(),
                    Next::Done(_) => panic!("{what} was let in"),
                    Next::Failed(error) => break error.to_string(),
                }
            };
            assert!(told.contains(words), "{what}: {told}");
        }
    }
}
