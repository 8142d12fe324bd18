//! The S3 server: whether it takes the credentials, whether the region is right, and what may be done with each bucket.
//!
//! One listing of each bucket tells most of it, for the code of a refusal says what was wrong.

use actors::fault::Fault;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};

use super::check::{Check, Outcome, Trial};
use super::network::Reachable;
use super::probe_key::{self, PREFIX};
use super::terms::{Server, StoreTerms, Terms};
use super::words::{apart, clock_difference};
use crate::adapters::bucket::{BucketInspector, FirstPage, Inspected};
use crate::settings::Mode;

/// Keys of the first page.
const PAGE: usize = 100;

/// How many sources are looked for side by side.
const AT_ONCE: usize = 8;

/// A clock that differs by more seconds is worth a warning: S3 refuses 900.
const SKEWED: i64 = 300;

/// What a listing of one bucket came to.
type Look = Result<(Inspected, Option<Result<FirstPage, String>>), Fault>;

/// What stands between a key and everything that it could be used for.
enum Standing {
    /// Nothing: it is accepted.
    Good,
    /// What the checks below are not tried for.
    Bad(&'static str),
}

/// All checks of the bucket.
pub async fn check(terms: &Terms, reachable: &Reachable) -> Vec<Outcome> {
    let endpoint = terms.s3.endpoint.as_str();
    let signed = Trial::new(
        Check::Credentials,
        endpoint,
        format_args!("send a signed request to {endpoint}"),
    );
    let why = match reachable.get(&Server::of(&terms.s3.endpoint)) {
        Some(Err(why)) => Some(why.clone()),
        _ => None,
    };
    if let Some(why) = why {
        let mut outcomes = vec![signed.not_tried(&why), region_trial(terms).not_tried(&why)];
        outcomes.extend(untried(terms, &why));
        return outcomes;
    }
    let inspector = match BucketInspector::new(terms.s3.clone()) {
        Ok(inspector) => inspector,
        Err(fault) => {
            let region = region_trial(terms).not_tried("no request can be sent");
            let advice = "name a file of certificates in PEM form, or none (SSL_CERT_FILE)";
            let mut outcomes = vec![signed.failed(fault.detail(), advice), region];
            outcomes.extend(untried(terms, "no request can be sent"));
            return outcomes;
        }
    };
    let stores = terms.stores.iter();
    let looks = join_all(stores.map(|store| inspector.list(&store.place, "", PAGE))).await;
    let (accepted, standing) = credentials(signed, &looks);
    let (region, standing) = match standing {
        Standing::Good => region(terms, &looks),
        Standing::Bad(WRONG_REGION) => region(terms, &looks),
        Standing::Bad(why) => (region_trial(terms).not_tried(why), Standing::Bad(why)),
    };
    let mut outcomes = vec![accepted, region];
    match standing {
        Standing::Bad(why) => outcomes.extend(untried(terms, why)),
        Standing::Good => {
            let stores = terms.stores.iter().zip(looks);
            let checked = join_all(stores.map(|(store, look)| of_store(terms, &inspector, store, look)));
            outcomes.extend(checked.await.into_iter().flatten());
        }
    }
    outcomes
}

const WRONG_REGION: &str = "the region is wrong";

fn region_trial(terms: &Terms) -> Trial {
    let region = &terms.s3.region;
    Trial::new(
        Check::Region,
        region,
        format_args!("sign for the region {region}"),
    )
}

fn trials(terms: &Terms, store: &StoreTerms) -> [Trial; 3] {
    let (bucket, what) = (&store.place.bucket, store.what);
    let place = match store.place.folder.as_str() {
        "" => bucket.clone(),
        folder => format!("{bucket}/{folder}"),
    };
    let read = match terms.mode {
        Mode::Backup => format!("list {place}"),
        Mode::Restore => format!("list {place}, and read an object of it"),
    };
    [
        Trial::new(
            Check::Bucket,
            bucket,
            format_args!("look for the bucket of {what}, {bucket}"),
        ),
        Trial::new(Check::Read, bucket, read),
        Trial::new(
            Check::Write,
            bucket,
            format_args!("write an object into {bucket}, and delete it"),
        ),
    ]
}

fn untried(terms: &Terms, why: &str) -> Vec<Outcome> {
    let stores = terms.stores.iter();
    let trials = stores.flat_map(|store| trials(terms, store));
    trials.map(|trial| trial.not_tried(why)).collect()
}

/// The first answer that says something about the key says it for all.
fn credentials(trial: Trial, looks: &[Look]) -> (Outcome, Standing) {
    const REFUSED: &str = "the credentials are not accepted";
    const NO_S3: &str = "what answers is not S3";
    let failed = |found: &str, advice: &str, why| (trial.clone().failed(found, advice), Standing::Bad(why));
    for look in looks {
        let (inspected, page) = match look {
            Ok(look) => look,
            Err(fault) => {
                let advice = "check BK__EXTERNAL_BACKUP__ENDPOINT, and whether the server works";
                return failed(fault.detail(), advice, "the server does not answer");
            }
        };
        if let Some(Err(what)) = page {
            let advice = "check BK__EXTERNAL_BACKUP__ENDPOINT: a web console or a proxy may listen there, and S3 on another port";
            return failed(&format!("200, but {what}: what answers is not S3"), advice, NO_S3);
        }
        let text = inspected.text.as_str();
        match inspected.code.as_deref() {
            Some("InvalidAccessKeyId" | "NotSignedUp") => {
                let found = format!("the server does not know the access key ({text})");
                return failed(&found, "check BK__EXTERNAL_BACKUP__ACCESS_KEY", REFUSED);
            }
            Some("SignatureDoesNotMatch") => {
                let found = format!("the server knows the access key, and the signature is wrong ({text})");
                let advice = "check BK__EXTERNAL_BACKUP__SECRET_KEY; if it is right, something between here and the server \
                              changes requests, such as a proxy that sets another Host";
                return failed(&found, advice, REFUSED);
            }
            Some("RequestTimeTooSkewed") => {
                let clocks = clock_difference(inspected.date.as_deref())
                    .map_or_else(|| "by how much is not told".to_owned(), apart);
                let found = format!("the clocks of this machine and the server are too far apart: {clocks}");
                return failed(&found, "set the clock of whichever is wrong (NTP)", REFUSED);
            }
            Some(
                "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException",
            ) => {
                return (
                    trial.not_tried("the region comes first: see below"),
                    Standing::Bad(WRONG_REGION),
                );
            }
            Some("AccessDenied" | "NoSuchBucket" | "AllAccessDisabled") => {}
            None if inspected.is_success() => {}
            None if matches!(inspected.status, 301 | 307 | 400) && inspected.region.is_some() => {
                return (
                    trial.not_tried("the region comes first: see below"),
                    Standing::Bad(WRONG_REGION),
                );
            }
            Some(_) if inspected.status < 500 => {
                return failed(
                    text,
                    "the code is the server's: check the credentials with whoever runs it",
                    REFUSED,
                );
            }
            _ if inspected.status >= 500 => {
                let advice = "try again later, and ask whoever runs the server if it stays so";
                return failed(text, advice, "the server does not work now");
            }
            _ => {
                let advice =
                    "check BK__EXTERNAL_BACKUP__ENDPOINT: what answers gives no code of S3, as a proxy does";
                return failed(text, advice, NO_S3);
            }
        }
    }
    (accepted(trial, looks), Standing::Good)
}

fn accepted(trial: Trial, looks: &[Look]) -> Outcome {
    let dates = looks
        .iter()
        .flatten()
        .filter_map(|(answer, _)| answer.date.as_deref());
    let clocks = dates
        .map(|date| clock_difference(Some(date)))
        .find_map(|apart| apart);
    match clocks {
        Some(seconds) if seconds.abs() > SKEWED => trial.warning(
            format_args!("the signature is accepted, but {}", apart(seconds)),
            "set the clock of whichever is wrong (NTP): S3 refuses requests when they are 15 minutes apart",
        ),
        _ => trial.passed("the signature is accepted"),
    }
}

fn region(terms: &Terms, looks: &[Look]) -> (Outcome, Standing) {
    let trial = region_trial(terms);
    let region = terms.s3.region.as_str();
    let answers = || looks.iter().flatten().map(|(answer, _)| answer);
    let named = answers().find_map(|answer| answer.region.as_deref().filter(|named| *named != region));
    let refused = answers().find(|answer| {
        let code = answer.code.as_deref().unwrap_or_default();
        let by_code = [
            "AuthorizationHeaderMalformed",
            "PermanentRedirect",
            "IllegalLocationConstraintException",
        ];
        by_code.contains(&code)
            || matches!(answer.status, 301 | 307)
            || (answer.status == 400 && named.is_some())
    });
    match (refused, named) {
        (Some(_), Some(named)) => (
            trial.failed(
                format_args!("the server says that {named} is right, not {region}"),
                format_args!(
                    "set BK__EXTERNAL_BACKUP__REGION to {named}, and the endpoint to that of this region"
                ),
            ),
            Standing::Bad(WRONG_REGION),
        ),
        (Some(answer), None) => (
            trial.failed(
                format_args!(
                    "the server does not take it, and does not name the right one: {}",
                    answer.text
                ),
                "set BK__EXTERNAL_BACKUP__REGION as whoever runs the server says",
            ),
            Standing::Bad(WRONG_REGION),
        ),
        (None, Some(named)) => (
            trial.warning(
                format_args!("it is accepted, although the server names {named}"),
                format_args!("set BK__EXTERNAL_BACKUP__REGION to {named}"),
            ),
            Standing::Good,
        ),
        (None, None) => (trial.passed("it is accepted"), Standing::Good),
    }
}

async fn of_store(
    terms: &Terms,
    inspector: &BucketInspector,
    store: &StoreTerms,
    look: Look,
) -> Vec<Outcome> {
    let [bucket, read, write] = trials(terms, store);
    let name = &store.place.bucket;
    let (answer, page) = match look {
        Ok((answer, Some(Ok(page)))) => (answer, Some(page)),
        Ok((answer, _)) => (answer, None),
        Err(_) => return Vec::new(),
    };
    if let Some(page) = page {
        let write = async {
            match terms.mode {
                Mode::Backup => probe_key::check(inspector, write, name).await,
                Mode::Restore => write.not_tried("a restore writes nothing into the bucket"),
            }
        };
        let read = of_page(terms, inspector, store, read, &page);
        let (read, write) = futures_util::join!(read, write);
        return vec![bucket.passed("it is there"), read, write];
    }
    let (outcome, why) = if answer.says("NoSuchBucket") {
        (missing(terms, bucket, &answer), "there is no bucket")
    } else {
        let advice = format!("grant s3:ListBucket on the bucket {name} to this key");
        // What a start asks first.
        let told = match inspector.head_bucket(name).await {
            Ok(head) if head.is_success() => {
                let denied = read.failed(&answer.text, &advice);
                let write = write.not_tried("the bucket may not be listed");
                return vec![bucket.passed("it is there"), denied, write];
            }
            Ok(head) => head.text,
            Err(fault) => fault.detail().to_owned(),
        };
        let found = format!("{}, and asked for by HEAD: {told}", answer.text);
        (bucket.failed(found, advice), "the bucket may not be listed")
    };
    vec![outcome, read.not_tried(why), write.not_tried(why)]
}

fn missing(terms: &Terms, trial: Trial, answer: &Inspected) -> Outcome {
    let found = format!("there is none ({})", answer.text);
    match terms.mode {
        Mode::Backup => trial.warning(
            found,
            format_args!(
                "the start of the backup creates it, in the region {}, which takes the permission s3:CreateBucket; where this \
                 key does not have it, or the bucket should keep versions or lock objects, create it before",
                terms.s3.region
            ),
        ),
        Mode::Restore => trial.failed(
            found,
            "check BK__BACKUP_ID, BK__BUCKET_NAME_PREFIX and BK__EXTERNAL_BACKUP__BUCKET: they have to be those of the backup",
        ),
    }
}

async fn of_page(
    terms: &Terms,
    inspector: &BucketInspector,
    store: &StoreTerms,
    trial: Trial,
    page: &FirstPage,
) -> Outcome {
    let mut keys = page.keys.iter().filter(|key| !key.starts_with(PREFIX));
    let Some(first) = keys.next() else {
        return match terms.mode {
            Mode::Backup => trial.passed("it may be listed, and is empty"),
            Mode::Restore => trial.failed(
                "it may be listed, and is empty",
                "check BK__BACKUP_ID, BK__BUCKET_NAME_PREFIX and BK__EXTERNAL_BACKUP__BUCKET; a restore of nothing ends with 1 \
                 unless --allow-empty is given",
            ),
        };
    };
    let more = if page.more { " or more" } else { "" };
    let found = format!("it may be listed: {} objects{more}", 1 + keys.count());
    if terms.mode == Mode::Backup {
        return trial.passed(found);
    }
    let key = format!("{}{first}", store.place.folder);
    match inspector.open(&store.place.bucket, &key).await {
        Ok(answer) if answer.is_success() => {}
        Ok(answer) => {
            let advice = format!(
                "grant s3:GetObject on the objects of {} to this key",
                store.place.bucket
            );
            return trial.failed(format_args!("{found}, but not read: {}", answer.text), advice);
        }
        Err(fault) => {
            return trial.failed(
                format_args!("{found}, but not read: {}", fault.detail()),
                "try again",
            );
        }
    }
    let absent = absent(terms, inspector, store).await;
    match absent.is_empty() {
        true => trial.passed(format_args!("{found}, and read; every source has some")),
        false => trial.warning(
            format_args!("{found}, and read; none of {}", absent.join(", ")),
            "a restore ends with 1 when a source that is asked for has nothing, unless --allow-empty is given: check \
             BK__SOURCES",
        ),
    }
}

/// The sources of which nothing is there; what could not be asked is not told.
async fn absent(terms: &Terms, inspector: &BucketInspector, store: &StoreTerms) -> Vec<String> {
    let mut sources: Vec<_> = terms.sources.iter().filter_map(|feeds| feeds.first()).collect();
    sources.retain(|feed| feed.source().as_str() != actors::feed::SourceName::SYSTEM);
    let looks = stream::iter(sources).map(async |feed| {
        let prefix = format!("{}/", feed.source());
        let look = inspector.list(&store.place, &prefix, 1).await;
        let is_empty = matches!(look, Ok((_, Some(Ok(page)))) if page.keys.is_empty() && !page.more);
        is_empty.then(|| feed.source().to_string())
    });
    let found: Vec<_> = looks.buffered(AT_ONCE).collect().await;
    found.into_iter().flatten().collect()
}
