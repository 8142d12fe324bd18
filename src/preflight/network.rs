//! Whether a host has an address, whether anybody listens there, and whether it proves to be who it should be.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::certificate;
use super::check::{Check, Outcome, Trial};
use super::terms::Server;
use crate::adapters::http::Route;
use crate::settings::Proxies;

/// How long a name, a connection and a handshake may take, each.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A certificate that ends sooner is worth a warning.
const SOON: i64 = 14;

/// What is known of a server: why nothing can be asked of it, if so.
pub type Reachable = BTreeMap<Server, Result<(), String>>;

/// Looks up every host, connects to every server: to the proxy where there is one on the way, which alone has to know
/// the server's name then.
pub async fn check(servers: &[Server]) -> (Vec<Outcome>, Reachable) {
    let servers: Vec<(&Server, Option<Route>)> = servers.iter().map(|server| (server, way(server))).collect();
    let mut hosts: Vec<&str> = servers
        .iter()
        .map(|(server, way)| dialled(server, way.as_ref()).0)
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    let found = join_all(hosts.iter().map(|host| look_up(host))).await;
    let mut outcomes = Vec::new();
    let mut addresses = BTreeMap::new();
    for (host, (outcome, found)) in hosts.into_iter().zip(found) {
        outcomes.push(outcome);
        addresses.insert(host.to_owned(), found);
    }
    let connected = join_all(servers.iter().map(|(server, way)| {
        let found = addresses
            .get(dialled(server, way.as_ref()).0)
            .cloned()
            .unwrap_or_default();
        connect(server, way.as_ref(), found)
    }));
    let mut reachable = Reachable::new();
    for ((server, _), outcome) in servers.iter().zip(connected.await) {
        let works = !matches!(outcome.result, super::Verdict::Failed | super::Verdict::NotTried);
        let why = format!("there is no connection to {}", server.authority());
        reachable.insert((*server).clone(), works.then_some(()).ok_or(why));
        outcomes.push(outcome);
    }
    (outcomes, reachable)
}

/// Through which proxy, if any. Settings that are at fault have been told before anything is checked.
fn way(server: &Server) -> Option<Route> {
    let proxies = Proxies::of_process().ok()?;
    Route::to(&proxies, server.secure, &server.host, server.port)
}

/// Host, without brackets, and port of the connection that is opened.
fn dialled<'a>(server: &'a Server, way: Option<&'a Route>) -> (&'a str, u16) {
    match way.map(Route::proxy) {
        Some(proxy) => {
            let host = proxy.host().trim_start_matches('[').trim_end_matches(']');
            (host, proxy.port())
        }
        None => (&server.host, server.port),
    }
}

async fn look_up(host: &str) -> (Outcome, Vec<IpAddr>) {
    let trial = Trial::new(Check::Dns, host, format_args!("look up {host}"));
    if let Ok(address) = host.parse::<IpAddr>() {
        return (trial.passed("an address: nothing to resolve"), vec![address]);
    }
    const ADVICE: &str = "check the name, and the DNS server that this machine asks; in Kubernetes, the namespace in the \
                          name, and whether a NetworkPolicy lets DNS through";
    let (send, receive) = oneshot::channel();
    let name = host.to_owned();
    // A thread of its own: the system's resolver may take longer than anybody waits for it.
    std::thread::spawn(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        let found = found.map(|found| found.map(|address| address.ip()).collect::<Vec<_>>());
        // Nobody waits any more: then nobody has to be told.
        drop(send.send(found));
    });
    match timeout(PATIENCE, receive).await {
        Ok(Ok(Ok(mut found))) if !found.is_empty() => {
            found.dedup();
            let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
            (trial.passed(shown.join(", ")), found)
        }
        Ok(Ok(Ok(_))) => (trial.failed("it has no address", ADVICE), Vec::new()),
        Ok(Ok(Err(error))) => (
            trial.failed(format_args!("it cannot be resolved: {error}"), ADVICE),
            Vec::new(),
        ),
        Ok(Err(_)) | Err(_) => (
            trial.failed(format_args!("no answer within {PATIENCE:?}"), ADVICE),
            Vec::new(),
        ),
    }
}

async fn connect(server: &Server, way: Option<&Route>, addresses: Vec<IpAddr>) -> Outcome {
    let authority = server.authority();
    let with = if server.secure { ", with TLS" } else { "" };
    let through = way.map_or_else(String::new, |way| format!(", through the proxy {}", way.proxy()));
    let trial = Trial::new(
        Check::Connection,
        &authority,
        format_args!("connect to {authority}{with}{through}"),
    );
    let (host, port) = dialled(server, way);
    if addresses.is_empty() {
        return trial.not_tried(format_args!("{host} has no address"));
    }
    let addresses: Vec<SocketAddr> = addresses.iter().map(|ip| (*ip, port).into()).collect();
    let mut tcp = match timeout(PATIENCE, TcpStream::connect(&addresses[..])).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => return no_connection(trial, way, &error),
        Err(_) => {
            let found = format!("no answer within {PATIENCE:?}");
            let advice = "check host and port, and whether a firewall or a NetworkPolicy drops the packets";
            return trial.failed(found, advice_for(way, advice));
        }
    };
    let peer = tcp
        .peer_addr()
        .map_or_else(|_| authority.clone(), |peer| peer.to_string());
    let Some(way) = way else {
        return match server.secure {
            false => trial.passed(format_args!("TCP to {peer}; plain HTTP, without TLS")),
            true => shake_hands(trial, server, tcp, &format!("TCP to {peer}")).await,
        };
    };
    let variable = way.proxy().variable();
    if !server.secure {
        // The bucket's requests are given to the proxy whole; that it opens tunnels to this port is not needed for them.
        return trial.passed(format_args!(
            "TCP to the proxy {peer} ({variable}); plain HTTP, without TLS"
        ));
    }
    match timeout(PATIENCE, way.open(&mut tcp)).await {
        Ok(Ok(())) => {}
        Ok(Err(fault)) => return trial.failed(fault, advice_for(Some(way), "check the proxy")),
        Err(_) => return trial.failed(way.late(PATIENCE), advice_for(Some(way), "check the proxy")),
    }
    let found = format!("a tunnel through the proxy {peer} ({variable})");
    shake_hands(trial, server, tcp, &found).await
}

