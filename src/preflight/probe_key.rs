//! Writes one object of our own, and deletes it.
//!
//! Its key has no `/`: keys of streams have two, those of bundles three, and both restore and Azul's Go tool list below
//! the name of a source. It is made of this instant, this process and chance, and looked for before it is written: what
//! this run has not written it neither overwrites nor deletes.

use bytes::Bytes;

use super::check::{Outcome, Trial};
use crate::adapters::bucket::{BucketInspector, Inspected};

/// What the name of every such object begins with.
pub const PREFIX: &str = "azul-backup-preflight-";

const CONTENT: &[u8] =
    b"Written by `azul-backup preflight` to see whether it can be written; of no other use.\n";

fn new_key() -> String {
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ");
    format!("{PREFIX}{now}-{}-{:016x}", std::process::id(), fastrand::u64(..))
}

/// Whether this key may write.
pub async fn check(inspector: &BucketInspector, trial: Trial, bucket: &str) -> Outcome {
    let key = new_key();
    match inspector.head(bucket, &key).await {
        Ok(answer) if answer.is_success() => {
            return trial.failed(
                format_args!("there is an object {key}, which this run has not written: it is left alone"),
                "try again; what answers to a name that nobody knows may not be the bucket",
            );
        }
        // 403: where nothing may be listed, that is all that is said of a key that is missing.
        Ok(_) => {}
        Err(fault) => return trial.failed(fault.detail(), "check whether the server works"),
    }
    match inspector.put(bucket, &key, Bytes::from_static(CONTENT)).await {
        Ok(answer) if answer.is_success() => {
            let seen = inspector.head(bucket, &key).await;
            let deleted = delete(inspector, bucket, &key, answer.version.as_deref()).await;
            told(trial, (bucket, &key), seen.ok(), deleted)
        }
        Ok(answer) => trial.failed(&answer.text, refused(&answer, bucket)),
        Err(fault) => {
            let may_stay = match delete(inspector, bucket, &key, None).await {
                Ok(()) => String::new(),
                Err(_) => format!("; if it was written, {key} stays"),
            };
            trial.failed(
                format_args!("{}{may_stay}", fault.detail()),
                "check whether the server works, and how large requests may be on the way to it",
            )
        }
    }
}

fn refused(answer: &Inspected, bucket: &str) -> String {
    match answer.status {
        401 | 403 => format!("grant s3:PutObject on the objects of {bucket} to this key"),
        507 => "make room on the server".to_owned(),
        _ => "the code is the server's: ask whoever runs it".to_owned(),
    }
}

/// Deletes what was written, the very version where there are versions; where that may not be, hides it.
async fn delete(
    inspector: &BucketInspector,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> Result<(), String> {
    let of = |answer: Result<Inspected, actors::fault::Fault>| match answer {
        Ok(answer) if answer.is_success() => Ok(()),
        Ok(answer) => Err(answer.text),
        Err(fault) => Err(fault.detail().to_owned()),
    };
    let refused = match of(inspector.delete(bucket, key, version).await) {
        Ok(()) => return Ok(()),
        Err(refused) => refused,
    };
    let Some(version) = version else {
        return Err(refused);
    };
    match of(inspector.delete(bucket, key, None).await) {
        Ok(()) => Err(format!(
            "its version {version} cannot be deleted ({refused}), only hidden"
        )),
        Err(_) => Err(format!("version {version}: {refused}")),
    }
}

fn told(
    trial: Trial,
    (bucket, key): (&str, &str),
    seen: Option<Inspected>,
    deleted: Result<(), String>,
) -> Outcome {
    let seen_as = seen.as_ref().map(|seen| seen.status);
    match (seen_as, deleted) {
        (Some(401 | 403), deleted) => {
            let stays = deleted.err().map_or_else(String::new, |_| format!("; {bucket}/{key} stays"));
            trial.warning(
                format_args!("it was written, but may not be looked at ({}){stays}", seen.unwrap_or_default().text),
                format_args!(
                    "grant s3:GetObject on the objects of {bucket} to this key: a backup looks before it writes, and cannot \
                     tell what is there already"
                ),
            )
        }
        (_, Ok(())) => trial.passed("it was written, found and deleted"),
        (_, Err(why)) => trial.warning(
            format_args!("it was written, and cannot be deleted: {why}"),
            format_args!(
                "{bucket}/{key} stays: delete it by hand, or leave it, it is in nobody's way; the backup itself never deletes \
                 objects"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_key_for_a_stream_or_a_bundle() {
        let (key, other) = (new_key(), new_key());
        assert_ne!(key, other);
        assert!(actors::restore::listed_key::stream(&key).is_err());
        assert!(actors::restore::listed_key::bundle(&key).is_err());
        assert!(!key.contains('/'), "it is below no source");
    }
}
