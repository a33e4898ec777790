//! The side that showed the code.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    Binding, Kind, Next, PairingError, Turn, VERSION, Welcome, is_name,
    keys::{Exchange, MESSAGE, Proof, Seal, Transcript},
};
use crate::{
    authority::Authority,
    certificate::NodeCertificate,
    clock::Clock,
    deny::DenyList,
    error::{IdentityError, random},
    fields::{Reader, Writer},
    invite::{Granted, InviteCode, Invites, Ticket},
    node::Fingerprint,
    store::Member,
};

/// What follows in the last sealed message.
pub(super) const LET_IN: u8 = 1;
pub(super) const NOT_LET_IN: u8 = 0;

/// What a member that invites has at hand. Make a new one when the deny list or the addresses change.
#[derive(Debug)]
pub struct Host {
    fingerprint: Fingerprint,
    authority: Arc<Authority>,
    cluster: String,
    denied: DenyList,
    addresses: Vec<String>,
    invites: Arc<Invites>,
    clock: Arc<dyn Clock>,
}

impl Host {
    /// Of a member that holds the authority's key. `addresses` (`HOST:PORT`) are where the joiner may find members.
    ///
    /// # Errors
    /// [`IdentityError::NoAuthority`]
    pub fn of(
        member: &Member,
        invites: Arc<Invites>,
        addresses: Vec<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, IdentityError> {
        Ok(Self {
            fingerprint: member.key.fingerprint(),
            authority: member.authority.clone().ok_or(IdentityError::NoAuthority)?,
            cluster: member.cluster_name.clone(),
            denied: member.denied.clone(),
            addresses,
            invites,
            clock,
        })
    }

    /// The certificate and all that comes with it.
    fn welcome(&self, request: &[u8], granted: Granted) -> Result<Welcome, IdentityError> {
        Ok(Welcome {
            cluster_name: self.cluster.clone(),
            certificate: self.authority.issue(request, self.clock.now_s())?,
            authority_certificate: self.authority.certificate().clone(),
            authority: granted.with_authority.then(|| self.authority.clone()),
            denied: self.denied.iter().cloned().collect(),
            addresses: self.addresses.clone(),
            inviter: self.fingerprint,
        })
    }
}

/// Who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its name, for people.
    pub name: String,
    /// What it got. Its key and its id are in there.
    pub certificate: NodeCertificate,
    /// Whether it got the authority's key.
    pub with_authority: bool,
}

/// A member whose invite somebody uses.
pub struct Inviter {
    host: Arc<Host>,
    binding: Binding,
    state: State,
}

enum State {
    AwaitsHello,
    AwaitsProof {
        ticket: Option<Ticket>,
        expected: Proof,
        own_proof: Proof,
        seals: Seals,
        joiner: Fingerprint,
    },
    AwaitsApplication {
        granted: Granted,
        seals: Seals,
        joiner: Fingerprint,
    },
    Over,
}

struct Seals {
    own: Seal,
    theirs: Seal,
}

impl Inviter {
    /// For one connection, whose handshake is over: `binding` is of it.
    pub fn new(host: Arc<Host>, binding: Binding) -> Self {
        Self { host, binding, state: State::AwaitsHello }
    }

    /// Takes a frame of the joiner.
    pub fn receive(&mut self, frame: &[u8]) -> Turn<Guest> {
        let step = match std::mem::replace(&mut self.state, State::Over) {
            State::AwaitsHello => self.answer(frame),
            State::AwaitsProof { ticket, expected, own_proof, seals, joiner } => {
                self.confirm(frame, ticket, &expected, &own_proof, seals, joiner)
            }
            State::AwaitsApplication { granted, seals, joiner } => self.admit(frame, granted, seals, joiner),
            State::Over => Err(PairingError::OutOfOrder("the pairing is over")),
        };
        // The same frame for whatever is wrong.
        step.unwrap_or_else(|error| {
            let frame = match &error {
                PairingError::Version { .. } => Kind::Version.frame(&[VERSION]),
                _ => Kind::Refused.frame(&[]),
            };
            Turn { send: Some(frame), next: Next::Failed(error) }
        })
    }

