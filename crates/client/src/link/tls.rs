//! TLS as a link uses it: version 1.3, X25519MLKEM768 and nothing else, the relay's
//! identity pinned.
//!
//! **Elsewhere.** [`super::relay`] defines pins.
//!
//! **Always.** No session is resumed, so that the relay cannot connect two links by a ticket. The
//! handshake's signature is verified with the certificate's key, pinned or not.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};

use super::relay::Pin;

/// Why the relay's certificate was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IdentityRefused {
    /// It is not the relay that was pinned.
    #[error("the relay presented {presented}, not {expected}")]
    WrongPin {
        /// What the client knows.
        expected: Pin,
        /// What came.
        presented: Pin,
    },
    /// There is no pin, and no authority that the web trusts vouches for it.
    #[error("the relay presented {presented}, and there is no pin to compare it with")]
    NotPinned {
        /// What came.
        presented: Pin,
    },
}

/// The client side of TLS for one link. Make a new one for each, so that two links have
/// nothing in common.
pub(crate) fn config(pin: Option<Pin>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    });
    let verifier: Arc<dyn ServerCertVerifier> = match pin {
        Some(pin) => Arc::new(Pinned {
            pin,
            provider: Arc::clone(&provider),
        }),
        None => Arc::new(WebTrusted::new(&provider)?),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The [`IdentityRefused`] inside an error of rustls, if that is what it is.
pub(crate) fn identity_refused(error: &rustls::Error) -> Option<IdentityRefused> {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error
    else {
        return None;
    };
    inner.downcast_ref::<IdentityRefused>().cloned()
}

fn refuse(why: IdentityRefused) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(why))).into()
}

pub(crate) fn pin_of(certificate: &CertificateDer<'_>) -> Result<Pin, rustls::Error> {
    let parsed =
        webpki::EndEntityCert::try_from(certificate).map_err(|_| CertificateError::BadEncoding)?;
    Ok(Pin::of_public_key(&parsed.subject_public_key_info()))
}

fn unsupported_tls12() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is never offered".into())
}

/// The key counts; names and dates in the certificate say nothing more.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let presented = pin_of(end_entity)?;
        if self.pin.matches(&presented) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refuse(IdentityRefused::WrongPin {
                expected: self.pin,
                presented,
            }))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(unsupported_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A certificate as browsers accept it; another is refused with its pin.
#[derive(Debug)]
struct WebTrusted(Arc<WebPkiServerVerifier>);

impl WebTrusted {
    fn new(provider: &Arc<CryptoProvider>) -> Result<Self, rustls::Error> {
        let roots = Arc::new(rustls::RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        });
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map(Self)
            .map_err(|error| rustls::Error::General(error.to_string()))
    }
}

impl ServerCertVerifier for WebTrusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .or_else(|_| {
                Err(refuse(IdentityRefused::NotPinned {
                    presented: pin_of(end_entity)?,
                }))
            })
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(unsupported_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