fn no_connection(trial: Trial, way: Option<&Route>, error: &io::Error) -> Outcome {
    let found = match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there (connection refused)".to_owned(),
        _ => error.to_string(),
    };
    let advice = "check host and port, and whether the server runs";
    trial.failed(found, advice_for(way, advice))
}

/// What to do is about the proxy, where that is what a connection was opened to.
fn advice_for(way: Option<&Route>, advice: &str) -> String {
    match way.map(|way| way.proxy().variable()) {
        Some(variable) => {
            format!("{advice}; the proxy is the one of {variable}, and NO_PROXY names what goes without it")
        }
        None => advice.to_owned(),
    }
}

async fn shake_hands(trial: Trial, server: &Server, tcp: TcpStream, way: &str) -> Outcome {
    let tls: Arc<ClientConfig> = match hyper_tls::client_config() {
        Ok(tls) => tls,
        Err(error) => return trial.failed(error, "name a file of certificates in PEM form, or none"),
    };
    let Ok(name) = ServerName::try_from(server.host.clone()) else {
        return trial.failed(
            "no certificate can be for this name",
            "use the name that the certificate is for",
        );
    };
    let handshake = tokio_rustls::TlsConnector::from(tls).connect(name, tcp);
    let connection = match timeout(PATIENCE, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            let (found, advice) = refused(&error, server);
            return trial.failed(found, advice);
        }
        Err(_) => {
            let found = format!("{way}, and no TLS within {PATIENCE:?}");
            return trial.failed(found, "check the port, and whether it speaks https");
        }
    };
    let (_, session) = connection.get_ref();
    let version = session.protocol_version().map_or_else(
        || "TLS".to_owned(),
        |version| format!("{version:?}").replace("TLSv1_", "TLS 1."),
    );
    let first = session.peer_certificates().and_then(|chain| chain.first());
    let days = first.and_then(|certificate| certificate::days_left(certificate, chrono::Utc::now()));
    let trusted = trusted();
    let found = format!(
        "{way}, {version}; the certificate is for {} and trusted",
        server.host
    );
    match days {
        Some(days) if days < SOON => trial.warning(
            format_args!("{found}; it ends in {days} days; {trusted}"),
            "renew the server's certificate",
        ),
        Some(days) => trial.passed(format_args!("{found}; it holds for {days} more days; {trusted}")),
        None => trial.passed(format_args!("{found}; {trusted}")),
    }
}

/// Whose certificates are trusted, for people.
pub fn trusted() -> String {
    let file = std::env::var_os(hyper_tls::CERTIFICATES_VARIABLE).filter(|file| !file.is_empty());
    match file {
        Some(file) => format!(
            "authorities: those that are built in, and those of {} ({})",
            hyper_tls::CERTIFICATES_VARIABLE,
            file.display()
        ),
        None => format!(
            "authorities: those that are built in ({} names no file of others)",
            hyper_tls::CERTIFICATES_VARIABLE
        ),
    }
}

/// Why there is no TLS, and what to do.
fn refused(error: &io::Error, server: &Server) -> (String, String) {
    let cause = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>());
    let told = |found: &str, advice: &str| (found.to_owned(), advice.to_owned());
    match cause {
        Some(rustls::Error::InvalidCertificate(why)) => of_certificate(why, server),
        Some(rustls::Error::InvalidMessage(_)) => told(
            "what answers there does not speak TLS",
            "check the port, and whether the URL should begin with http:// (for the bucket: \
             BK__EXTERNAL_BACKUP__SECURE)",
        ),
        Some(rustls::Error::AlertReceived(alert)) => (
            format!("the server refused: TLS alert {alert:?}"),
            "check that the server speaks TLS 1.2 or 1.3, and that its certificate is for this name"
                .to_owned(),
        ),
        _ => (
            format!("TLS failed: {error}"),
            "check the port, and whether it speaks https".to_owned(),
        ),
    }
}

fn of_certificate(why: &CertificateError, server: &Server) -> (String, String) {
    let found = match why {
        CertificateError::UnknownIssuer => {
            "the certificate is signed by an authority that is not trusted".to_owned()
        }
        CertificateError::NotValidForName => format!("the certificate is not for {}", server.host),
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!(
                "the certificate is not for {}, but for {}",
                server.host,
                presented.join(", ")
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".to_owned()
        }
        CertificateError::Other(other) => format!("the certificate is not accepted: {other}"),
        other => format!("the certificate is not accepted: {other}"),
    };
    let advice = match why {
        CertificateError::UnknownIssuer => format!(
            "trust the authority of your site: name its PEM file with {}; now, {}",
            hyper_tls::CERTIFICATES_VARIABLE,
            trusted()
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "use the name that the certificate is for, or have one made for this name".to_owned()
        }
        CertificateError::Other(_) => "have a certificate made for this server, by an authority".to_owned(),
        _ => "renew the server's certificate, and check the clocks of both machines".to_owned(),
    };
    (found, advice)
}
