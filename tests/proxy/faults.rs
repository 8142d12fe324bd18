//! What a proxy can do instead of what it is asked for.

use std::io::Write;
use std::path::Path;

use sandbox::forward_proxy::{ForwardProxy, Manner};

use crate::behind::{BUCKET, CREDENTIALS, DISPATCHER, behind, proxy, tells_no_credentials};
use crate::odd_server::{OddServer, http};
use crate::program::{self, Ended};
use crate::run::ready_scene;
use crate::scene::{Program, Scene};

/// A scene behind a proxy that misbehaves, with few and fast attempts.
fn behind_bad(manner: &str) -> (Scene, ForwardProxy) {
    let scene = ready_scene();
    let proxy = proxy(&scene);
    proxy.behave(Manner::Answer(manner.to_owned()));
    let with = format!("http://{CREDENTIALS}@{}", proxy.address());
    let scene = behind(scene, &proxy)
        .set("HTTP_PROXY", with)
        .set("BK__RETRY_COUNT", 2)
        .set("BK__RETRY_AVERAGE_DELAY_MS", 10);
    (scene, proxy)
}

/// A backup that ends by itself.
fn ended(scene: &Scene) -> (Option<i32>, String) {
    let mut program = Program::start(&scene.settings, &["backup"], scene.folder.path());
    let code = program.wait().code();
    (code, program.log())
}

fn restored(scene: &Scene) -> Ended {
    let folder: &Path = scene.folder.path();
    program::run(
        &scene.settings,
        &["restore", "--json"],
        &folder.join("restored"),
        &folder.join("local/restore"),
    )
}

fn says(log: &str, words: &[&str]) {
    for word in words {
        assert!(log.contains(word), "`{word}` is not in:\n{log}");
    }
    tells_no_credentials(&[log.to_owned()]);
}

#[test]
fn an_answer_of_its_own_to_a_request_for_the_bucket_ends_a_start_with_1() {
    for (status, words) in [
        ("407 hunter2", "answered 407 Proxy Authentication Required"),
        ("502 Bad Gateway", "answered 502 Bad Gateway"),
    ] {
        let (scene, proxy) = behind_bad(status);
        let named = format!("the proxy http://{} (HTTP_PROXY)", proxy.address());
        let why = match status.starts_with("407") {
            true => "it does not accept the user and the password that are in HTTP_PROXY",
            false => "it does not reach that server",
        };
        let for_bucket = format!("for {BUCKET}");
        let (code, log) = ended(&scene);
        assert_eq!(code, Some(1), "{log}");
        says(&log, &[&named, words, why, &for_bucket]);
        let restored = restored(&scene).is(1);
        says(&restored.log, &[&named, words, why]);
    }
}

#[test]
fn a_restore_whose_dispatcher_it_does_not_let_through_ends_with_1() {
    for status in ["407 Proxy Authentication Required", "502 Bad Gateway"] {
        let (scene, proxy) = behind_bad(status);
        // The bucket without it; there is something to restore.
        let endpoint = scene.s3.endpoint();
        let scene = scene.set("BK__EXTERNAL_BACKUP__ENDPOINT", endpoint);
        write_stream(&scene);
        let restored = restored(&scene).is(1);
        let named = format!(
            "the proxy http://{} (HTTP_PROXY) answered {status} for {DISPATCHER}",
            proxy.address()
        );
        says(&restored.log, &[&named]);
    }
}

#[test]
fn one_that_is_gone_is_named_as_what_is_missing() {
    let (scene, proxy) = behind_bad("");
    let named = format!(
        "the proxy http://{} (HTTP_PROXY) cannot be used: ",
        proxy.address()
    );
    drop(proxy);
    let (code, log) = ended(&scene);
    assert_eq!(code, Some(1), "{log}");
    says(&log, &[&named, "Connection refused"]);
    let endpoint = scene.s3.endpoint();
    let scene = scene.set("BK__EXTERNAL_BACKUP__ENDPOINT", endpoint);
    write_stream(&scene);
    let restored = restored(&scene).is(1);
    says(&restored.log, &[&named, "Connection refused"]);
}

