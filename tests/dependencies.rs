//! What `deny.toml` and the architecture rely on about dependencies.

use std::process::Command;

#[test]
fn http_2_is_never_offered() {
    // The exception for h2 in `deny.toml` stands on this.
    let tls = hyper_tls::client_config().expect("the certificates that are built in");
    assert!(tls.alpn_protocols.is_empty(), "{:?}", tls.alpn_protocols);
}

#[test]
fn the_core_knows_nothing_of_what_speaks_to_the_outside() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
            "--locked",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let core = packages
        .iter()
        .find(|package| package["name"] == "azul-backup-actors")
        .expect("the core");
    let dependencies: Vec<&str> = core["dependencies"]
        .as_array()
        .expect("dependencies")
        .iter()
        .filter_map(|dependency| dependency["name"].as_str())
        .collect();
    assert!(dependencies.contains(&"actix"), "{dependencies:?}");
    for outside in [
        "awc",
        "rusoto_core",
        "rusoto_s3",
        "hyper",
        "sled",
        "clap",
        "config",
        "reqwest",
        "prometheus",
    ] {
        assert!(!dependencies.contains(&outside), "the core depends on {outside}");
    }
}

/// The features that a build of the program, without what tests add, gives the core.
fn features_of_the_core(more: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "azul-backup", "--edges", "normal,build"])
        .args([
            "--prefix",
            "none",
            "--format",
            "{lib} {f}",
            "--offline",
            "--locked",
        ])
        .args(more)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8_lossy(&output.stdout);
    let core = tree
        .lines()
        .find_map(|line| line.strip_prefix("azul_backup_actors "));
    core.unwrap_or_else(|| panic!("{tree}\n{}", String::from_utf8_lossy(&output.stderr)))
        .to_owned()
}

#[test]
fn a_release_has_no_fault_points() {
    assert_eq!(features_of_the_core(&[]), "");
    assert_eq!(
        features_of_the_core(&["--features", "fault-points"]),
        "fault-points"
    );
}