    fn answer(&mut self, frame: &[u8]) -> Result<Turn<Guest>, PairingError> {
        let hello = Hello::read(Kind::Hello.expect(frame)?)?;
        // Without such an invite a code that nobody knows takes its place: from outside the two cannot be told
        // apart.
        let (ticket, code) = match self.host.invites.labelled(hello.label) {
            Some((ticket, code)) => (Some(ticket), code),
            None => (None, InviteCode::random(random::<1>()?[0])?),
        };
        let (exchange, message) = Exchange::of_inviter(code.password());
        let answer = Writer::default().raw(self.host.fingerprint.as_bytes()).raw(&message).done();
        let answer = Kind::Answer.frame(&answer);
        let mut transcript = Transcript::begin(&self.binding);
        transcript.add(frame);
        transcript.add(&answer);
        let keys = exchange.finish(&hello.message, transcript)?;
        self.state = State::AwaitsProof {
            ticket,
            expected: keys.joiner_proof,
            own_proof: keys.inviter_proof,
            seals: Seals { own: keys.inviter_seal, theirs: keys.joiner_seal },
            joiner: hello.fingerprint,
        };
        Ok(Turn { send: Some(answer), next: Next::Wait })
    }

    fn confirm(
        &mut self,
        frame: &[u8],
        ticket: Option<Ticket>,
        expected: &Proof,
        own_proof: &Proof,
        seals: Seals,
        joiner: Fingerprint,
    ) -> Result<Turn<Guest>, PairingError> {
        let is_right = expected.is(Kind::Confirm.expect(frame)?);
        let granted = ticket.and_then(|ticket| self.host.invites.redeem(ticket, is_right));
        let granted = granted.ok_or(PairingError::Refused)?;
        self.state = State::AwaitsApplication { granted, seals, joiner };
        Ok(Turn { send: Some(Kind::Confirm.frame(own_proof.to_show())), next: Next::Wait })
    }

    fn admit(
        &mut self,
        frame: &[u8],
        granted: Granted,
        seals: Seals,
        joiner: Fingerprint,
    ) -> Result<Turn<Guest>, PairingError> {
        let application = seals.theirs.open(Kind::Sealed.expect(frame)?)?;
        let reply = |kind: u8, body: &[u8]| -> Result<Vec<u8>, IdentityError> {
            Ok(Kind::Sealed.frame(&seals.own.seal(Zeroizing::new([&[kind], body].concat()))?))
        };
        match self.judged(&application, granted, joiner) {
            Ok((welcome, name)) => {
                let frame = reply(LET_IN, &welcome.to_bytes())?;
                let with_authority = welcome.authority.is_some();
                let guest = Guest { name, certificate: welcome.certificate, with_authority };
                Ok(Turn { send: Some(frame), next: Next::Done(guest) })
            }
            Err(error) => {
                // Whoever knows the code may know what is wrong.
                let frame = reply(NOT_LET_IN, error.to_string().as_bytes())?;
                Ok(Turn { send: Some(frame), next: Next::Failed(error.into()) })
            }
        }
    }

    fn judged(
        &self,
        application: &[u8],
        granted: Granted,
        joiner: Fingerprint,
    ) -> Result<(Welcome, String), IdentityError> {
        let mut fields = Reader::of(application);
        let (request, name) = (fields.bytes()?, fields.text()?);
        fields.end()?;
        if !is_name(&name) {
            return Err(IdentityError::BadName(name));
        }
        let welcome = self.host.welcome(request, granted)?;
        let fingerprint = welcome.certificate.fingerprint();
        if fingerprint != joiner {
            return Err(IdentityError::BadRequest("it is for another key than the one of the greeting"));
        }
        match self.host.denied.get(&fingerprint) {
            Some(denial) => Err(IdentityError::Denied { node: fingerprint.node(), when_ms: denial.when_ms }),
            None => Ok((welcome, name)),
        }
    }
}

struct Hello {
    label: u8,
    fingerprint: Fingerprint,
    message: [u8; MESSAGE],
}

impl Hello {
    fn read(body: &[u8]) -> Result<Self, PairingError> {
        match body {
            [] => return Err(PairingError::OutOfOrder("an empty greeting")),
            [VERSION, ..] => {}
            [theirs, ..] => return Err(PairingError::Version { theirs: *theirs }),
        }
        let mut fields = Reader::of(&body[1..]);
        let [label] = fields.array()?;
        let fingerprint = Fingerprint::from_bytes(fields.array()?);
        let hello = Self { label, fingerprint, message: fields.array()? };
        fields.end()?;
        Ok(hello)
    }
}
