//! Addresses: base URLs of the dispatcher, the endpoint of the bucket. None carries credentials.

use std::fmt;

use url::{Host, Url};

use super::reader::Reason;

/// An `http://` or `https://` URL that paths are appended to: no slash at its end, no user, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Checks and normalizes `text`.
    ///
    /// # Errors
    /// Why it is no such URL.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("{}:// is neither http:// nor https://", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user or a password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it holds a query or a fragment".to_owned());
        }
        if matches!(url.host(), None | Some(Host::Domain(""))) {
            return Err("it names no host".to_owned());
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }

    /// The endpoint of an S3 server, as `host[:port]` or as a URL, whose scheme then decides over `secure`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn endpoint(text: &str, secure: bool) -> Result<Self, Reason> {
        let with_scheme = if text.contains("://") {
            text.to_owned()
        } else if text.starts_with('/') {
            return Err("it names no host".to_owned());
        } else {
            format!("{}://{text}", if secure { "https" } else { "http" })
        };
        let url = Self::parse(&with_scheme)?;
        let authority = url.0.split_once("://").map_or("", |(_, rest)| rest);
        if authority.contains('/') {
            return Err("it holds a path".to_owned());
        }
        Ok(url)
    }

    /// The URL as text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is spoken to by https.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_comes_with_and_without_a_scheme() {
        for (text, secure, url) in [
            ("minio", false, "http://minio"),
            ("minio:9000", true, "https://minio:9000"),
            ("http://minio:9000", true, "http://minio:9000"),
            ("https://minio:9000/", false, "https://minio:9000"),
            ("[::1]:9000", false, "http://[::1]:9000"),
            ("127.0.0.1:9000/", false, "http://127.0.0.1:9000"),
        ] {
            assert_eq!(BaseUrl::endpoint(text, secure).unwrap().as_str(), url);
        }
        for text in [
            "user:pass@minio",
            "minio/path",
            "https://minio/path/",
            "ftp://minio",
            "//minio",
            "minio:port",
            "minio?x=1",
            "mi nio",
        ] {
            assert!(BaseUrl::endpoint(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn a_base_url_may_have_a_path_and_loses_its_last_slash() {
        for (text, url) in [
            ("http://dispatcher:8111", "http://dispatcher:8111"),
            (
                "https://azul.example/dispatcher/",
                "https://azul.example/dispatcher",
            ),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().as_str(), url);
        }
        for text in [
            "dispatcher:8111",
            "http://",
            "http://u@d",
            "http://:p@d",
            "http://d/?a",
            "http://d/#a",
        ] {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }
}
