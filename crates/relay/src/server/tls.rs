//! The relay's TLS: version 1.3 only, post-quantum key exchange only, and no way to tell that
//! two connections come from one client.
//!
//! **Elsewhere**: [`crate::identity`] has the certificate and its key.
//!
//! **Always**: no tickets and no session storage: a resumed session would connect the posting
//! link, which names nobody, with the mailbox link, which does.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::server::NoServerSessionStorage;

use super::ServeError;
use crate::identity::Identity;

/// The configuration for every connection.
pub(super) fn configuration(
    identity: &Identity,
    name: &str,
) -> Result<Arc<ServerConfig>, ServeError> {
    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    let (certificate, key) = identity.certificate(name)?;
    let mut configuration = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![certificate], key)
        })
        .map_err(|error| ServeError::Tls(error.to_string()))?;
    configuration.session_storage = Arc::new(NoServerSessionStorage {});
    configuration.send_tls13_tickets = 0;
    configuration.max_early_data_size = 0;
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}
