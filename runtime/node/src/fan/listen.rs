//! Accepting nodes of this cluster: TCP, then TLS with a certificate of its CA.

use super::pump::{HANDSHAKE, tune};
use rustls::ServerConfig;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Takes the address at once, so that a taken port is an error of `start`.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts for ever; each connection that passes its handshake is given to `serve` in a task of its own.
pub(super) async fn accept<F>(
    listener: std::net::TcpListener,
    tls: Arc<ServerConfig>,
    serve: impl Fn(TlsStream<TcpStream>, SocketAddr) -> F + Clone + 'static,
) -> io::Result<()>
where
    F: Future<Output = ()>,
{
    let listener = TcpListener::from_std(listener)?;
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: they come back when connections end.
                tracing::warn!(%error, "a node could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        tokio::task::spawn_local(async move {
            let shaken = tokio::time::timeout(HANDSHAKE, async {
                tune(&stream)?;
                acceptor.accept(stream).await
            });
            match shaken.await {
                Ok(Ok(stream)) => serve(stream, peer).await,
                Ok(Err(error)) => tracing::warn!(%peer, %error, "a stranger is refused"),
                Err(_) => tracing::warn!(%peer, "a handshake took over 5 s"),
            }
        });
    }
}
