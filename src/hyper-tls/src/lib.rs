//! rustls behind the public items of hyper-tls 0.5.
//!
//! rusoto speaks HTTPS through hyper-tls (OpenSSL) or through a rustls that has known holes. This crate takes the
//! place of the former by `[patch.crates-io]`, so that the whole program has one TLS stack. Plain `http://` goes
//! through untouched.
//!
//! # Whom it trusts
//! The roots of `webpki-roots`, and the certificates of the PEM file that the environment variable
//! `SSL_CERT_FILE` names: the usual way to add the authority of one's own site. A file that cannot be read, or
//! that holds no certificate, is an error and never silently ignored: [`client_config`] tells it, and a connector
//! made without asking fails every HTTPS connection with that text.

mod connector;
mod stream;
mod trust;

pub use connector::{HttpsConnecting, HttpsConnector};
pub use stream::{MaybeHttpsStream, TlsStream};
pub use trust::{CERTIFICATES_VARIABLE, TrustError, client_config, client_config_trusting};
