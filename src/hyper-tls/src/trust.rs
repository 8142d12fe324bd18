//! Which authorities are trusted.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Names a PEM file with further certificate authorities.
pub const CERTIFICATES_VARIABLE: &str = "SSL_CERT_FILE";

/// The trusted certificates could not be put together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The file of further authorities is of no use.
    #[error("{CERTIFICATES_VARIABLE}: `{file}`: {reason}")]
    Certificates {
        /// As it was named.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// rustls was built without what it needs.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// The settings of every TLS client of the program, read once; see the crate's documentation for whom they trust.
///
/// # Errors
/// See [`TrustError`].
pub fn client_config() -> Result<Arc<ClientConfig>, TrustError> {
    // Dozens of clients share it: a list of authorities takes time to read, and room to keep.
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, TrustError>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let file = std::env::var_os(CERTIFICATES_VARIABLE).filter(|file| !file.is_empty());
        client_config_trusting(file.as_deref().map(Path::new))
    });
    config.clone()
}

/// As [`client_config`], with the file given instead of taken from the environment.
///
/// # Errors
/// See [`TrustError`].
pub fn client_config_trusting(certificates: Option<&Path>) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(file) = certificates {
        add_certificates(&mut roots, file).map_err(|reason| TrustError::Certificates {
            file: file.display().to_string(),
            reason,
        })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::Setup(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn add_certificates(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        added += 1;
    }
    if added == 0 {
        return Err("it holds no certificate in PEM form".to_owned());
    }
    Ok(())
}
