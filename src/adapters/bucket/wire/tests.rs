use super::*;
use crate::settings::Environment;

/// Both kinds of servers behind a proxy that wants a password.
fn proxies() -> Proxies {
    let proxy = |name: &str| (name.into(), "http://me:hunter2@proxy:3128".into());
    let environment: Environment = ["HTTP_PROXY", "HTTPS_PROXY"].map(proxy).into_iter().collect();
    Proxies::read(&environment).unwrap()
}

fn outgoing(url: &str) -> Outgoing {
    Outgoing {
        method: Method::GET,
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        content: bytes::Bytes::new(),
    }
}

#[test]
fn who_asks_is_told_to_a_proxy_of_whole_urls_and_never_to_the_server_behind_a_tunnel() {
    let mut plain = outgoing("http://s3.internal:9000/bucket/key");
    assert!(plain.comes_by(&proxies()).unwrap().is_some());
    let told = &plain.headers[PROXY_AUTHORIZATION];
    assert_eq!(told, "Basic bWU6aHVudGVyMg==");
    assert!(told.is_sensitive(), "or it is shown with all headers");
    for url in [
        "https://s3.internal/bucket/key",
        "http://127.0.0.1:9000/bucket/key",
    ] {
        let mut own = outgoing(url);
        assert!(own.comes_by(&proxies()).unwrap().is_none(), "{url}");
        assert!(own.headers.is_empty(), "{url}: {:?}", own.headers);
    }
}

#[test]
fn what_the_proxy_says_itself_is_told_from_what_s3_says_through_it() {
    let is_of_proxy = |status: u16, id: bool| {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
        if id {
            let id = HeaderValue::from_static("17");
            answer.headers_mut().insert("x-amz-request-id", id);
        }
        super::is_of_proxy(&answer)
    };
    for status in [502, 503, 504] {
        assert!(is_of_proxy(status, false), "{status}");
        assert!(!is_of_proxy(status, true), "S3 is busy: {status}");
    }
    for id in [true, false] {
        assert!(is_of_proxy(407, id), "no other server wants that");
        for status in [200, 403, 404, 500] {
            assert!(!is_of_proxy(status, id), "{status}");
        }
    }
}
