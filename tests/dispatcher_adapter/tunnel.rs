//! Through a proxy: what it does to a request that takes, or brings, what there is only once.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use actors::ports::target::Target;
use actors::ports::{Dispatcher, PullFault};
use sandbox::forward_proxy::{ForwardProxy, Manner};

use super::raw_tcp::{RawServer, Step, answer};
use super::upload::{Made, stream};
use super::{Kept, a_pull, sized};

/// Set for the process that is started by the tests below: what it does.
const TASK: &str = "TEST_THROUGH_PROXY";

/// The variables of a process are read once, so that each proxy wants one of its own.
#[actix_rt::test]
async fn a_client_in_a_process_of_its_own() {
    const SERVER: &str = "http://dispatcher.internal";
    match std::env::var(TASK).as_deref() {
        Ok("pull") => match super::dispatcher(SERVER)
            .pull(&a_pull(), &mut Kept::default())
            .await
        {
            Ok(_) => println!("got events"),
            Err(PullFault::Refused(fault)) => println!("refused: {fault}"),
            Err(PullFault::Suspect(fault)) => println!("suspect: {fault}"),
        },
        Ok("upload") => {
            let content = Made::blocks(1000);
            let taken = content.taken.clone();
            let uploaded = super::target(SERVER).upload(&stream(), Box::new(content)).await;
            let fault = uploaded.unwrap_err();
            println!("{:?}: {fault}", fault.kind());
            println!(
                "{} bytes were taken",
                if taken.get() < 500 * 64 * 1024 {
                    "few"
                } else {
                    "all"
                }
            );
        }
        _ => {}
    }
}

/// What the client above prints.
fn printed(task: &str, proxy: &ForwardProxy) -> String {
    printed_through(task, proxy.address())
}

/// The same through whatever is at this address.
fn printed_through(task: &str, proxy: SocketAddr) -> String {
    let client = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "tunnel::a_client_in_a_process_of_its_own",
            "--nocapture",
        ])
        .env("HTTP_PROXY", proxy.to_string())
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env(TASK, task)
        .output()
        .unwrap();
    String::from_utf8(client.stdout).unwrap()
}

fn proxy_to(server: &RawServer) -> ForwardProxy {
    ForwardProxy::start([("dispatcher.internal:80", server.address())]).unwrap()
}

#[test]
fn a_pull_that_got_no_tunnel_is_refused_and_never_suspect() {
    let server = RawServer::start([]);
    let proxy = proxy_to(&server);
    for (manner, why) in [
        (
            Manner::Answer("407 No".to_owned()),
            "answered 407 Proxy Authentication Required",
        ),
        (Manner::Answer("502 No".to_owned()), "answered 502 Bad Gateway"),
        (
            Manner::Answer("200 OK".to_owned()),
            "does not answer as a proxy does",
        ),
        (
            Manner::Silence,
            "gave no connection to dispatcher.internal:80 within 300.0ms",
        ),
    ] {
        proxy.behave(manner);
        let text = printed("pull", &proxy);
        let named = format!(
            "no connection: the proxy http://{} (HTTP_PROXY) {why}",
            proxy.address()
        );
        assert!(
            text.contains("refused: ") && text.contains(&named),
            "{named}: {text}"
        );
    }
    let gone = proxy.address();
    drop(proxy);
    let text = printed_through("pull", gone);
    let named = format!("no connection: the proxy http://{gone} (HTTP_PROXY) cannot be used: ");
    assert!(text.contains("refused: ") && text.contains(&named), "{text}");
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_pull_through_a_tunnel_is_what_the_dispatcher_makes_of_it() {
    for (script, expected) in [
        (answer(sized("502 Bad Gateway", "")), "suspect: "),
        (
            answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"),
            "suspect: ",
        ),
        (answer(sized("400 No", "")), "refused: "),
    ] {
        let server = RawServer::start([script]);
        let proxy = proxy_to(&server);
        let text = printed("pull", &proxy);
        assert!(text.contains(expected), "{text}");
        assert_eq!(server.connections(), 1, "nobody but the program asks again");
        let asked = proxy.asked();
        assert!(asked.len() == 1 && asked[0].method == "CONNECT", "{asked:?}");
        let request = server.requests().remove(0);
        assert!(
            request.starts_with("GET /api/v2/event/binary/passive?"),
            "{request}"
        );
    }
}

#[test]
fn an_answer_that_comes_early_is_understood_through_a_tunnel() {
    let answer = sized("413 No", r#"{"title":"no","detail":"room"}"#);
    // It goes on to read, or reads nothing any more.
    for rest in [Step::Hang, Step::Rest(Duration::from_secs(1))] {
        let script = vec![Step::ReadHead, Step::Send(answer.clone().into()), rest];
        let described = format!("{script:?}");
        let server = RawServer::start([script]);
        let text = printed("upload", &proxy_to(&server));
        for words in ["Rejected: ", "no: room", "few bytes were taken"] {
            assert!(text.contains(words), "{described}: {text}");
        }
    }
}
