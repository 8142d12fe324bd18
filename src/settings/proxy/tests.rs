use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Proxies, SettingFaults> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Proxies::read(&variables.collect())
}

/// Both proxies, and these exceptions.
fn except(text: &str) -> Proxies {
    read(&[
        ("HTTP_PROXY", "plain:1"),
        ("HTTPS_PROXY", "tls:2"),
        ("NO_PROXY", text),
    ])
    .unwrap()
}

fn way(proxies: &Proxies, url: &str) -> String {
    let url = Url::parse(url).unwrap();
    let (host, port) = (url.host_str().unwrap(), url.port_or_known_default().unwrap());
    let proxy = proxies.before(url.scheme() == "https", host, port);
    proxy.map_or_else(|| "direct".to_owned(), |proxy| proxy.to_string())
}

#[test]
fn each_scheme_has_its_proxy_and_capitals_come_first() {
    let proxies = except("");
    assert_eq!(way(&proxies, "http://d:8111"), "http://plain:1");
    assert_eq!(way(&proxies, "https://s3"), "http://tls:2");
    let proxies = read(&[
        ("http_proxy", "lower"),
        ("HTTP_PROXY", ""),
        ("HTTPS_PROXY", "http://CAPITAL:3128/"),
        ("https_proxy", "no"),
        ("ALL_PROXY", "all"),
    ])
    .unwrap();
    assert_eq!(way(&proxies, "http://d"), "http://lower:80");
    assert_eq!(way(&proxies, "https://d"), "http://capital:3128");
    assert_eq!(way(&read(&[("ALL_PROXY", "all")]).unwrap(), "http://d"), "direct");
    let blank = read(&[
        ("HTTP_PROXY", " "),
        ("http_proxy", " lower\n"),
        ("HTTPS_PROXY", "\t"),
    ])
    .unwrap();
    assert_eq!(way(&blank, "http://d"), "http://lower:80");
    assert_eq!(way(&blank, "https://d"), "direct");
}

#[test]
fn this_machine_is_never_reached_through_a_proxy() {
    let proxies = except("");
    for url in [
        "http://localhost:1",
        "https://LOCALHOST",
        "http://127.0.0.1",
        "http://127.8.9.10:1",
        "https://[::1]:9",
        "http://[::ffff:127.0.0.1]",
    ] {
        assert_eq!(way(&proxies, url), "direct", "{url}");
    }
    for url in ["http://localhost.example", "http://a.localhost", "http://0.0.0.0"] {
        assert_eq!(way(&proxies, url), "http://plain:1", "{url}");
    }
}

/// Whether Go would go without a proxy, entry by entry.
#[test]
fn exceptions_are_read_as_go_reads_them() {
    for (entries, direct, through) in [
        (
            "example.org",
            &[
                "http://example.org:1",
                "http://A.EXAMPLE.ORG",
                "http://a.b.example.org",
            ][..],
            &["http://notexample.org", "http://example.org.evil", "http://org"][..],
        ),
        (
            ".example.org",
            &["http://a.example.org"][..],
            &["http://example.org"][..],
        ),
        (
            "*.example.org",
            &["http://a.example.org"][..],
            &["http://example.org"][..],
        ),
        (
            " Example.ORG:8080 , other",
            &[
                "http://example.org:8080",
                "http://a.example.org:8080",
                "http://other",
            ][..],
            &["http://example.org", "http://example.org:8081"][..],
        ),
        (
            "10.0.0.1,10.1.0.0/16,192.168.0.1:9000,::ffff:10.0.0.9",
            &[
                "http://10.0.0.1",
                "http://10.1.255.3:7",
                "http://192.168.0.1:9000",
                "http://10.0.0.9",
                "http://[::ffff:10.0.0.1]",
            ][..],
            &[
                "http://10.0.0.2",
                "http://10.2.0.0",
                "http://192.168.0.1",
                "http://a.10.0.0.1.example",
            ][..],
        ),
        (
            "fd00::/8,2001:db8::1,[2001:db8::2]:80",
            &[
                "http://[fd12::1]",
                "http://[2001:db8::1]:5",
                "http://[2001:db8::2]",
            ][..],
            &[
                "http://[fe00::1]",
                "http://[2001:db8::3]",
                "http://[2001:db8::2]:81",
                "http://253.0.0.1",
            ][..],
        ),
        (
            "0.0.0.0/0",
            &["http://8.8.8.8"][..],
            &["http://name", "http://[fd12::1]"][..],
        ),
        (
            "bücher.example",
            &["http://xn--bcher-kva.example"][..],
            &["http://b.example"][..],
        ),
        ("a,*", &["http://name", "http://8.8.8.8:1"][..], &[][..]),
        (
            ",:80,*x,10.0.0.0/33,name:port,/,10.0.0.0/x",
            &[][..],
            &["http://name", "http://10.0.0.0", "http://x", "http://ax"][..],
        ),
    ] {
        let proxies = except(entries);
        for url in direct {
            assert_eq!(way(&proxies, url), "direct", "{entries}: {url}");
        }
        for url in through {
            assert_eq!(way(&proxies, url), "http://plain:1", "{entries}: {url}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn nothing_that_stands_in_no_proxy_is_too_odd(text in "[a-c.*:/\\[\\]0-9, é]{0,40}") {
        let _proxies = except(&text);
    }
}

#[test]
fn user_and_password_are_told_to_the_proxy_and_to_nobody_else() {
    for (url, sent) in [
        (
            "http://Aladdin:open%20sesame@p:1",
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ),
        ("Aladdin@p:1", Some("Basic QWxhZGRpbjo=")),
        ("p:1", None),
    ] {
        let proxies = read(&[("HTTP_PROXY", url)]).unwrap();
        let proxy = proxies.before(false, "d", 80).unwrap();
        assert_eq!(proxy.authorization().map(Secret::reveal), sent);
        let url = BaseUrl::parse("http://d:8111").unwrap();
        let note = proxies.note("the dispatcher", &url).unwrap();
        let shown = format!("{proxy} {proxies:?} {note}");
        for secret in ["Aladdin", "open", "QWx"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(proxy.to_string(), "http://p:1");
    }
}

#[test]
fn what_cannot_be_used_is_a_fault_that_tells_no_password() {
    let faults = |value: &str| read(&[("HTTPS_PROXY", value)]).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            "socks5://proxy:1080",
            "https://proxy",
            "ftp://proxy",
            "http://",
            "proxy:port",
            "http://proxy/path",
            "pro xy",
            "http://user:hunter2/@proxy:3128",
            "http://user:1/hunter2@proxy",
            "socks5://user:hunter2@proxy",
        ]
        .map(faults)
        .join("\n")
    );
    let both = read(&[("http_proxy", "socks4://a"), ("HTTPS_PROXY", "socks4://b")]);
    assert_eq!(both.unwrap_err().0.len(), 2);
}

#[test]
fn a_variable_that_is_not_text_is_a_fault_and_never_ignored() {
    use std::os::unix::ffi::OsStringExt as _;
    for name in VARIABLES
        .map(str::to_owned)
        .into_iter()
        .chain(VARIABLES.map(str::to_ascii_lowercase))
    {
        let value = std::ffi::OsString::from_vec(b"http://proxy\xff:3128".to_vec());
        let environment: Environment = [(name.clone().into(), value)].into_iter().collect();
        let fault = Proxies::read(&environment).unwrap_err().to_string();
        assert_eq!(fault, format!("{name}: the value is not UTF-8"));
    }
}