/// Puts a binary into the bucket.
fn write_stream(scene: &Scene) {
    let content = b"a binary";
    let sha256 = actors::stream_id::Sha256::of(content).to_string();
    let place = scene
        .s3
        .object_path("azul-backup-1-streams", &format!("samples/content/{sha256}"));
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(content).unwrap();
    std::fs::write(place, packed.finish().unwrap()).unwrap();
}

#[test]
fn one_that_says_nothing_is_waited_for_no_longer_than_for_a_connection() {
    let (scene, proxy) = behind_bad("");
    proxy.behave(Manner::Silence);
    // Both https: then it is the tunnel that is waited for, at the dispatcher as at the bucket.
    let scene = scene
        .set("FAULT_POINTS_HURRY", 10)
        .set("HTTPS_PROXY", proxy.address())
        .set("BK__DISPATCHER_EVENTS", format!("https://{DISPATCHER}"))
        .set("BK__EXTERNAL_BACKUP__SECURE", "true")
        .set("BK__EXTERNAL_BACKUP__ENDPOINT", BUCKET);
    let (code, log) = ended(&scene);
    assert_eq!(code, Some(1), "{log}");
    let named = format!(
        "the proxy http://{} (HTTPS_PROXY) gave no connection to {BUCKET} within 500.0ms",
        proxy.address()
    );
    says(&log, &[&named]);
    assert!(
        proxy.asked().iter().all(|asked| asked.method == "CONNECT"),
        "{:?}",
        proxy.asked()
    );
}

#[test]
fn whoever_is_at_the_end_of_a_tunnel_must_prove_to_be_the_server() {
    let certificate = rcgen::generate_simple_self_signed(vec!["other.internal".to_owned()]).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.cert.pem().as_bytes()).unwrap();
    let server = OddServer::with_tls(&certificate, |_| http("200 OK", "", "Azul Dispatcher"));
    let address = server.authority().parse().unwrap();
    let proxy = ForwardProxy::start([(BUCKET, address), (DISPATCHER, address)]).unwrap();
    let scene = ready_scene()
        .set("HTTPS_PROXY", proxy.address())
        .set("SSL_CERT_FILE", file.path().display())
        .set("BK__RETRY_COUNT", 1);
    write_stream(&scene);
    let bucket = format!("https://{BUCKET}");
    let (of_bucket, of_dispatcher) = (scene.s3.endpoint(), format!("https://{DISPATCHER}"));
    let scene = scene.set("BK__EXTERNAL_BACKUP__ENDPOINT", bucket);
    let (code, log) = ended(&scene);
    assert_eq!(code, Some(1), "{log}");
    says(&log, &["certificate not valid for name \"s3.internal\""]);
    let scene = scene
        .set("BK__EXTERNAL_BACKUP__ENDPOINT", of_bucket)
        .set("BK__DISPATCHER_EVENTS", of_dispatcher);
    let restored = restored(&scene).is(1);
    says(
        &restored.log,
        &["certificate not valid for name \"dispatcher.internal\""],
    );
}

#[test]
fn a_variable_that_cannot_be_used_ends_a_start_with_2_and_tells_no_password() {
    let scene = ready_scene();
    let bad = [
        (
            "HTTP_PROXY",
            "socks5://me:hunter2@proxy:1080",
            "socks5:// is not supported",
        ),
        ("https_proxy", "http://me:hunter2@proxy:x", "invalid port number"),
        (
            "HTTPS_PROXY",
            "https://proxy",
            "name the port where it speaks plain HTTP",
        ),
    ];
    for (variable, value, why) in bad {
        let mut settings = scene.settings.clone();
        settings.insert(variable.to_owned(), value.to_owned());
        for command in ["backup", "restore", "preflight"] {
            let mut program = Program::start(&settings, &[command], scene.folder.path());
            assert_eq!(program.wait().code(), Some(2), "{}", program.log());
            says(
                &program.log(),
                &[variable, why, "accepted: http://[user:password@]host[:port]"],
            );
        }
        // What speaks to nobody does not care.
        let mut program = Program::start(&settings, &["failed-streams"], scene.folder.path());
        assert_ne!(program.wait().code(), Some(2), "{}", program.log());
    }
}
