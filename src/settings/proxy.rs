//! Which servers are spoken to through a proxy: `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, as Go's programs read them.
//!
//! # The contract
//! * `HTTP_PROXY` is for `http://` servers, `HTTPS_PROXY` for `https://` ones; each also in lower case, which counts
//!   where the one in capitals is not set. No other variable is looked at.
//! * `localhost` and loopback addresses are never spoken to through a proxy, nor is what `NO_PROXY` lists.
//! * A proxy speaks HTTP itself. Another kind of URL is a fault of the settings, and never ignored.
//! * A user and a password are kept as a [`Secret`]; no text shows them.

mod exceptions;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use self::exceptions::Exceptions;
use super::fault::{SettingFault, SettingFaults};
use super::layers::Environment;
use super::reader::Reason;
use super::secret::Secret;
use super::url::BaseUrl;
use super::value;

/// What is accepted, for people.
const ACCEPTED: &str = "http://[user:password@]host[:port]";

/// The variables, each in the spelling that counts first.
pub const VARIABLES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// A proxy. Shown as its URL, without user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    variable: String,
    authorization: Option<Secret>,
}

impl Proxy {
    fn parse(variable: &str, text: &str) -> Result<Self, Reason> {
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url = Url::parse(&whole).map_err(|error| error.to_string())?;
        match url.scheme() {
            "http" => {}
            "https" => {
                return Err("a proxy that is itself spoken to by TLS is not supported; name the port where it speaks \
                            plain HTTP: what goes through it to an https:// server is encrypted all the same"
                    .to_owned());
            }
            socks @ ("socks4" | "socks4a" | "socks5" | "socks5h") => {
                return Err(format!("{socks}:// is not supported"));
            }
            _ => return Err("its scheme is not http://".to_owned()),
        }
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err("it names no host".to_owned());
        };
        // Part of a password that is not written as it must be would else be taken for a host and told.
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(
                "it holds a path, a query or a fragment; in a user or a password, / ? # and @ are written \
                 %2F %3F %23 %40"
                    .to_owned(),
            );
        }
        Ok(Self {
            host: host.to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            variable: variable.to_owned(),
            authorization: authorization(&url),
        })
    }

    /// Name or address; one of IPv6 in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where the URL leaves it out.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The variable that names it.
    pub fn variable(&self) -> &str {
        &self.variable
    }

    /// The value of `Proxy-Authorization`, where there is a user.
    pub fn authorization(&self) -> Option<&Secret> {
        self.authorization.as_ref()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

fn authorization(url: &Url) -> Option<Secret> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut text: Vec<u8> = percent_decode_str(url.username()).collect();
    text.push(b':');
    text.extend(percent_decode_str(url.password().unwrap_or_default()));
    Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(text))))
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    except: Exceptions,
}

impl Proxies {
    /// What these variables say.
    ///
    /// # Errors
    /// Every one that is of no use.
    pub fn read(environment: &Environment) -> Result<Self, SettingFaults> {
        let mut faults = Vec::new();
        let [http, https, except] = VARIABLES.map(|variable| {
            given(environment, variable).unwrap_or_else(|fault| {
                faults.push(fault);
                None
            })
        });
        let [http, https] = [http, https].map(|given| {
            let (variable, text) = given?;
            match Proxy::parse(&variable, text) {
                Ok(proxy) => Some(Arc::new(proxy)),
                Err(reason) => {
                    faults.push(refused(&variable, text, &reason));
                    None
                }
            }
        });
        if !faults.is_empty() {
            return Err(SettingFaults(faults));
        }
        Ok(Self {
            http,
            https,
            except: except.map_or_else(Exceptions::default, |(_, text)| Exceptions::parse(text)),
        })
    }

    /// What the variables of this process say, read once.
    ///
    /// # Errors
    /// As [`Proxies::read`]; a start has told them already.
    pub fn of_process() -> Result<Arc<Self>, SettingFaults> {
        static READ: OnceLock<Result<Arc<Proxies>, SettingFaults>> = OnceLock::new();
        READ.get_or_init(|| Self::read(&Environment::of_process()).map(Arc::new))
            .clone()
    }

    /// The proxy on the way to a server, if any. An address of IPv6 may stand in brackets.
    pub fn before(&self, secure: bool, host: &str, port: u16) -> Option<Arc<Proxy>> {
        let proxy = match secure {
            true => &self.https,
            false => &self.http,
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = bare.parse().ok().map(|address: IpAddr| address.to_canonical());
        let is_here = bare == "localhost" || address.is_some_and(|address| address.is_loopback());
        match is_here || self.except.hold(bare, address, port) {
            true => None,
            false => proxy.clone(),
        }
    }

    /// What is to be known of the way to a server, if there is a proxy on it.
    pub fn note(&self, what: &str, url: &BaseUrl) -> Option<String> {
        let parsed = Url::parse(url.as_str()).ok()?;
        let host = match parsed.host()? {
            Host::Domain(name) => name.to_owned(),
            address => address.to_string(),
        };
        let proxy = self.before(url.is_secure(), &host, parsed.port_or_known_default()?)?;
        let with = match proxy.authorization() {
            Some(_) => ", with user and password",
            None => "",
        };
        let variable = proxy.variable();
        Some(format!(
            "{what} {url} is spoken to through the proxy {proxy} ({variable}{with})"
        ))
    }
}

/// What a variable is set to, and in which spelling.
fn given<'a>(
    environment: &'a Environment,
    variable: &str,
) -> Result<Option<(String, &'a str)>, SettingFault> {
    for name in [variable.to_owned(), variable.to_ascii_lowercase()] {
        if !environment.is_text(&name) {
            return Err(SettingFault::other(format_args!(
                "{name}: the value is not UTF-8"
            )));
        }
        if let Some(text) = environment
            .get(&name)
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            return Ok(Some((name, text)));
        }
    }
    Ok(None)
}

fn refused(variable: &str, text: &str, reason: &str) -> SettingFault {
    // Where there may be a password, nothing is shown: what cannot be parsed cannot be told apart either.
    let shown = match text.contains('@') {
        true => value::MASK.to_owned(),
        false => value::shortened(text),
    };
    SettingFault::other(format_args!(
        "{variable}: `{shown}` is not accepted: {reason}; accepted: {ACCEPTED}"
    ))
}

#[cfg(test)]
mod tests;
