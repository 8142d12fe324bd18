//! Both servers behind a proxy.

use sandbox::forward_proxy::{Asked, ForwardProxy};

use crate::scene::Scene;

/// As what the program knows the servers; nobody else does.
pub const DISPATCHER: &str = "dispatcher.internal:8111";
pub const BUCKET: &str = "s3.internal:9000";

/// What a user and a password become; neither they nor this may be told anywhere.
pub const CREDENTIALS: &str = "me:hunter2";
pub const AUTHORIZATION: &str = "Basic bWU6aHVudGVyMg==";

/// A proxy that knows both servers of a scene.
pub fn proxy(scene: &Scene) -> ForwardProxy {
    ForwardProxy::start([
        (DISPATCHER, scene.dispatcher.address()),
        (BUCKET, scene.s3.address()),
    ])
    .unwrap()
}

/// The scene, its servers known by these names and reached through this proxy.
pub fn behind(scene: Scene, proxy: &ForwardProxy) -> Scene {
    scene
        .set("BK__DISPATCHER_EVENTS", format!("http://{DISPATCHER}"))
        .set("BK__EXTERNAL_BACKUP__ENDPOINT", BUCKET)
        .set("HTTP_PROXY", format!("http://{}", proxy.address()))
}

/// How many of these were for this server; each must have been spelt in one of these ways.
pub fn asked_for(asked: &[Asked], server: &str, method: &str, begin: &str) -> usize {
    let of_server = asked.iter().filter(|asked| asked.target.contains(server));
    let wanted = of_server.inspect(|asked| {
        let tunnel = asked.method == "CONNECT";
        assert!(method != "CONNECT" || tunnel, "{asked:?}");
        assert!(method == "CONNECT" || !tunnel, "{asked:?}");
        assert!(asked.target.starts_with(begin), "{asked:?}");
    });
    wanted.count()
}

/// Panics where one of these texts tells who asks the proxy.
pub fn tells_no_credentials(texts: &[String]) {
    for text in texts {
        for secret in ["hunter2", "bWU6"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
