//! TLS of a client: whom it trusts, what it shows, and what a failed handshake means.

use std::{error::Error, fmt, io};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Whom a client trusts at an `https://` address, and the certificate that it shows there.
///
/// By default it trusts the public authorities and shows none.
#[derive(Clone, Default)]
pub struct Tls {
    authorities: Option<Certificate>,
    identity: Option<Identity>,
}

impl Tls {
    /// Trusts these authorities (PEM) and no others; `None` where the text holds no certificate.
    pub fn trusting(self, authorities: &[u8]) -> Option<Self> {
        has_certificates(authorities)
            .then(|| Self { authorities: Some(Certificate::from_pem(authorities)), ..self })
    }

    /// Shows this certificate, with those between it and its root, to nodes that want one; both in PEM. `None` where the
    /// one text holds no certificate, or the other no private key.
    pub fn showing(self, certificate: &[u8], key: &[u8]) -> Option<Self> {
        let usable = has_certificates(certificate) && PrivateKeyDer::from_pem_slice(key).is_ok();
        usable.then(|| Self { identity: Some(Identity::from_pem(certificate, key)), ..self })
    }

    pub(crate) fn config(&self) -> ClientTlsConfig {
        let config = match &self.authorities {
            Some(authorities) => ClientTlsConfig::new().ca_certificate(authorities.clone()),
            None => ClientTlsConfig::new().with_webpki_roots(),
        };
        match &self.identity {
            Some(identity) => config.identity(identity.clone()),
            None => config,
        }
    }
}

/// Nothing prints a private key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trusts, shows) = (self.authorities.is_some(), self.identity.is_some());
        f.debug_struct("Tls").field("authorities", &trusts).field("identity", &shows).finish()
    }
}

fn has_certificates(pem: &[u8]) -> bool {
    let mut all = CertificateDer::pem_slice_iter(pem).peekable();
    all.peek().is_some() && all.all(|certificate| certificate.is_ok())
}

/// How the words of [`rustls::Error::AlertReceived`] begin. TLS 1.3 lets a client finish before the node has looked at its
/// certificate, so the alert comes amid HTTP/2, which passes nothing on but the words.
const ALERT: &str = "received fatal alert";
const WANTED: &str =
    "it may want to see a certificate that it trusts: UNDERSTUDY_CLIENT_CERT, UNDERSTUDY_CLIENT_KEY";

/// The cause of a failure, with what to do where the node refused the handshake.
pub(crate) fn explained(why: String) -> String {
    if why.contains(ALERT) { format!("{why}; {WANTED}") } else { why }
}

/// Why this client gave a handshake up.
pub(crate) enum Refusal {
    /// The client does not trust the node.
    Untrusted,
    /// The port speaks something else.
    Plain,
}

impl Refusal {
    /// What a failed connection says about TLS.
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        match cause(error)? {
            rustls::Error::InvalidCertificate(_) => Some(Self::Untrusted),
            rustls::Error::InvalidMessage(_) => Some(Self::Plain),
            _ => None,
        }
    }
}

/// The error of TLS in a chain of causes. An input error does not name what it wraps as its source.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = wrapped.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        if found.is_some() {
            return found;
        }
        next = wrapped.map_or_else(|| error.source(), |inner| Some(inner as &(dyn Error + 'static)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_known_by_its_words() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        assert!(alert.to_string().starts_with(ALERT), "{alert}");
    }

    #[test]
    fn texts_that_are_no_certificates_or_keys_are_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        for text in ["", "hello", broken] {
            assert!(Tls::default().trusting(text.as_bytes()).is_none(), "{text:?}");
            assert!(Tls::default().showing(text.as_bytes(), text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
