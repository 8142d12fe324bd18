//! What the pods of the chart are told, read by the program's own eyes.

use std::time::Duration;

use azul_backup::settings::catalogue::{SETTINGS, Setting};
use azul_backup::settings::proxy::VARIABLES;
use azul_backup::settings::{
    Environment, Layers, Proxies, RestoreSettings, STOP_GRACE, Settings, StageSettings,
};
use serde_yaml_ng::Value;

use super::files::{Rendered, rendered, text, yaml};

/// Variables that are in no catalogue of settings: what many programs are told in the same words, what the chart sets for
/// libraries, and what the values of the snapshots set on top.
const OTHERS: [&str; 8] = [
    hyper_tls::CERTIFICATES_VARIABLE,
    VARIABLES[0],
    VARIABLES[1],
    VARIABLES[2],
    "TMPDIR",
    "RUST_LOG",
    "TZ",
    "NODE",
];

/// Stands in for what comes from a secret.
const SECRET: &str = "exactly-24-characters-ok";

/// The environment of a pod, its secrets made up.
fn environment(rendered: &Rendered, pod: &Value) -> Vec<(String, String)> {
    let container = &pod["containers"][0];
    let mut variables = Vec::new();
    for from in container["envFrom"].as_sequence().expect("envFrom") {
        let name = &from["configMapRef"]["name"];
        let map = rendered
            .of_kind("ConfigMap")
            .find(|map| map["metadata"]["name"] == *name);
        let data = map.expect("the ConfigMap is rendered too")["data"]
            .as_mapping()
            .expect("data");
        let pairs = data.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        variables.extend(pairs.map(|(name, value)| {
            (
                name.expect("a name").to_owned(),
                value.expect("a text, not a number").to_owned(),
            )
        }));
    }
    for variable in container["env"].as_sequence().expect("env") {
        let value = variable["value"].as_str().unwrap_or(SECRET);
        variables.push((
            variable["name"].as_str().expect("a name").to_owned(),
            value.to_owned(),
        ));
    }
    variables
}

fn each_pod(mut look: impl FnMut(&str, &Value, &[(String, String)])) {
    let mut pods = 0;
    for rendered in rendered() {
        for pod in rendered.pods() {
            pods += 1;
            look(&rendered.name, pod, &environment(&rendered, pod));
        }
    }
    assert!(pods > 10, "{pods}");
}

#[test]
fn every_variable_that_the_chart_sets_is_a_setting_and_set_once() {
    each_pod(|name, _, variables| {
        for (i, (variable, _)) in variables.iter().enumerate() {
            let setting = Setting::find(&variable.replace('.', "__"));
            assert!(
                setting.is_some() || OTHERS.contains(&variable.as_str()),
                "{name}: {variable}"
            );
            assert!(
                variables[..i].iter().all(|(other, _)| other != variable),
                "{name}: {variable} twice"
            );
        }
    });
}

/// What the program makes of a pod's settings.
fn stages(name: &str, variables: &[(String, String)]) -> StageSettings {
    let variables = variables
        .iter()
        .map(|(variable, value)| (variable.as_str().into(), value.as_str().into()));
    let layers = Layers::read(&variables.collect::<Environment>(), None);
    let restores = layers
        .given(Setting::named("BK__MODE"))
        .and_then(|given| given.text());
    let read = match restores.as_deref() {
        Some("restore") => RestoreSettings::for_restore(&layers).map(|settings| settings.stages),
        _ => Settings::for_backup(&layers).map(|settings| settings.stages),
    };
    read.unwrap_or_else(|faults| panic!("{name}: {faults}"))
}

#[test]
fn the_program_accepts_what_every_pod_is_told_and_may_end_in_good_order_before_it_is_killed() {
    each_pod(|name, pod, variables| {
        let stages = stages(name, variables);
        let all = stages.events + stages.cache + stages.streams + stages.state + STOP_GRACE;
        let grace = pod["terminationGracePeriodSeconds"]
            .as_u64()
            .expect("a grace period");
        assert!(
            all < Duration::from_secs(grace),
            "{name}: {all:?}, and {grace} s are granted"
        );
        assert!(
            Duration::from_secs(grace) < all + Duration::from_secs(10),
            "{name}: {grace} s for {all:?}"
        );
    });
}

#[test]
fn local_state_lies_on_a_volume_and_so_does_the_folder_for_temporary_files() {
    each_pod(|name, pod, variables| {
        let mounts = pod["containers"][0]["volumeMounts"]
            .as_sequence()
            .expect("mounts");
        for variable in ["BK__LOCAL_DATA__ROOTDIR", "TMPDIR"] {
            let folder = variables
                .iter()
                .find(|(name, _)| name == variable)
                .map(|(_, value)| value.as_str());
            assert!(folder.is_some(), "{name}: {variable}");
            assert!(
                mounts.iter().any(|mount| mount["mountPath"].as_str() == folder),
                "{name}: {variable}"
            );
        }
    });
}

#[test]
fn every_setting_is_documented_for_operators_of_the_chart() {
    let readme = text("helm/README.md");
    for setting in SETTINGS {
        assert!(
            readme.contains(&format!("`{}`", setting.variable)),
            "{}",
            setting.variable
        );
    }
    for variable in VARIABLES {
        assert!(readme.contains(&format!("`{variable}`")), "{variable}");
    }
}

/// A proxy that the chart knows, and one that is in a secret.
#[test]
fn the_program_goes_through_the_proxies_that_the_chart_is_told_of() {
    let mut found = std::collections::BTreeSet::new();
    each_pod(|name, _, variables| {
        let variables = variables
            .iter()
            .map(|(variable, value)| (variable.as_str().into(), value.as_str().into()));
        let proxies = Proxies::read(&variables.collect()).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        for (secure, host) in [
            (false, "dp-events.azul.svc"),
            (false, "d"),
            (true, "s3.example.org"),
        ] {
            found.extend(
                proxies
                    .before(secure, host, 443)
                    .map(|proxy| format!("{host} by {proxy}")),
            );
        }
    });
    let found: Vec<_> = found.iter().map(String::as_str).collect();
    let of_secret = format!("http://{SECRET}:80");
    assert_eq!(
        found,
        [
            &format!("d by {of_secret}"),
            "d by http://proxy.example.org:3128",
            &format!("dp-events.azul.svc by {of_secret}"),
            &format!("s3.example.org by {of_secret}"),
            "s3.example.org by http://secure-proxy.example.org:80",
        ]
    );
}

#[test]
fn the_chart_is_that_of_this_version() {
    assert_eq!(yaml("helm/Chart.yaml")["appVersion"], env!("CARGO_PKG_VERSION"));
}
