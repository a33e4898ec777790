//! rustls' configurations.

use std::sync::Arc;

use rustls::{
    ClientConfig, ServerConfig,
    client::{Resumption, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SigningKey, SingleCertAndKey},
    version::TLS13,
};

use super::{
    Protocol,
    verify::{AnyServer, Clients, Judge, Servers},
};
use crate::{
    certificate::NodeCertificate,
    clock::{SystemClock, TlsTime},
    error::IdentityError,
    key::NodeKey,
    node::Fingerprint,
};

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub(super) fn signing_key(key: &NodeKey) -> Result<Arc<dyn SigningKey>, IdentityError> {
    ring::sign::any_supported_type(&key.to_rustls()).map_err(IdentityError::crypto)
}

/// What the listener answers with: one configuration for each protocol, all with the same certificate.
pub(super) struct Serving {
    certified: Arc<CertifiedKey>,
    configs: [Arc<ServerConfig>; Protocol::ALL.len()],
}

impl Serving {
    pub(super) fn new(
        judge: &Arc<Judge>,
        key: &Arc<dyn SigningKey>,
        certificate: &NodeCertificate,
    ) -> Result<Self, IdentityError> {
        let certified = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key.clone()));
        let [data, join] = Protocol::ALL.map(|protocol| server(judge, &certified, protocol).map(Arc::new));
        Ok(Self { certified, configs: [data?, join?] })
    }

    pub(super) fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        self.configs[protocol as usize].clone()
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

fn server(
    judge: &Arc<Judge>,
    certified: &Arc<CertifiedKey>,
    protocol: Protocol,
) -> Result<ServerConfig, IdentityError> {
    let time = Arc::new(TlsTime(judge.clock().clone()));
    let builder = ServerConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&TLS13])
        .map_err(IdentityError::crypto)?;
    let builder = match protocol {
        Protocol::Join => builder.with_no_client_auth(),
        Protocol::Data => builder.with_client_cert_verifier(Arc::new(Clients::of(judge.clone())?)),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified.clone())));
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    // A resumed session would skip the certificate: the deny list, and whether one was shown at all.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

pub(super) fn client(
    judge: &Arc<Judge>,
    certified: Arc<CertifiedKey>,
    protocol: Protocol,
    expected: Option<Fingerprint>,
) -> Result<ClientConfig, IdentityError> {
    let verifier = Arc::new(Servers::of(judge.clone(), expected)?);
    let builder = verified_by(verifier, TlsTime(judge.clock().clone()))?;
    let mut config = builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

pub(super) fn joining() -> Result<ClientConfig, IdentityError> {
    let verifier = Arc::new(AnyServer::new());
    let mut config = verified_by(verifier, TlsTime(Arc::new(SystemClock)))?.with_no_client_auth();
    config.alpn_protocols = vec![Protocol::Join.alpn().to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn verified_by(
    verifier: Arc<dyn ServerCertVerifier>,
    time: TlsTime,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, IdentityError> {
    let builder = ClientConfig::builder_with_details(provider(), Arc::new(time))
        .with_protocol_versions(&[&TLS13])
        .map_err(IdentityError::crypto)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}
