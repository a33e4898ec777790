//! Certificates and their reload.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;
use webpki::EndEntityCert;

use crate::{
    Failure,
    config::{Tls, invalid},
    file_watch::on_change,
};

/// The node's certificate and what it asks of clients, as the files have them.
pub(crate) struct Certificates {
    files: Tls,
    present: ArcSwap<ServerConfig>,
    failed: AtomicU64,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// `CONFIG_INVALID` naming the file and what is wrong with it.
    pub(crate) fn load(files: &Tls) -> Result<Self, Failure> {
        let present = ArcSwap::new(Arc::new(read(files)?));
        Ok(Self { files: files.clone(), present, failed: AtomicU64::new(0) })
    }

    /// For the next handshake.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.present.load_full())
    }

    /// The name of whoever has shown these certificates in a handshake, which has checked them: the first DNS name of the
    /// first one. None where certificates stand for nothing.
    pub(super) fn name_of(&self, shown: Option<&[CertificateDer<'_>]>) -> Option<Arc<str>> {
        let first = shown.filter(|_| self.files.client_names)?.first()?;
        let certificate = EndEntityCert::try_from(first).ok()?;
        certificate.valid_dns_names().next().map(Arc::from)
    }

    pub(super) fn note_failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Handshakes that failed or took too long.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Reads the files again whenever one changed. Connections that are open keep what they agreed on. Files that
    /// make no sense, half-written ones for instance, change nothing and are read again when they change again.
    pub(crate) async fn follow(self: Arc<Self>) {
        let files = &self.files;
        let paths = [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()];
        let paths: Vec<_> = paths.into_iter().flatten().collect();
        on_change(&paths, Duration::from_secs(files.reload_s), || match read(files) {
            Ok(config) => self.present.store(Arc::new(config)),
            Err(error) => tracing::error!(%error, "the new certificates are unusable; the old ones stay"),
        })
        .await;
    }
}

fn read(files: &Tls) -> Result<ServerConfig, Failure> {
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unusable(&files.key, &error))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.cert, &error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| unusable(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| unusable(path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable(&files.cert, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(unusable(path, &"it holds no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Failure {
    invalid(&path.display().to_string(), why)
}
